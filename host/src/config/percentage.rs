//! A share of a hundred, as a person types it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problem, Problems, Reported};
use super::reader::{Read, Value, read_text};

/// A whole number of hundredths: `"20%"`. A bare number is refused, since `0.5` and `50` could both mean a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percentage(pub(super) u32);

impl FromStr for Percentage {
    type Err = PercentageError;

    fn from_str(text: &str) -> Result<Self, PercentageError> {
        let text = text.trim();
        let number = text.strip_suffix('%').map(str::trim_end);
        let digits = number.unwrap_or(text);
        // `parse` alone would take a sign.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PercentageError::NotWhole);
        }
        if number.is_none() {
            return Err(PercentageError::NoSign {
                number: digits.to_owned(),
            });
        }
        digits.parse().map(Self).map_err(|_| PercentageError::TooLarge)
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Why a text is no percentage, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PercentageError {
    #[error("write a percent sign, as in \"{number}%\"")]
    NoSign { number: String },
    #[error("it is a whole number and a percent sign")]
    NotWhole,
    #[error("this is more than anything has")]
    TooLarge,
}

const EXPECTED: &str = "a percentage, as in \"20%\"";

impl Read for Percentage {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Integer(number) = value.get_ref() else {
            return read_text(value, EXPECTED, problems);
        };
        // As a length of time without a unit: better than "this is an integer".
        number.to_string().parse().map_err(|error: PercentageError| {
            let problem = Problem::at(value.span(), format!("expected {EXPECTED}"));
            problems.report(problem.label(error.to_string()))
        })
    }
}

impl JsonSchema for Percentage {
    fn schema_name() -> Cow<'static, str> {
        "Percentage".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *%$", "examples": ["20%", "50%"] })
    }
}

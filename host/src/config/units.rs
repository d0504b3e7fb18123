//! Lengths of time and amounts of memory, as a person types them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::SpanParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problem, Problems, Reported};
use super::reader::{Read, Value, read_text};

/// A length of time of the command line, written as those of the configuration are.
///
/// # Errors
/// What is wrong with it, and what to write in its place.
pub fn parse_period(text: &str) -> Result<Duration, String> {
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    Ok(period.0)
}

/// A length of time: `"250ms"`, `"5s"`, `"1h 30m"`; `0` needs no unit.
///
/// Other bare numbers are refused: half of all programs would read `timeout = 30` as seconds, the other half as
/// milliseconds. So are days and longer: not all of them are equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Period(pub(super) Duration);

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnitError::PeriodWithoutUnit {
                number: text.to_owned(),
            });
        }
        SpanParser::new()
            .parse_unsigned_duration(text)
            .map(Self)
            .map_err(|_| UnitError::Period)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            // Longer than the age of the universe.
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// As it is typed.
pub fn period(time: Duration) -> String {
    Period(time).to_string()
}

/// How long something may take; 0 is for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeout(pub(super) Option<Period>);

impl From<Period> for Timeout {
    fn from(period: Period) -> Self {
        Self(Some(period).filter(|period| !period.0.is_zero()))
    }
}

/// An amount of memory: `"64KiB"`, `"16MiB"`, `"1GiB"`, `"512B"`, or a bare number of bytes.
///
/// `KB` and `K` are refused: some tools mean 1000 by them, others 1024, and a limit should not depend on whom one asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

impl Size {
    const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = unit.trim_start();
        let Ok(number) = number.parse::<u64>() else {
            return Err(UnitError::Size);
        };
        if unit.is_empty() {
            return Ok(Self(number));
        }
        let bytes = Self::UNITS
            .iter()
            .find(|(known, _)| *known == unit)
            .map(|(_, bytes)| bytes);
        match bytes {
            Some(bytes) => number.checked_mul(*bytes).map(Self).ok_or(UnitError::SizeTooLarge),
            None => Err(match unit.to_ascii_lowercase().as_str() {
                "k" | "kb" | "kib" => UnitError::SizeUnit {
                    meant: format!("{number}KiB"),
                },
                "m" | "mb" | "mib" => UnitError::SizeUnit {
                    meant: format!("{number}MiB"),
                },
                "g" | "gb" | "gib" => UnitError::SizeUnit {
                    meant: format!("{number}GiB"),
                },
                _ => UnitError::Size,
            }),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |(_, bytes): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*bytes);
        let (unit, bytes) = Self::UNITS.iter().find(divides).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// Why a text is neither a length of time nor a size, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("write a unit, as in \"{number}s\"")]
    PeriodWithoutUnit { number: String },
    #[error("the units are h, m, s, ms, us and ns, as in \"1h 30m\"")]
    Period,
    #[error("the units are B, KiB, MiB and GiB")]
    Size,
    #[error("units are powers of 1024 here: write \"{meant}\"")]
    SizeUnit { meant: String },
    #[error("this is more than any machine has")]
    SizeTooLarge,
}

const PERIOD: &str = "a length of time, as in \"5s\"";
const TIMEOUT: &str = "a length of time, as in \"5s\", or \"0\" for none";
const SIZE: &str = "a size, as in \"16MiB\"";

impl Read for Period {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_period(value, PERIOD, problems)
    }
}

impl Read for Timeout {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_period(value, TIMEOUT, problems).map(Self::from)
    }
}

fn read_period(value: &Value<'_>, expected: &str, problems: &mut Problems) -> Result<Period, Reported> {
    let DeValue::Integer(number) = value.get_ref() else {
        return read_text(value, expected, problems);
    };
    // A bare number is as good or bad as the same number in quotes, and the message that it gets is better than "an integer".
    number.to_string().parse().map_err(|error: UnitError| {
        let problem = Problem::at(value.span(), format!("expected {expected}"));
        problems.report(problem.label(error.to_string()))
    })
}

impl Read for Size {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Integer(number) = value.get_ref() else {
            return read_text(value, SIZE, problems);
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .map(Self)
            .map_err(|_| {
                let problem = Problem::at(value.span(), format!("expected {SIZE}"));
                problems.report(problem.label("this is not a number of bytes"))
            })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["20ms", "5s", "1h 30m"] })
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, { "const": 0 }],
            "examples": ["250ms", "5s", "1h 30m", "0"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" },
                { "type": "integer", "minimum": 0 },
            ],
            "examples": ["64KiB", "16MiB"],
        })
    }
}

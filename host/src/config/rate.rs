//! A number of bytes a second, as a person types it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};
use super::units::Size;

/// In bytes a second: `"64KiB/s"` as sizes are typed, or `"100Mbit/s"` as networks are sold, where a k is 1000 and a byte has eight
/// bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate(pub(super) u64);

const BITS: [(&str, u64); 4] = [
    ("Gbit", 1_000_000_000),
    ("Mbit", 1_000_000),
    ("kbit", 1_000),
    ("bit", 1),
];

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let Some(amount) = text.strip_suffix("/s").map(str::trim_end) else {
            return Err(RateError::NotPerSecond);
        };
        let digits = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
        let (number, unit) = amount.split_at(digits);
        if let Some((_, bits)) = BITS.iter().find(|(known, _)| *known == unit.trim_start()) {
            let number: u64 = number.parse().map_err(|_| RateError::NoRate)?;
            return number
                .checked_mul(*bits)
                .map(|bits| Self(bits / 8))
                .ok_or(RateError::TooMuch);
        }
        if unit.trim_start().is_empty() {
            return Err(RateError::NoUnit {
                number: number.to_owned(),
            });
        }
        let size: Size = amount.parse().map_err(|_| RateError::NoRate)?;
        Ok(Self(size.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

/// Why a text is no rate, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RateError {
    #[error("a rate ends in `/s`")]
    NotPerSecond,
    #[error("write a unit, as in \"{number}KiB/s\" or \"{number}Mbit/s\"")]
    NoUnit { number: String },
    #[error("the units are B, KiB, MiB and GiB, and bit, kbit, Mbit and Gbit")]
    NoRate,
    #[error("this is more than any network has")]
    TooMuch,
}

impl Read for Rate {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "a rate, as in \"10MiB/s\" or \"100Mbit/s\"", problems)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ *([KMG]i?B|B|[kMG]?bit) */s$",
            "examples": ["10MiB/s", "100Mbit/s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_powers_of_1024_and_bits_of_1000() {
        for (text, bytes) in [
            ("64KiB/s", 65_536),
            ("1B/s", 1),
            ("10 MiB/s", 10 << 20),
            ("5Gbit/s", 625_000_000),
            ("100Mbit /s", 12_500_000),
            ("8bit/s", 1),
            ("9kbit/s", 1_125),
        ] {
            assert_eq!(text.parse(), Ok(Rate(bytes)), "{text}");
        }
        assert_eq!(Rate(65_536).to_string(), "64KiB/s");
    }

    #[test]
    fn what_is_no_rate_is_told_what_one_is() {
        for (text, why) in [
            ("", RateError::NotPerSecond),
            ("10MiB", RateError::NotPerSecond),
            ("10Mbps", RateError::NotPerSecond),
            ("/s", RateError::NoUnit { number: String::new() }),
            (
                "10/s",
                RateError::NoUnit {
                    number: "10".to_owned(),
                },
            ),
            ("10MB/s", RateError::NoRate),
            ("-1B/s", RateError::NoRate),
            ("1.5Gbit/s", RateError::NoRate),
            ("99999999999999999999bit/s", RateError::NoRate),
            ("99999999999999999Gbit/s", RateError::TooMuch),
        ] {
            assert_eq!(text.parse::<Rate>(), Err(why), "{text}");
        }
    }
}

//! `source` of an upstream.

use schemars::JsonSchema;
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, wrong_type};
use crate::config::source_address::SourceAddress;

/// One address to connect from, or several in turn.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Source {
    One(Given<SourceAddress>),
    Several(#[schemars(length(min = 1))] Vec<Given<SourceAddress>>),
}

impl Read for Source {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(_) => Given::read(value, problems).map(Self::One),
            DeValue::Array(_) => Vec::read(value, problems).map(Self::Several),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "an IP address, as in \"10.0.0.5\", or an array of them";

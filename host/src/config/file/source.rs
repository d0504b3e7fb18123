//! `source` of an upstream.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, wrong_type};
use crate::config::source_address::SourceAddress;

/// One address to connect from, or several in turn; or that of each client.
#[derive(Debug)]
pub enum Source {
    Client,
    One(Given<SourceAddress>),
    Several(Vec<Given<SourceAddress>>),
}

impl Read for Source {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(text) if text == CLIENT => Ok(Self::Client),
            DeValue::String(_) => Given::read(value, problems).map(Self::One),
            DeValue::Array(_) => Vec::read(value, problems).map(Self::Several),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const CLIENT: &str = "client";
const EXPECTED: &str = "an IP address, as in \"10.0.0.5\", or an array of them, or \"client\"";

impl JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<SourceAddress>();
        json_schema!({ "anyOf": [
            { "const": CLIENT },
            address.clone(),
            { "type": "array", "items": address, "minItems": 1 },
        ] })
    }
}

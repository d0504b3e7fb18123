//! `original-destination` of an upstream.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::destination::Destination;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::reader::{Given, Read, Value, wrong_type};

/// Where connections may go that go where they were on their way.
#[derive(Debug)]
pub enum OriginalDestination {
    Anywhere,
    To(Vec<Given<Destination>>),
}

impl Read for OriginalDestination {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Boolean(true) => Ok(Self::Anywhere),
            DeValue::Boolean(false) => {
                let problem = Problem::at(
                    value.span(),
                    "an upstream has servers, or sends connections on their way",
                );
                Err(problems.report(problem.label("expected `true`, an array, or `servers` in place of this key")))
            }
            DeValue::Array(_) => Vec::read(value, problems).map(Self::To),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "true, or an array, as in [\"10.0.0.0/8:5432\"]";

impl JsonSchema for OriginalDestination {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OriginalDestination".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let destination = generator.subschema_for::<Destination>();
        json_schema!({ "anyOf": [{ "const": true }, { "type": "array", "items": destination, "minItems": 1 }] })
    }
}

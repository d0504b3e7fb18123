//! `retries` of an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::{defaults, ranges};

/// How often a connection that no server took is tried again: a number, or a table where there is more to say.
#[derive(Debug)]
pub enum Retries {
    Count(Given<i64>),
    Table(RetriesTable),
}

/// How often a connection that no server took is tried again.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RetriesTable {
    /// How many more times a connection may be tried, 0 to 16; on another server where there is one.
    #[schemars(extend(
        "default" = defaults::RETRIES.count,
        "minimum" = ranges::RETRIES.start(),
        "maximum" = ranges::RETRIES.end(),
    ))]
    pub count: Option<Given<i64>>,
    /// How many retries there may be for a hundred connections, 0% to 1000%.
    #[schemars(extend("default" = Percentage(defaults::RETRIES.budget).to_string()))]
    pub budget: Option<Given<Percentage>>,
}

impl Read for Retries {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Integer(_) => Given::read(value, problems).map(Self::Count),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| RetriesTable {
                count: table.optional("count"),
                budget: table.optional("budget"),
            })
            .map(Self::Table),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "a number, or a table, as in `{ count = 3, budget = \"20%\" }`";

impl JsonSchema for Retries {
    fn schema_name() -> Cow<'static, str> {
        "Retries".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let count = json_schema!({
            "type": "integer",
            "minimum": ranges::RETRIES.start(),
            "maximum": ranges::RETRIES.end(),
        });
        json_schema!({ "anyOf": [count, generator.subschema_for::<RetriesTable>()] })
    }
}

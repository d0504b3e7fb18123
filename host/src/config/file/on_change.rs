//! `on-change` of a listener, a route and an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::units::Period;
use crate::config::word::Word;

/// What becomes of live connections when a reload changes or removes what they came through: a word, or how long they have.
#[derive(Debug)]
pub enum OnChange {
    Word(Word<Fate>),
    Table(DrainTable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Kill,
}

/// How long connections have to end.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DrainTable {
    /// 1ms to 8760h: idle connections end over the first fifth of it, all others at its end.
    pub drain: Given<Period>,
}

impl Read for OnChange {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(_) => Word::read(value, problems).map(Self::Word),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| DrainTable {
                drain: table.required("drain"),
            })
            .map(Self::Table),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "\"keep\", \"kill\", or a table, as in `{ drain = \"5m\" }`";

impl JsonSchema for OnChange {
    fn schema_name() -> Cow<'static, str> {
        "OnChange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Word<Fate>>();
        json_schema!({ "anyOf": [word, generator.subschema_for::<DrainTable>()] })
    }
}

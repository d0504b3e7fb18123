//! `pull` of a filter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::units::Period;
use crate::config::word::Word;

/// When the registry is asked what a tag means: a word, or how often.
#[derive(Debug)]
pub enum Pull {
    Word(Word<When>),
    Table(PullTable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    IfAbsent,
    Always,
}

/// How often the registry is asked what a tag means.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PullTable {
    /// 1s to 168h; up to a tenth sooner or later, so that many machines do not ask at once.
    pub every: Given<Period>,
}

impl Read for Pull {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(_) => Word::read(value, problems).map(Self::Word),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| PullTable {
                every: table.required("every"),
            })
            .map(Self::Table),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "\"if-absent\", \"always\", or a table, as in `{ every = \"5m\" }`";

impl JsonSchema for Pull {
    fn schema_name() -> Cow<'static, str> {
        "Pull".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Word<When>>();
        json_schema!({ "anyOf": [word, generator.subschema_for::<PullTable>()] })
    }
}

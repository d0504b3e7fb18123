//! `quarantine` of a filter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::units::Period;
use crate::config::{defaults, ranges};

/// Whether a generation that keeps failing makes room for the one before.
#[derive(Debug)]
pub enum Quarantine {
    Off,
    On(QuarantineTable),
}

/// When a generation that keeps failing makes room for the one before, and for how long.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuarantineTable {
    /// So many traps, missed deadlines and breaches of the contract, 1 to 1000.
    #[schemars(extend(
        "default" = defaults::QUARANTINE.failures,
        "minimum" = ranges::FAILURES.start(),
        "maximum" = ranges::FAILURES.end(),
    ))]
    pub failures: Option<Given<i64>>,
    /// Within this time, 1ms to 24h.
    #[schemars(extend("default" = Period(defaults::QUARANTINE.within).to_string()))]
    pub within: Option<Given<Period>>,
    /// When it is tried again, as a canary, 1ms to 1h; after twice as long each time that it fails again, up to 1h.
    #[schemars(extend("default" = Period(defaults::QUARANTINE.retry_after).to_string()))]
    pub retry_after: Option<Given<Period>>,
}

impl Read for Quarantine {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Boolean(false) => Ok(Self::Off),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| QuarantineTable {
                failures: table.optional("failures"),
                within: table.optional("within"),
                retry_after: table.optional("retry-after"),
            })
            .map(Self::On),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "a table, as in `{ failures = 10, within = \"1m\" }`, or false";

impl JsonSchema for Quarantine {
    fn schema_name() -> Cow<'static, str> {
        "Quarantine".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": false }, generator.subschema_for::<QuarantineTable>()] })
    }
}

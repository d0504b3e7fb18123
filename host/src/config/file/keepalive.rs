//! `keepalive` of a listener or an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::units::Period;
use crate::config::{defaults, ranges};

/// Whether peers that are silent are asked if they are still there.
#[derive(Debug)]
pub enum Keepalive {
    Off,
    On(KeepaliveTable),
}

/// When a silent peer is asked whether it is still there, and when it is given up.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct KeepaliveTable {
    /// Silence before the first question, in whole seconds, 1s to 32767s.
    #[schemars(extend("default" = Period(defaults::KEEPALIVE.idle).to_string()))]
    pub idle: Option<Given<Period>>,
    /// Time between questions, in whole seconds, 1s to 32767s.
    #[schemars(extend("default" = Period(defaults::KEEPALIVE.interval).to_string()))]
    pub interval: Option<Given<Period>>,
    /// Unanswered questions after which the peer is given up, 1 to 127.
    #[schemars(extend(
        "default" = defaults::KEEPALIVE.count,
        "minimum" = ranges::KEEPALIVE_COUNT.start(),
        "maximum" = ranges::KEEPALIVE_COUNT.end(),
    ))]
    pub count: Option<Given<i64>>,
}

impl Read for Keepalive {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| KeepaliveTable {
                idle: table.optional("idle"),
                interval: table.optional("interval"),
                count: table.optional("count"),
            })
            .map(Self::On),
            DeValue::String(text) if text == OFF => Ok(Self::Off),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const OFF: &str = "off";
const EXPECTED: &str = "a table, as in `{ idle = \"60s\" }`, or \"off\"";

impl JsonSchema for Keepalive {
    fn schema_name() -> Cow<'static, str> {
        "Keepalive".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": OFF }, generator.subschema_for::<KeepaliveTable>()] })
    }
}

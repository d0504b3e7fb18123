//! `canary` of a filter.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::network::Network;
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::units::Period;
use crate::config::{defaults, ranges};

/// How a new generation is tried: its share of new connections, or a table where there is more to say.
#[derive(Debug)]
pub enum Canary {
    Share(Given<Percentage>),
    Table(CanaryTable),
}

/// How a new generation is tried before it gets all connections.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CanaryTable {
    /// How many of a hundred new connections it gets, 1% to 100%.
    #[schemars(extend("default" = Percentage(defaults::CANARY.share).to_string()))]
    pub share: Option<Given<Percentage>>,
    /// The clients whose connections it gets, in the place of a share: IP networks, or single addresses. It is the address
    /// that connects: what a PROXY header says comes too late.
    pub clients: Option<Given<Vec<Given<Network>>>>,
    /// It gets all connections after at least this long, 0 to 168h, if it proves no worse than the one before.
    #[schemars(rename = "for", extend("default" = Period(defaults::CANARY.time).to_string()))]
    pub time: Option<Given<Period>>,
    /// And after so many of its connections have ended, 0 to 1000000000.
    #[schemars(extend(
        "default" = defaults::CANARY.connections,
        "minimum" = ranges::CANARY_CONNECTIONS.start(),
        "maximum" = ranges::CANARY_CONNECTIONS.end(),
    ))]
    pub connections: Option<Given<i64>>,
    /// So many traps, missed deadlines and breaches of the contract, 1 to 1000, and it is rolled back.
    #[schemars(extend(
        "default" = defaults::CANARY.failures,
        "minimum" = ranges::FAILURES.start(),
        "maximum" = ranges::FAILURES.end(),
    ))]
    pub failures: Option<Given<i64>>,
    /// It is rolled back where so many more of a hundred of its connections are refused, or end early, 0% to 100%.
    #[schemars(extend("default" = Percentage(defaults::CANARY.margin).to_string()))]
    pub margin: Option<Given<Percentage>>,
}

impl Read for Canary {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| CanaryTable {
                share: table.optional("share"),
                clients: table.optional("clients"),
                time: table.optional("for"),
                connections: table.optional("connections"),
                failures: table.optional("failures"),
                margin: table.optional("margin"),
            })
            .map(Self::Table),
            DeValue::String(_) | DeValue::Integer(_) => Given::read(value, problems).map(Self::Share),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "a percentage, as in \"10%\", or a table, as in `{ clients = [\"10.0.0.0/8\"] }`";

impl JsonSchema for Canary {
    fn schema_name() -> Cow<'static, str> {
        "Canary".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = generator.subschema_for::<Percentage>();
        json_schema!({ "anyOf": [share, generator.subschema_for::<CanaryTable>()] })
    }
}

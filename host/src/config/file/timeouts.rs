//! `timeouts` of a listener, and what an upstream changes of them.

use std::time::Duration;

use schemars::JsonSchema;

use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Timeout};

/// How long a connection may take, per stage: 1ms to 8760h, or 0 for ever.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timeouts {
    /// From the choice of an upstream until one of its servers has answered.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.connect)))]
    pub connect: Option<Given<Timeout>>,
    /// How long router filters may wait for bytes of the client's, all of them together.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.route)))]
    pub route: Option<Given<Timeout>>,
    /// From being connected until the upstream's first byte.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.first_byte)))]
    pub first_byte: Option<Given<Timeout>>,
    /// How long both directions together may be silent.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.idle)))]
    pub idle: Option<Given<Timeout>>,
    /// How long both directions together may be silent once one side has finished.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.half_closed)))]
    pub half_closed: Option<Given<Timeout>>,
    /// How long a peer that is owed bytes may take none.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.stall)))]
    pub stall: Option<Given<Timeout>>,
    /// From being connected to the end. Each connection's own is up to a tenth shorter, so that many that began
    /// together do not end together.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.lifetime)))]
    pub lifetime: Option<Given<Timeout>>,
}

impl Read for Timeouts {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, EXPECTED, problems, |table| Self {
            connect: table.optional("connect"),
            route: table.optional("route"),
            first_byte: table.optional("first-byte"),
            idle: table.optional("idle"),
            half_closed: table.optional("half-closed"),
            stall: table.optional("stall"),
            lifetime: table.optional("lifetime"),
        })
    }
}

/// How long a connection may take, per stage, where that differs from the listener's: 1ms to 8760h, or 0 for ever.
///
/// Without `route`: that stage is over before there is an upstream.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeoutChanges {
    /// From the choice of this upstream until one of its servers has answered.
    pub connect: Option<Given<Timeout>>,
    /// From being connected until the upstream's first byte.
    pub first_byte: Option<Given<Timeout>>,
    /// How long both directions together may be silent.
    pub idle: Option<Given<Timeout>>,
    /// How long both directions together may be silent once one side has finished.
    pub half_closed: Option<Given<Timeout>>,
    /// How long a peer that is owed bytes may take none.
    pub stall: Option<Given<Timeout>>,
    /// From being connected to the end. Each connection's own is up to a tenth shorter, so that many that began
    /// together do not end together.
    pub lifetime: Option<Given<Timeout>>,
}

impl Read for TimeoutChanges {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, EXPECTED, problems, |table| Self {
            connect: table.optional("connect"),
            first_byte: table.optional("first-byte"),
            idle: table.optional("idle"),
            half_closed: table.optional("half-closed"),
            stall: table.optional("stall"),
            lifetime: table.optional("lifetime"),
        })
    }
}

const EXPECTED: &str = "a table, as in `{ idle = \"1h\" }`";

/// A default, as it would be typed.
pub fn timeout(default: Option<Duration>) -> String {
    default.map_or_else(|| "0".to_owned(), |duration| Period(duration).to_string())
}

//! `[drain]`

use schemars::JsonSchema;

use super::timeouts::timeout;
use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Timeout};

/// How the process ends when it is told to (SIGTERM): times from then on, 1ms to 8760h.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Drain {
    /// When connections that are idle begin to be ended; 0 is never.
    #[schemars(extend("default" = timeout(defaults::DRAIN.soft)))]
    pub soft: Option<Given<Timeout>>,
    /// Over which time their ends are spread; 0 is all at once.
    #[schemars(extend("default" = Period(defaults::DRAIN.spread).to_string()))]
    pub spread: Option<Given<Period>>,
    /// When all others are ended, later than `soft`; 0 is never.
    #[schemars(extend("default" = timeout(defaults::DRAIN.hard)))]
    pub hard: Option<Given<Timeout>>,
}

impl Read for Drain {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[drain]`", problems, |table| Self {
            soft: table.optional("soft"),
            spread: table.optional("spread"),
            hard: table.optional("hard"),
        })
    }
}

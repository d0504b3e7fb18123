//! `queue` of an upstream.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Period;
use crate::config::{defaults, ranges};

/// Connections that wait because every server has as many as it may have.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Queue {
    /// How many may wait, 0 to 1000000. The next one is closed.
    #[schemars(extend(
        "default" = defaults::QUEUE.length,
        "minimum" = ranges::QUEUE_LENGTH.start(),
        "maximum" = ranges::QUEUE_LENGTH.end(),
    ))]
    pub length: Option<Given<i64>>,
    /// How long each of them may wait, 1ms to 1h.
    #[schemars(extend("default" = Period(defaults::QUEUE.timeout).to_string()))]
    pub timeout: Option<Given<Period>>,
}

impl Read for Queue {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ length = 1000 }`", problems, |table| Self {
            length: table.optional("length"),
            timeout: table.optional("timeout"),
        })
    }
}

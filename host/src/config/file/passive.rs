//! `passive` of an upstream.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Period;
use crate::config::{defaults, ranges};

/// How connections that fail tell that their server is to be left alone for a while.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Passive {
    /// So many failures in a row, 1 to 1000: connections that were refused, timed out, or were reset before the
    /// server's first byte.
    #[schemars(extend(
        "default" = defaults::PASSIVE.failures,
        "minimum" = ranges::FAILURES.start(),
        "maximum" = ranges::FAILURES.end(),
    ))]
    pub failures: Option<Given<i64>>,
    /// How long the server is left alone the first time, 1ms to 24h; twice as long each time that it fails again soon.
    #[schemars(extend("default" = Period(defaults::PASSIVE.ejection).to_string()))]
    pub ejection: Option<Given<Period>>,
    /// The longest that it is left alone, 1ms to 24h.
    #[schemars(extend("default" = Period(defaults::PASSIVE.longest_ejection).to_string()))]
    pub longest_ejection: Option<Given<Period>>,
}

impl Read for Passive {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ failures = 5 }`, or `{}`", problems, |table| {
            Self {
                failures: table.optional("failures"),
                ejection: table.optional("ejection"),
                longest_ejection: table.optional("longest-ejection"),
            }
        })
    }
}

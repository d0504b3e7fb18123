//! `retire` of a filter.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::ranges;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Size, Timeout};

/// When an instance that connections share gets no new ones. Nothing is cut off: it is gone with the last connection that it
/// has.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retire {
    /// When it is so old, 1ms to 8760h; 0 is never.
    #[schemars(extend("default" = "0"))]
    pub age: Option<Given<Timeout>>,
    /// When it has served so many connections, from 1 on. Without this key it may serve any number.
    #[schemars(extend("minimum" = ranges::RETIRE_SESSIONS.start(), "maximum" = ranges::RETIRE_SESSIONS.end()))]
    pub sessions: Option<Given<i64>>,
    /// When its memory has grown to this, 64KiB to the filter's `limits.memory`. Without this key it is three quarters of that.
    pub memory: Option<Given<Size>>,
}

impl Read for Retire {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ age = \"1h\" }`", problems, |table| Self {
            age: table.optional("age"),
            sessions: table.optional("sessions"),
            memory: table.optional("memory"),
        })
    }
}

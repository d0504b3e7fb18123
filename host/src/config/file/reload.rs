//! `[reload]`

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// When the configuration is read again. SIGHUP and `spliceway ctl reload` always do that.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reload {
    /// Whether it is read again whenever its file changes.
    #[schemars(extend("default" = false))]
    pub watch: Option<Given<bool>>,
}

impl Read for Reload {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[reload]`", problems, |table| Self {
            watch: table.optional("watch"),
        })
    }
}

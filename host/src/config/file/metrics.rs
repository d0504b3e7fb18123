//! `[metrics]`

use schemars::JsonSchema;

use crate::config::address::ListenAddress;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// A page for Prometheus, at `/metrics`. Without this table there is none.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Metrics {
    /// Where it is: `127.0.0.1:9464` or `unix:/PATH`. Whoever reaches the address can read it.
    pub address: Given<ListenAddress>,
    /// Whether the address may be one that other machines reach.
    #[schemars(extend("default" = false))]
    pub expose: Option<Given<bool>>,
}

impl Read for Metrics {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[metrics]`", problems, |table| Self {
            address: table.required("address"),
            expose: table.optional("expose"),
        })
    }
}

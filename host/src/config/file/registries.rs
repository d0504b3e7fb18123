//! `[registries]`

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// How filters are pulled from registries. Who may pull is in the Docker configuration: `docker login` writes it.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Registries {
    /// The directory in which pulled filters are kept, so that they serve when the registry is away. Nobody else may be able
    /// to write there. A relative path starts at the directory of this file. Default: `filters` in `$STATE_DIRECTORY`, else
    /// `spliceway/filters` in `$XDG_CACHE_HOME` or in `~/.cache`.
    pub cache: Option<Given<String>>,
    /// Registries, `HOST` or `HOST:PORT`, that are spoken to without TLS. Those on this machine always are.
    pub insecure: Option<Given<Vec<Given<String>>>>,
    /// A PEM file: certificates of authorities that sign registries', beside those of the system. A relative path starts at
    /// the directory of this file.
    pub authorities: Option<Given<String>>,
}

impl Read for Registries {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[registries]`", problems, |table| Self {
            cache: table.optional("cache"),
            insecure: table.optional("insecure"),
            authorities: table.optional("authorities"),
        })
    }
}

//! `[toxiproxy]`

use schemars::JsonSchema;

use crate::config::address::ListenAddress;
use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// Where the clients of Toxiproxy do faults to the listeners. Without this table there is no such place.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Toxiproxy {
    /// Where it is: an address that this machine alone reaches, since Toxiproxy's clients know no token.
    #[schemars(extend("default" = defaults::TOXIPROXY_ADDRESS))]
    pub listen: Option<Given<ListenAddress>>,
}

impl Read for Toxiproxy {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[toxiproxy]`", problems, |table| Self {
            listen: table.optional("listen"),
        })
    }
}

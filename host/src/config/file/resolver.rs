//! `[resolver]`

use schemars::JsonSchema;

use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::name_server::NameServer;
use crate::config::ranges;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Period;

/// Who is asked for the addresses of names. What `/etc/hosts` says needs no asking.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resolver {
    /// Name servers, `IP` or `IP:PORT`, in the order in which they are asked. Default: those of `/etc/resolv.conf`.
    #[schemars(length(min = 1, max = *ranges::NAME_SERVERS.end()))]
    pub nameservers: Option<Given<Vec<Given<NameServer>>>>,
    /// How long the lookup of a name may take, 100ms to 1m: all servers, all tries.
    #[schemars(extend("default" = Period(defaults::RESOLVER.timeout).to_string()))]
    pub timeout: Option<Given<Period>>,
}

impl Read for Resolver {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[resolver]`", problems, |table| Self {
            nameservers: table.optional("nameservers"),
            timeout: table.optional("timeout"),
        })
    }
}

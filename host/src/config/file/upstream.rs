//! `[upstreams.NAME]`

use schemars::JsonSchema;
use toml::de::DeValue;

use super::timeouts::timeout;
use super::{Keepalive, TimeoutChanges};
use crate::config::address::Address;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Table, Value, read_table};
use crate::config::units::Timeout;
use crate::config::word::Word;
use crate::config::{Balance, defaults};

/// A group of servers that do the same.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Upstream {
    /// How connections are shared among the servers: `round-robin` takes them in turn.
    #[schemars(extend("default" = Word::of(Balance::default())))]
    pub balance: Option<Given<Word<Balance>>>,
    /// The servers: addresses, or tables with an `address`.
    #[schemars(length(min = 1))]
    pub servers: Given<Vec<Given<Server>>>,
    /// How long a connection may take, per stage, where that differs from the listener's.
    pub timeouts: Option<Given<TimeoutChanges>>,
    /// Whether servers that are silent are asked if they are still there: a table, or `off`.
    pub keepalive: Option<Given<Keepalive>>,
    /// How long bytes sent to a server may stay unacknowledged, or its window closed, 1ms to 576h; 0 is as the system
    /// says.
    #[schemars(extend("default" = timeout(defaults::VIGILANCE.user_timeout)))]
    pub user_timeout: Option<Given<Timeout>>,
}

impl Read for Upstream {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[upstreams.NAME]`", problems, |table| Self {
            balance: table.optional("balance"),
            servers: table.required("servers"),
            timeouts: table.optional("timeouts"),
            keepalive: table.optional("keepalive"),
            user_timeout: table.optional("user-timeout"),
        })
    }
}

/// A server: its address, or a table where there is more to say.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Server {
    Short(Address),
    Long(ServerTable),
}

/// A server in the long form.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServerTable {
    /// Where the server is: `IP:PORT`, `HOST:PORT` or `unix:/PATH`.
    pub address: Given<Address>,
}

impl Read for Server {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            return Address::read(value, problems).map(Self::Short);
        }
        let read = |table: &mut Table<'_>| ServerTable {
            address: table.required("address"),
        };
        read_table(value, "a server", problems, read).map(Self::Long)
    }
}

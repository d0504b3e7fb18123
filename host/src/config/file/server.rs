//! `servers` of an upstream.

use schemars::JsonSchema;
use serde_json::json;
use toml::de::DeValue;

use crate::config::address::Address;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::ranges;
use crate::config::reader::{Given, Read, Table, Value, read_table};
use crate::config::srv_name::SrvName;

/// A server: its address, or a table where there is more to say.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Server {
    Short(Address),
    Long(ServerTable),
}

/// A server in the long form, or several that SRV records list: `address` or `srv`.
#[derive(Debug, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    rename_all = "kebab-case",
    extend("oneOf" = [json!({ "required": ["address"] }), json!({ "required": ["srv"] })]),
)]
pub struct ServerTable {
    /// Where the server is: `IP:PORT`, `HOST:PORT` or `unix:/PATH`.
    pub address: Option<Given<Address>>,
    /// The name of SRV records, `_SERVICE._tcp.NAME`, that list servers with their ports, weights and priorities: those
    /// of the lowest priority are used, the others are backups.
    pub srv: Option<Given<SrvName>>,
    /// Its share of connections in proportion to the weights of the others, 1 to 256. SRV records have their own.
    #[schemars(extend(
        "default" = 1,
        "minimum" = ranges::WEIGHT.start(),
        "maximum" = ranges::WEIGHT.end(),
    ))]
    pub weight: Option<Given<i64>>,
    /// Connections that it may have at once, 1 to 4294967295. Without this key: any number.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub max_connections: Option<Given<i64>>,
    /// Whether it gets connections only where none of the others is up.
    #[schemars(extend("default" = false))]
    pub backup: Option<Given<bool>>,
}

impl Read for Server {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            return Address::read(value, problems).map(Self::Short);
        }
        let read = |table: &mut Table<'_>| {
            let (address, srv) = table.either("address", "srv");
            ServerTable {
                address,
                srv,
                weight: table.optional("weight"),
                max_connections: table.optional("max-connections"),
                backup: table.optional("backup"),
            }
        };
        read_table(value, "a server", problems, read).map(Self::Long)
    }
}

//! `socket` of a listener and of an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::diagnostics::{Problems, Reported};
use crate::config::dscp::Dscp;
use crate::config::ranges;
use crate::config::reader::{Given, Read, Table, Value, read_table};
use crate::config::units::{Period, Size};

/// What sockets are given besides what all have. Without a key, the system decides.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SocketOptions {
    /// Bytes that the kernel keeps of what has come and was not read (SO_RCVBUF), 4KiB to 1GiB. Without it the kernel
    /// finds out how many are needed, connection by connection.
    pub receive_buffer: Option<Given<Size>>,
    /// Bytes that the kernel keeps of what was written and has not arrived (SO_SNDBUF), 4KiB to 1GiB. Without it the
    /// kernel finds out how many are needed, connection by connection.
    pub send_buffer: Option<Given<Size>>,
    /// How fast is sent where the network is the limit (TCP_CONGESTION): one of those that the kernel has, as in `bbr` or
    /// `cubic`.
    pub congestion_control: Option<Given<String>>,
    /// Bytes that may wait in the kernel to be sent for the first time (TCP_NOTSENT_LOWAT), 1KiB to 1GiB.
    pub notsent_lowat: Option<Given<Size>>,
    /// The class of the packets (DSCP): 0 to 63, or a name, as in `ef`, `af41`, `cs1`, `le`.
    pub dscp: Option<Given<Dscp>>,
    /// The mark of the packets, for rules of this machine (SO_MARK), 1 to 4294967295. Needs CAP_NET_ADMIN.
    #[schemars(extend("minimum" = ranges::MARK.start(), "maximum" = ranges::MARK.end()))]
    pub mark: Option<Given<i64>>,
    /// The network interface that packets go by, and no other (SO_BINDTODEVICE).
    pub device: Option<Given<String>>,
    /// Bytes of a segment at the most (TCP_MAXSEG), 88 to 32767.
    #[schemars(extend("minimum" = ranges::MSS.start(), "maximum" = ranges::MSS.end()))]
    pub mss: Option<Given<i64>>,
    /// Whether the address may be one that this machine does not have, or not yet (IP_FREEBIND): the listener's, or the
    /// upstream's `source`.
    #[schemars(extend("default" = false))]
    pub freebind: Option<Given<bool>>,
}

impl SocketOptions {
    fn keys(table: &mut Table<'_>) -> Self {
        Self {
            receive_buffer: table.optional("receive-buffer"),
            send_buffer: table.optional("send-buffer"),
            congestion_control: table.optional("congestion-control"),
            notsent_lowat: table.optional("notsent-lowat"),
            dscp: table.optional("dscp"),
            mark: table.optional("mark"),
            device: table.optional("device"),
            mss: table.optional("mss"),
            freebind: table.optional("freebind"),
        }
    }
}

/// Of the sockets that clients come to.
#[derive(Debug)]
pub struct ListenerSocket {
    pub options: SocketOptions,
    pub defer_accept: Option<Given<Period>>,
    pub fast_open: Option<Given<i64>>,
}

impl Read for ListenerSocket {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, EXPECTED, problems, |table| Self {
            options: SocketOptions::keys(table),
            defer_accept: table.optional("defer-accept"),
            fast_open: table.optional("fast-open"),
        })
    }
}

impl JsonSchema for ListenerSocket {
    fn schema_name() -> Cow<'static, str> {
        "ListenerSocket".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let defer_accept = json_schema!({
            "description": "How long a client that says nothing is left to the kernel (TCP_DEFER_ACCEPT), in whole seconds, \
                1s to 60s. Clients that wait for the server to speak first wait for all of it.",
            "type": "string",
            "examples": ["5s"],
        });
        let fast_open = json_schema!({
            "description": "How many clients may wait that have sent their first bytes with the SYN (TCP_FASTOPEN), 1 to 65535.",
            "type": "integer",
            "minimum": ranges::FAST_OPEN.start(),
            "maximum": ranges::FAST_OPEN.end(),
        });
        let own = [("defer-accept", defer_accept), ("fast-open", fast_open)];
        with(SocketOptions::json_schema(generator), own)
    }
}

/// Of the sockets that lead to servers.
#[derive(Debug)]
pub struct UpstreamSocket {
    pub options: SocketOptions,
    pub fast_open: Option<Given<bool>>,
}

impl Read for UpstreamSocket {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, EXPECTED, problems, |table| Self {
            options: SocketOptions::keys(table),
            fast_open: table.optional("fast-open"),
        })
    }
}

impl JsonSchema for UpstreamSocket {
    fn schema_name() -> Cow<'static, str> {
        "UpstreamSocket".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fast_open = json_schema!({
            "description": "Whether the first bytes go with the SYN, to servers that are known to take them \
                (TCP_FASTOPEN_CONNECT).",
            "type": "boolean",
            "default": false,
        });
        with(SocketOptions::json_schema(generator), [("fast-open", fast_open)])
    }
}

const EXPECTED: &str = "a table, as in `{ dscp = \"af41\" }`";

/// A table with more keys.
fn with<const N: usize>(mut schema: Schema, own: [(&str, Schema); N]) -> Schema {
    let properties = schema.get_mut("properties");
    if let Some(properties) = properties.and_then(|properties| properties.as_object_mut()) {
        properties.extend(own.map(|(key, schema)| (key.to_owned(), schema.to_value())));
    }
    schema
}

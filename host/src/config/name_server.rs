//! A name server, as a person types it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// `10.0.0.53`, `10.0.0.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`. No name: who should look it up?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameServer(pub(super) SocketAddr);

/// DNS's own.
const PORT: u16 = 53;

impl FromStr for NameServer {
    type Err = NameServerError;

    fn from_str(text: &str) -> Result<Self, NameServerError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let alone = bare.unwrap_or(text).parse::<IpAddr>();
        let address = match alone {
            Ok(address) => SocketAddr::from((address, PORT)),
            Err(_) => text.parse().map_err(|_| NameServerError::NoAddress)?,
        };
        if address.port() == 0 {
            return Err(NameServerError::PortZero);
        }
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(NameServerError::NoMachine);
        }
        Ok(Self(address))
    }
}

/// Why a text is no name server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameServerError {
    #[error("this is neither `IP` nor `IP:PORT`; an IPv6 address with a port is `[IP]:PORT`")]
    NoAddress,
    #[error("nobody can be reached on port 0: expected 1 to 65535")]
    PortZero,
    #[error("this is no address of a machine")]
    NoMachine,
}

impl Read for NameServer {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "the address of a name server, as in \"10.0.0.53\"", problems)
    }
}

impl JsonSchema for NameServer {
    fn schema_name() -> Cow<'static, str> {
        "NameServer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.53", "127.0.0.1:5353", "[2001:db8::53]:5353"] })
    }
}

//! The name of a server in TLS, as a person types it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::address::{AddressError, parse_name};
use super::diagnostics::{Problems, Reported};
use super::pattern::without_dot;
use super::reader::{Read, Value, read_text};

/// A host name, in lower case and without a dot at its end; or an IP address, which certificates may be for as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerName(pub(super) String);

/// Why a text is no name of a server, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerNameError {
    #[error("a name has no port: write `{without}`")]
    Port { without: String },
    #[error(transparent)]
    Name(#[from] AddressError),
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        if let Some((without, port)) = text.rsplit_once(':')
            && port.parse::<u16>().is_ok()
        {
            return Err(ServerNameError::Port {
                without: without.trim_matches(['[', ']']).to_owned(),
            });
        }
        Ok(Self(without_dot(parse_name(text)?)))
    }
}

impl Read for ServerName {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "a host name, as in \"db.example.com\"", problems)
    }
}

impl JsonSchema for ServerName {
    fn schema_name() -> Cow<'static, str> {
        "ServerName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["db.example.com"] })
    }
}

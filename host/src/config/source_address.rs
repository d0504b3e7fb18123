//! An address to connect from, as a person types it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// `10.0.0.5` or `2001:db8::5`: one of this machine's, without a port, which the kernel chooses for each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SourceAddress(pub(super) IpAddr);

impl FromStr for SourceAddress {
    type Err = SourceAddressError;

    fn from_str(text: &str) -> Result<Self, SourceAddressError> {
        let Ok(address) = text.parse::<IpAddr>() else {
            let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let bare = match text.parse::<SocketAddr>() {
                Ok(address) => Some(address.ip()),
                Err(_) => inside.and_then(|inside| inside.parse().ok()),
            };
            return Err(match bare {
                Some(bare) => SourceAddressError::Bare { bare },
                None => SourceAddressError::NoAddress,
            });
        };
        let address = address.to_canonical();
        if address.is_unspecified() {
            return Err(SourceAddressError::Unspecified);
        }
        if address.is_multicast() {
            return Err(SourceAddressError::Multicast);
        }
        Ok(Self(address))
    }
}

/// Why a text is no address to connect from, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SourceAddressError {
    #[error("it has neither a port nor brackets: write `{bare}`")]
    Bare { bare: IpAddr },
    #[error("this is neither an IPv4 nor an IPv6 address")]
    NoAddress,
    #[error("this is no address of a machine: leave it out, and the system chooses one")]
    Unspecified,
    #[error("nothing connects from a multicast address")]
    Multicast,
}

impl Read for SourceAddress {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "an IP address, as in \"10.0.0.5\"", problems)
    }
}

impl JsonSchema for SourceAddress {
    fn schema_name() -> Cow<'static, str> {
        "SourceAddress".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.5", "2001:db8::5"] })
    }
}

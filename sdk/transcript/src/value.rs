use std::fmt;
use std::net::SocketAddr;

use serde_json::Value as Json;

use crate::bytes;

/// A fact about a connection: an attribute, an annotation, an option of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// Anything else.
    Bytes(Vec<u8>),
    /// Of a peer.
    Address(SocketAddr),
}

impl Value {
    /// `"text"`, `7`, `true`, `{ hex = "ea 01" }`, or `{ address = "192.0.2.1:80" }`.
    pub(crate) fn read(json: &Json) -> Result<Self, String> {
        match json {
            Json::String(text) => Ok(Self::Text(text.clone())),
            Json::Bool(boolean) => Ok(Self::Boolean(*boolean)),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Ok(Self::Integer(integer)),
                None => Err(unfit(json)),
            },
            Json::Object(table) if table.len() == 1 => match table.iter().next() {
                Some((key, Json::String(digits))) if key == "hex" => Ok(Self::Bytes(bytes::from_hex(digits)?)),
                Some((key, Json::String(address))) if key == "address" => {
                    Ok(Self::Address(address.parse().map_err(|_| {
                        format!("{address:?} is not an address and a port, as in \"192.0.2.1:80\"")
                    })?))
                }
                _ => Err(unfit(json)),
            },
            _ => Err(unfit(json)),
        }
    }

    /// Whether an observed value is what this one expects: a string also stands for the same bytes, and for an address that is
    /// written so.
    pub fn admits(&self, observed: &Self) -> bool {
        match (self, observed) {
            (Self::Text(text), Self::Bytes(bytes)) => text.as_bytes() == bytes,
            (Self::Text(text), Self::Address(address)) => *text == address.to_string(),
            _ => self == observed,
        }
    }
}

fn unfit(json: &Json) -> String {
    format!(
        "{json} is no value: expected \"text\", a whole number, true, false, {{ hex = \"00 ff\" }} or {{ address = \
         \"192.0.2.1:80\" }}"
    )
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(integer) => integer.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
            Self::Bytes(bytes) => {
                f.write_str("hex ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Address(address) => address.fmt(f),
        }
    }
}

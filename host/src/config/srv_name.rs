//! The name of SRV records (RFC 2782), as a person types it.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::address::{AddressError, parse_name};
use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// `_service._tcp.name`, in lower case. The second part may be another word with an underscore: Consul has a tag there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SrvName(pub(super) String);

impl FromStr for SrvName {
    type Err = SrvNameError;

    fn from_str(text: &str) -> Result<Self, SrvNameError> {
        if let Some((without, _)) = text.split_once(':') {
            return Err(SrvNameError::Port {
                without: without.to_owned(),
            });
        }
        let mut parts = text.splitn(3, '.');
        let mut underscored = || parts.next().is_some_and(|part| part.starts_with('_') && part.len() > 1);
        if !(underscored() && underscored()) || parts.next().is_none_or(|name| matches!(name, "" | ".")) {
            return Err(SrvNameError::Parts);
        }
        let name = parse_name(text)?;
        match name.split('.').nth(1) {
            Some("_udp") => Err(SrvNameError::Udp),
            _ => Ok(Self(name)),
        }
    }
}

/// Why a text is no name of SRV records, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SrvNameError {
    #[error("the records have the ports: write `{without}`")]
    Port { without: String },
    #[error("it has a service, a protocol and a name, the first two with an underscore")]
    Parts,
    #[error("this proxy speaks TCP: expected `_tcp`")]
    Udp,
    #[error(transparent)]
    Name(#[from] AddressError),
}

impl Read for SrvName {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "the name of SRV records, as in \"_postgres._tcp.example.org\"";
        read_text(value, expected, problems)
    }
}

impl JsonSchema for SrvName {
    fn schema_name() -> Cow<'static, str> {
        "SrvName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^_[^.:]+\._[^.:]+\.[^:]+$",
            "examples": ["_postgres._tcp.example.org"],
        })
    }
}

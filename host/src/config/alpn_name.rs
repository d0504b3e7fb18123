//! The name of a protocol that TLS negotiates (ALPN, RFC 7301), as a person types it.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::ranges;
use super::reader::{Read, Value, read_text};

/// `h2`, `http/1.1`, `postgresql`: 1 to 255 bytes, whose case counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AlpnName(pub(super) String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {} to {} bytes, this has {length}", ranges::ALPN_NAME.start(), ranges::ALPN_NAME.end())]
pub(super) struct NoAlpnName {
    length: usize,
}

impl FromStr for AlpnName {
    type Err = NoAlpnName;

    fn from_str(text: &str) -> Result<Self, NoAlpnName> {
        if ranges::ALPN_NAME.contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(NoAlpnName { length: text.len() })
    }
}

impl Read for AlpnName {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "the name of a protocol in ALPN, as in \"h2\"", problems)
    }
}

impl JsonSchema for AlpnName {
    fn schema_name() -> Cow<'static, str> {
        "AlpnName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": ranges::ALPN_NAME.start(),
            "maxLength": ranges::ALPN_NAME.end(),
            "examples": ["h2", "http/1.1", "postgresql"],
        })
    }
}

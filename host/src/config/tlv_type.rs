//! The type of a TLV of the PROXY protocol, as a person types it.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// `0xEA`: one byte in hexadecimal, as specifications write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TlvType(pub(super) u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `0x` and two hexadecimal digits")]
pub(super) struct NoTlvType;

impl FromStr for TlvType {
    type Err = NoTlvType;

    fn from_str(text: &str) -> Result<Self, NoTlvType> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2);
        // `from_str_radix` alone would take a sign.
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or(NoTlvType)
    }
}

impl Read for TlvType {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "the type of a TLV, as in \"0xEA\"", problems)
    }
}

impl JsonSchema for TlvType {
    fn schema_name() -> Cow<'static, str> {
        "TlvType".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^0x[0-9A-Fa-f]{2}$", "examples": ["0xEA"] })
    }
}

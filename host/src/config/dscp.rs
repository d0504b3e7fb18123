//! The class of packets, as a person types it.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problem, Problems, Reported};
use super::reader::{Read, Value, read_text};
use super::suggest;

/// `46`, or its name: `"ef"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dscp(pub(super) u8);

/// RFC 2474 (cs), RFC 2597 (af), RFC 3246 (ef), RFC 5865 (va), RFC 8622 (le).
const NAMES: [(&str, u8); 23] = [
    ("cs0", 0),
    ("le", 1),
    ("cs1", 8),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("cs2", 16),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("cs3", 24),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("cs4", 32),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("cs5", 40),
    ("va", 44),
    ("ef", 46),
    ("cs6", 48),
    ("cs7", 56),
];

const MOST: u8 = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the names are {}", suggest::list(NAMES.iter().map(|(name, _)| *name)))]
pub(super) struct NoDscp;

impl FromStr for Dscp {
    type Err = NoDscp;

    fn from_str(text: &str) -> Result<Self, NoDscp> {
        let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, class)| Self(*class)).ok_or(NoDscp)
    }
}

impl Read for Dscp {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(value.get_ref(), DeValue::Integer(_)) {
            return read_text(value, "0 to 63, or a name, as in \"ef\"", problems);
        }
        let number = i64::read(value, problems)?;
        let class = u8::try_from(number).ok().filter(|class| *class <= MOST);
        class.map(Self).ok_or_else(|| {
            let problem = Problem::at(value.span(), format!("{number} is out of range"));
            let problem = problem.label(format!("expected 0 to {MOST}"));
            // Whoever has the whole byte of the header has two bits too many.
            problems.report(match u8::try_from(number) {
                Ok(byte) if byte % 4 == 0 => problem.help(format!(
                    "a TOS of {byte} is the class {}: the two lowest bits are not part of it",
                    byte >> 2
                )),
                _ => problem,
            })
        })
    }
}

impl JsonSchema for Dscp {
    fn schema_name() -> Cow<'static, str> {
        "Dscp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": MOST },
            { "type": "string", "enum": names },
        ] })
    }
}

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builtin::{card, email};
use crate::bytes::{ByteSet, folded_prefix};
use crate::shape::Shape;

/// A pattern, as it is configured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Written {
    /// Numbers of payment cards: 13 to 19 digits, perhaps in groups, whose check digit is right.
    Card,
    /// E-mail addresses.
    Email,
    /// What follows "Bearer ".
    Bearer,
    /// A text, in any case.
    Text(String),
    /// What follows a text, in any case, to the next of some characters or the end of the line.
    After {
        text: String,
        /// White space, quotes and `,;&<>`, unless it is said.
        until: Option<String>,
    },
    /// Characters and sets of them, each with how often it comes: "AKIA[A-Z0-9]{16}".
    Shape(String),
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) enum Pattern {
    Card,
    Email,
    Text(Vec<u8>),
    After { text: Vec<u8>, until: ByteSet },
    Shape(Shape),
}

/// No pattern looks at more bytes before it knows.
pub(crate) const LONGEST: usize = 320;

const LONGEST_TEXT: usize = 128;

/// Whether a match begins with a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    No,
    /// It depends on what comes behind.
    More,
    Found(Found<'a>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// How many bytes match: at least one ...
    pub(crate) length: usize,
    /// ... of which so many are in front of what is masked.
    pub(crate) keep: usize,
    /// It goes on until one of these.
    pub(crate) then: Option<&'a ByteSet>,
}

impl Pattern {
    /// Adds the bytes that a match begins with.
    pub(crate) fn begins(&self, first: &mut ByteSet) {
        match self {
            Self::Card => first.insert_all(b'0'..=b'9'),
            Self::Email => (0..=u8::MAX)
                .filter(u8::is_ascii_alphanumeric)
                .for_each(|byte| first.insert(byte)),
            Self::Text(text) | Self::After { text, .. } => {
                first.insert(text[0].to_ascii_lowercase());
                first.insert(text[0].to_ascii_uppercase());
            }
            Self::Shape(shape) => shape.begins(first),
        }
    }

    /// `previous` is the byte in front of `text`; behind `text` come others, unless it is the last.
    pub(crate) fn at(&self, previous: Option<u8>, text: &[u8], last: bool) -> Answer<'_> {
        match self {
            Self::Card => card(previous, text, last),
            Self::Email => email(previous, text, last),
            Self::Text(own) => folded_prefix(text, own, last, Found::whole(own.len())),
            Self::After { text: own, until } => {
                let found = Found {
                    length: own.len(),
                    keep: own.len(),
                    then: Some(until),
                };
                folded_prefix(text, own, last, found)
            }
            Self::Shape(shape) => shape.at(text, last),
        }
    }
}

impl Found<'_> {
    pub(crate) fn whole(length: usize) -> Self {
        Self {
            length,
            keep: 0,
            then: None,
        }
    }
}

impl TryFrom<Written> for Pattern {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Ok(match written {
            Written::Card => Self::Card,
            Written::Email => Self::Email,
            Written::Bearer => after("Bearer ", None)?,
            Written::Text(text) => Self::Text(own("text", text)?),
            Written::After { text, until } => after(&text, until)?,
            Written::Shape(shape) => {
                Self::Shape(Shape::parse(&shape).map_err(|error| format!("shape: {shape:?}: {error}"))?)
            }
        })
    }
}

fn after(text: &str, until: Option<String>) -> Result<Pattern, String> {
    let mut stops = ByteSet::default();
    let until = until.as_deref().unwrap_or(" \t\"',;&<>");
    if !until.is_ascii() {
        return Err(format!("until: {until:?} is not ASCII"));
    }
    until.bytes().chain(*b"\r\n").for_each(|byte| stops.insert(byte));
    Ok(Pattern::After {
        text: own("after.text", text.to_owned())?,
        until: stops,
    })
}

fn own(key: &str, text: String) -> Result<Vec<u8>, String> {
    match text.len() {
        0 => Err(format!("{key}: it is empty")),
        1..=LONGEST_TEXT => Ok(text.into_bytes()),
        _ => Err(format!("{key}: longer than {LONGEST_TEXT} bytes")),
    }
}

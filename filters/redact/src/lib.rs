//! Masks what should not be seen in a text protocol, byte for byte. README.md has the details.

mod builtin;
mod bytes;
mod pattern;
mod scanner;
mod shape;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

use pattern::Pattern;
use scanner::Scanner;

/// What is masked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Redact {
    /// Where two match at the same place, the longer match counts.
    #[schemars(with = "Vec<pattern::Written>")]
    patterns: Vec<Pattern>,
    /// In which direction.
    #[serde(default)]
    direction: Way,
    /// What stands in the place of each byte.
    #[serde(default)]
    mask: Mask,
}

/// Which peer's bytes are masked.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// What the client sends.
    Up,
    /// What the upstream sends.
    Down,
    #[default]
    Both,
}

/// A printable ASCII character.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "char")]
struct Mask(#[schemars(with = "char")] u8);

impl Default for Mask {
    fn default() -> Self {
        Self(b'*')
    }
}

impl TryFrom<char> for Mask {
    type Error = String;

    fn try_from(mask: char) -> Result<Self, String> {
        match u8::try_from(mask) {
            Ok(byte @ b' '..=b'~') => Ok(Self(byte)),
            _ => Err(format!("{mask:?} is not a printable ASCII character")),
        }
    }
}

static MASKED: Counter = Counter::new("redact_masked_total", "Matches that were masked.");

/// Each byte that may begin a match is tried with each.
const MOST_PATTERNS: usize = 32;

impl Config for Redact {
    fn check(&self) -> Result<(), String> {
        match self.patterns.len() {
            0 => Err("patterns: there is none".into()),
            1..=MOST_PATTERNS => Ok(()),
            many => Err(format!("patterns: {many} are more than {MOST_PATTERNS}")),
        }
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&MASKED]
    }
}

/// One connection: each direction is a text of its own.
struct Session {
    config: &'static Redact,
    up: Scanner<'static>,
    down: Scanner<'static>,
}

impl Transformer for Session {
    type Config = Redact;

    fn open(config: &'static Redact, _connection: &Connection) -> Self {
        let scanner = || Scanner::new(&config.patterns, config.mask.0);
        Self {
            config,
            up: scanner(),
            down: scanner(),
        }
    }

    fn interest(&self) -> Directions {
        match self.config.direction {
            Way::Up => Directions::Up,
            Way::Down => Directions::Down,
            Way::Both => Directions::Both,
        }
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        let scanner = match chunk.direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        let masked = scanner.scan(chunk.bytes, chunk.finished);
        if masked.matches > 0 {
            MASKED.add(masked.matches);
        }
        Output::forward(chunk.direction, masked.bytes)
    }
}

export_config!(Redact, schema = "../schema.json");
export_transformer!(Session);

#[cfg(test)]
mod tests;

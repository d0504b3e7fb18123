//! `health` of an upstream.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::octets::Octets;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Period;
use crate::config::word::{Word, Words};
use crate::config::{defaults, ranges};

/// How servers are asked whether they live: by connecting, and by a question and its answer where there is one.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    /// Time between checks of a server, 10ms to 1h.
    #[schemars(extend("default" = Period(defaults::HEALTH.interval).to_string()))]
    pub interval: Option<Given<Period>>,
    /// The same while a server is between up and down, 10ms to 1h; no longer than `interval`.
    #[schemars(extend("default" = Period(defaults::HEALTH.fast_interval).to_string()))]
    pub fast_interval: Option<Given<Period>>,
    /// For the connection and the answer together, 1ms to 1h; shorter than both intervals.
    #[schemars(extend("default" = Period(defaults::HEALTH.timeout).to_string()))]
    pub timeout: Option<Given<Period>>,
    /// So many good checks in a row, and a server is up; 1 to 100.
    #[schemars(extend(
        "default" = defaults::HEALTH.rise,
        "minimum" = ranges::HEALTH_COUNT.start(),
        "maximum" = ranges::HEALTH_COUNT.end(),
    ))]
    pub rise: Option<Given<i64>>,
    /// So many bad checks in a row, and a server is down; 1 to 100.
    #[schemars(extend(
        "default" = defaults::HEALTH.fall,
        "minimum" = ranges::HEALTH_COUNT.start(),
        "maximum" = ranges::HEALTH_COUNT.end(),
    ))]
    pub fall: Option<Given<i64>>,
    /// What is sent, up to 1024 bytes: text with the escapes `\xHH`, `\r`, `\n`, `\t` and `\\`, best in single quotes.
    pub send: Option<Given<Octets>>,
    /// What the first 4 KiB of the answer have to contain, up to 1024 bytes, typed as `send`.
    pub expect: Option<Given<Octets>>,
    /// Another port than the connections', 1 to 65535. Servers on unix sockets have none.
    #[schemars(extend("minimum" = ranges::PORT.start(), "maximum" = ranges::PORT.end()))]
    pub port: Option<Given<i64>>,
    /// Whether a server is `up` or `down` before it was first asked.
    #[schemars(extend("default" = Word::of(Start::default())))]
    pub start: Option<Given<Word<Start>>>,
}

/// What a server is before it was first asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Up,
    Down,
}

impl Default for Start {
    fn default() -> Self {
        if defaults::HEALTH.starts_up {
            Self::Up
        } else {
            Self::Down
        }
    }
}

impl Words for Start {
    const WORDS: &'static [(&'static str, Self)] = &[("up", Self::Up), ("down", Self::Down)];
}

impl Read for Health {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ interval = \"2s\" }`, or `{}`";
        read_table(value, expected, problems, |table| Self {
            interval: table.optional("interval"),
            fast_interval: table.optional("fast-interval"),
            timeout: table.optional("timeout"),
            rise: table.optional("rise"),
            fall: table.optional("fall"),
            send: table.optional("send"),
            expect: table.optional("expect"),
            port: table.optional("port"),
            start: table.optional("start"),
        })
    }
}

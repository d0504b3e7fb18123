//! `faults` of a treatment.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::rate::Rate;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Size, Timeout};
use crate::config::word::Word;
use crate::config::{Directions, Distribution, ranges};

/// What is done to bytes on purpose, to see what becomes of those who rely on them: what Toxiproxy calls a toxic.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// `latency`, `bandwidth`, `slow-close`, `timeout`, `reset-peer`, `slicer`, `limit-data`, `corrupt`, `refuse` or `down`: it
    /// says which of the other keys there may be.
    pub kind: Given<Word<Kind>>,
    /// Whose bytes: those that go `up` to the server, `down` to the client, or `both`.
    #[schemars(extend("default" = Word::of(Directions::Down)))]
    pub direction: Option<Given<Word<Directions>>>,
    /// The share of connections that it hits, 0% to 100%.
    #[schemars(extend("default" = Percentage(100).to_string()))]
    pub share: Option<Given<Percentage>>,
    /// What is left to chance is the same in every run with the same number, 0 to 9223372036854775807. Without this key: never the
    /// same.
    #[schemars(extend("minimum" = 0))]
    pub seed: Option<Given<i64>>,
    /// Of `latency`: how much later bytes come, 0ms to 1h.
    pub latency: Option<Given<Period>>,
    /// Of `latency`: by how much it differs, more or less, 0ms to 1h.
    #[schemars(extend("default" = "0"))]
    pub jitter: Option<Given<Period>>,
    /// Of `latency`: whether every difference up to `jitter` is as likely as any other (`uniform`), or `jitter` is the standard
    /// deviation (`normal`).
    #[schemars(extend("default" = Word::of(Distribution::default())))]
    pub distribution: Option<Given<Word<Distribution>>>,
    /// Of `bandwidth`: how fast bytes go, 0B/s to 1024GiB/s; at 0 none does.
    pub rate: Option<Given<Rate>>,
    /// Of `slow-close`: how much later the end comes. Of `slicer`: the time between two writes. 0ms to 1h.
    pub delay: Option<Given<Period>>,
    /// Of `timeout`: when the connection is closed, 1ms to 1h, or 0 for when the fault is gone. Of `reset-peer`: how long after
    /// `bytes` it is reset, 0 to 1h.
    #[schemars(extend("default" = "0"))]
    pub timeout: Option<Given<Timeout>>,
    /// Of `limit-data`: how many bytes there are before the connection is closed. Of `reset-peer`: before it is reset, 0 for the
    /// first.
    pub bytes: Option<Given<Size>>,
    /// Of `slicer`: how many bytes are written at a time, 1B to 1MiB.
    pub average_size: Option<Given<Size>>,
    /// Of `slicer`: by how much that differs, more or less; less than `average-size`.
    pub size_variation: Option<Given<Size>>,
    /// Of `corrupt`: one byte in so many is another one, 1 to 1000000000.
    #[schemars(extend("minimum" = ranges::CORRUPT.start(), "maximum" = ranges::CORRUPT.end()))]
    pub one_in: Option<Given<i64>>,
    /// Of `refuse`: how connections are closed, with `rst` or with `fin`.
    #[schemars(extend("default" = Word::of(Close::Rst)))]
    pub with: Option<Given<Word<Close>>>,
}

/// By the names that Toxiproxy has, with `-` for `_`, and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Latency,
    Bandwidth,
    SlowClose,
    Timeout,
    ResetPeer,
    Slicer,
    LimitData,
    Corrupt,
    Refuse,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    Rst,
    Fin,
}

impl Read for Fault {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ kind = \"latency\", latency = \"100ms\" }`";
        read_table(value, expected, problems, |table| Self {
            kind: table.required("kind"),
            direction: table.optional("direction"),
            share: table.optional("share"),
            seed: table.optional("seed"),
            latency: table.optional("latency"),
            jitter: table.optional("jitter"),
            distribution: table.optional("distribution"),
            rate: table.optional("rate"),
            delay: table.optional("delay"),
            timeout: table.optional("timeout"),
            bytes: table.optional("bytes"),
            average_size: table.optional("average-size"),
            size_variation: table.optional("size-variation"),
            one_in: table.optional("one-in"),
            with: table.optional("with"),
        })
    }
}

//! One of a few words.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problem, Problems, Reported};
use super::file::{Close, Fate, Kind, When};
use super::reader::{Read, Value};
use super::suggest;
use super::{
    Accept, AtBudget, Balance, CaptureFormat, CaptureLegs, CaptureOnly, Connect, Directions, Distribution, Grant,
    OnDown, OnError, Per, ProxyVersion, Refusal, SentTlv, TlsStart, TlsVersion, Transparent,
};
use crate::protocol::Protocol;

/// A type whose values are words in a file.
pub(super) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for OnError {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("close", Self::Close),
        ("pass", Self::Pass),
        ("previous", Self::Previous),
    ];
}

impl Words for AtBudget {
    const WORDS: &'static [(&'static str, Self)] = &[("share", Self::Share), ("refuse", Self::Refuse)];
}

impl Words for When {
    const WORDS: &'static [(&'static str, Self)] = &[("if-absent", Self::IfAbsent), ("always", Self::Always)];
}

impl Words for Grant {
    const WORDS: &'static [(&'static str, Self)] = &GRANTS;
}

/// By the names that the interfaces have.
const GRANTS: [(&str, Grant); Grant::ALL.len()] = {
    let mut words = [("", Grant::Connection); Grant::ALL.len()];
    let mut next = 0;
    while next < words.len() {
        words[next] = (Grant::ALL[next].name(), Grant::ALL[next]);
        next += 1;
    }
    words
};

impl Words for Balance {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("round-robin", Self::RoundRobin),
        ("least-connections", Self::LeastConnections),
        ("two-choices", Self::TwoChoices),
        ("source-hash", Self::SourceHash),
        ("maglev", Self::Maglev),
        ("random", Self::Random),
    ];
}

impl Words for Connect {
    const WORDS: &'static [(&'static str, Self)] = &[("at-once", Self::AtOnce), ("first-byte", Self::FirstByte)];
}

impl Words for OnDown {
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("drain", Self::Drain), ("kill", Self::Kill)];
}

impl Words for Per {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connection", Self::Connection),
        ("client", Self::Client),
        ("key", Self::Key),
        ("all", Self::All),
    ];
}

impl Words for CaptureFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pcapng", Self::Pcapng), ("text", Self::Text), ("hex", Self::Hex)];
}

impl Words for CaptureLegs {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("both", Self::Both),
        ("client", Self::Client),
        ("upstream", Self::Upstream),
        ("filtered", Self::Filtered),
    ];
}

impl Words for CaptureOnly {
    const WORDS: &'static [(&'static str, Self)] = &[("abnormal", Self::Abnormal)];
}

impl Words for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("latency", Self::Latency),
        ("bandwidth", Self::Bandwidth),
        ("slow-close", Self::SlowClose),
        ("timeout", Self::Timeout),
        ("reset-peer", Self::ResetPeer),
        ("slicer", Self::Slicer),
        ("limit-data", Self::LimitData),
        ("corrupt", Self::Corrupt),
        ("refuse", Self::Refuse),
        ("down", Self::Down),
    ];
}

impl Words for Directions {
    const WORDS: &'static [(&'static str, Self)] = &[("up", Self::Up), ("down", Self::Down), ("both", Self::Both)];
}

impl Words for Close {
    const WORDS: &'static [(&'static str, Self)] = &[("rst", Self::Rst), ("fin", Self::Fin)];
}

impl Words for Distribution {
    const WORDS: &'static [(&'static str, Self)] = &[("uniform", Self::Uniform), ("normal", Self::Normal)];
}

impl Words for Fate {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("kill", Self::Kill)];
}

impl Words for Accept {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("groups", Self::Groups),
        ("per-worker", Self::PerWorker),
        ("shared", Self::Shared),
    ];
}

impl Words for ProxyVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("v1", Self::V1), ("v2", Self::V2)];
}

impl Words for SentTlv {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("authority", Self::Authority),
        ("alpn", Self::Alpn),
        ("ssl", Self::Ssl),
        ("unique-id", Self::UniqueId),
        ("crc32c", Self::Crc32c),
    ];
}

impl Words for Transparent {
    const WORDS: &'static [(&'static str, Self)] = &[("redirect", Self::Redirect), ("tproxy", Self::Tproxy)];
}

impl Words for Refusal {
    const WORDS: &'static [(&'static str, Self)] = &[("alert", Self::Alert), ("fin", Self::Fin), ("rst", Self::Rst)];
}

impl Words for TlsStart {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("at-once", Self::AtOnce),
        ("detect", Self::Detect),
        ("on-request", Self::OnRequest),
    ];
}

impl Words for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

impl Words for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &PROTOCOLS;
}

/// By the names that they have everywhere.
const PROTOCOLS: [(&str, Protocol); Protocol::ALL.len()] = {
    let mut words = [("", Protocol::Tls); Protocol::ALL.len()];
    let mut next = 0;
    while next < words.len() {
        words[next] = (Protocol::ALL[next].name(), Protocol::ALL[next]);
        next += 1;
    }
    words
};

/// A value that was typed as its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Words> Word<T> {
    /// The word for a value.
    pub(super) fn of(value: T) -> &'static str {
        let word = T::WORDS.iter().find(|(_, candidate)| *candidate == value);
        word.map_or("", |(word, _)| word)
    }

    fn words() -> impl Iterator<Item = &'static str> {
        T::WORDS.iter().map(|(word, _)| *word)
    }
}

impl<T: Words> Read for Word<T> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = String::read(value, problems)?;
        if let Some((_, meant)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(Self(*meant));
        }
        let problem = Problem::at(value.span(), format!("unknown value `{text}`"))
            .note(format!("known values: {}", suggest::list(Self::words())));
        Err(problems.report(match suggest::similar(&text, Self::words()) {
            Some(meant) => problem.label(format!("did you mean `{meant}`?")),
            None => problem,
        }))
    }
}

impl<T: Words> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::words().collect::<Vec<_>>() })
    }
}

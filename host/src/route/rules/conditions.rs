//! What one route says about one connection, condition by condition.

use std::borrow::Cow;

use super::known::{First, Known, Tls};
use crate::config::{Pattern, RouteConfig, TlvCondition, Trusted, may_be};
use crate::detect::{Answer, begins};
use crate::protocol::Protocol;

/// The type whose values begin with a subtype (AWS).
const WITH_SUBTYPE: u8 = 0xea;

pub(super) type Condition = fn(&RouteConfig, &Known<'_>) -> Answer;

/// What is known at once, then what costs more to find out.
const BESIDES_NAME: [Condition; 6] = [client, destination, alpn, subject, tlvs, protocol];

/// Whether all of them hold.
pub(super) fn all(route: &RouteConfig, known: &Known<'_>) -> Answer {
    match sni(route, known) {
        Answer::Yes => besides_name(route, known),
        Answer::No => Answer::No,
        Answer::NeedMore => match besides_name(route, known) {
            Answer::No => Answer::No,
            Answer::Yes | Answer::NeedMore => Answer::NeedMore,
        },
    }
}

/// Whether all of them hold, but for the name that the client asks for.
pub(super) fn besides_name(route: &RouteConfig, known: &Known<'_>) -> Answer {
    let mut all = Answer::Yes;
    for condition in BESIDES_NAME {
        match condition(route, known) {
            Answer::Yes => {}
            Answer::No => return Answer::No,
            Answer::NeedMore => all = Answer::NeedMore,
        }
    }
    all
}

pub(super) fn sni(route: &RouteConfig, known: &Known<'_>) -> Answer {
    if route.sni.is_empty() {
        return Answer::Yes;
    }
    if known.hello_may_come() {
        return Answer::NeedMore;
    }
    let fits = |name| route.sni.iter().any(|pattern| pattern.matches(name));
    answer(known.server_name().is_some_and(fits))
}

pub(super) fn alpn(route: &RouteConfig, known: &Known<'_>) -> Answer {
    if route.alpn.is_empty() {
        return Answer::Yes;
    }
    let is_one = |name: &str| route.alpn.iter().any(|wanted| wanted == name);
    match known.tls {
        Tls::Unknown if !known.over => Answer::NeedMore,
        Tls::Unknown | Tls::Absent => Answer::No,
        Tls::Hello { offered, .. } => answer(offered.iter().any(|name| is_one(name))),
        Tls::Established { alpn, .. } => answer(alpn.is_some_and(is_one)),
    }
}

pub(super) fn protocol(route: &RouteConfig, known: &Known<'_>) -> Answer {
    if route.protocol.is_empty() {
        return Answer::Yes;
    }
    let mut any = Answer::No;
    for protocol in &route.protocol {
        match speaks(*protocol, known) {
            Answer::Yes => return Answer::Yes,
            Answer::No => {}
            Answer::NeedMore => any = Answer::NeedMore,
        }
    }
    any
}

/// What was decrypted is TLS no longer: there, the condition is about what was inside.
pub(super) fn speaks(protocol: Protocol, known: &Known<'_>) -> Answer {
    if protocol == Protocol::Tls && matches!(known.tls, Tls::Established { .. }) {
        return Answer::No;
    }
    match known.first {
        First::Gone { protocol: spoken, .. } => answer(spoken == Some(protocol)),
        First::Bytes(bytes) => match begins(protocol, bytes) {
            Answer::NeedMore if known.over => Answer::No,
            told => told,
        },
    }
}

pub(super) fn client(route: &RouteConfig, known: &Known<'_>) -> Answer {
    let comes_from = |networks: &Trusted| networks.contains(known.client);
    answer(route.client.as_ref().is_none_or(comes_from))
}

/// Who was on no other way was to go nowhere.
pub(super) fn destination(route: &RouteConfig, known: &Known<'_>) -> Answer {
    let is_one = |address| may_be(&route.destination, address);
    answer(route.destination.is_empty() || known.destination.is_some_and(is_one))
}

pub(super) fn tlvs(route: &RouteConfig, known: &Known<'_>) -> Answer {
    let is_there = |condition| has(known, condition);
    answer(route.tlvs.is_empty() || route.tlvs.iter().any(is_there))
}

/// Whether the header has what is asked for, be it once among several of the type.
pub(super) fn has(known: &Known<'_>, condition: &TlvCondition) -> bool {
    let Some(tlvs) = known.tlvs else {
        return false;
    };
    let fits = |value: &[u8]| match &condition.value {
        None => true,
        Some(pattern) => readings(condition.kind, value).any(|text| pattern.matches(&text)),
    };
    tlvs.of_type(condition.kind).any(fits)
}

/// What a value is compared as: all of it, and what follows its subtype where it has one.
pub(super) fn readings(kind: u8, value: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let inner = value.split_first().map(|(_, inner)| inner);
    let inner = inner.filter(|_| kind == WITH_SUBTYPE);
    std::iter::once(value).chain(inner).map(String::from_utf8_lossy)
}

pub(super) fn subject(route: &RouteConfig, known: &Known<'_>) -> Answer {
    let fits = |subject: &str| route.subject.iter().any(|pattern: &Pattern| pattern.matches(subject));
    answer(route.subject.is_empty() || known.subject.is_some_and(fits))
}

fn answer(holds: bool) -> Answer {
    if holds { Answer::Yes } else { Answer::No }
}

//! Why a connection takes the route that it takes: what each route says of it, in order, until one decides.

use std::fmt::Display;

use super::conditions::{self, Condition};
use super::known::{Known, Tls};
use super::{Decided, Rules};
use crate::config::{Pattern, RouteConfig, TlvCondition, Trusted};
use crate::detect::Answer;

/// How many of a long list are shown.
const SHOWN: usize = 8;

/// What routes say of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The first routes, in order. The last one decided, unless none did.
    pub steps: Vec<Step>,
    /// How many routes there are behind the one that decided.
    pub not_looked_at: usize,
    /// The same as of `Rules::decide`.
    pub decided: Decided,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub route: usize,
    /// As `RouteConfig::name`.
    pub name: String,
    /// What it says.
    pub finding: Finding,
}

/// What one route says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All conditions hold: for each, what it holds by. None: it is for any connection.
    Yes(Vec<String>),
    /// The first condition that does not hold, and why.
    No(String),
    /// The first condition that cannot be told yet.
    NeedMore(Awaited),
}

/// What a route waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The ClientHello of TLS.
    Hello,
    /// As many as tell the protocol.
    FirstBytes,
}

/// A condition, what it holds by, why it does not hold, and what it may wait for.
struct Clause {
    condition: Condition,
    holds_by: fn(&RouteConfig, &Known<'_>) -> Option<String>,
    fails_since: fn(&RouteConfig, &Known<'_>) -> String,
    awaits: Awaited,
}

/// In the order in which they are shown.
const CLAUSES: [Clause; 7] = [
    Clause {
        condition: conditions::sni,
        holds_by: |route, known| {
            let fitting = fitting(&route.sni, known.server_name()?)?;
            Some(format!("sni \"{fitting}\""))
        },
        fails_since: |route, known| match (known.server_name(), no_hello(known)) {
            (Some(name), _) => format!("sni: {name:?} is none of {}", quoted(&route.sni)),
            (None, Some(reason)) => format!("sni: {reason}"),
            (None, None) => "sni: the client asks for no name".to_owned(),
        },
        awaits: Awaited::Hello,
    },
    Clause {
        condition: conditions::alpn,
        holds_by: |route, known| {
            let is_there = |name: &&String| match known.tls {
                Tls::Hello { offered, .. } => offered.contains(name),
                Tls::Established { alpn, .. } => alpn == Some(name.as_str()),
                Tls::Unknown | Tls::Absent => false,
            };
            Some(format!("alpn \"{}\"", route.alpn.iter().find(is_there)?))
        },
        fails_since: |route, known| {
            let wanted = quoted(&route.alpn);
            match known.tls {
                Tls::Hello { offered: [], .. } => "alpn: the client offers nothing".to_owned(),
                Tls::Hello { offered: [one], .. } => format!("alpn: {one:?} is none of {wanted}"),
                Tls::Hello { offered, .. } => format!("alpn: of {}, none is one of {wanted}", quoted(offered)),
                Tls::Established { alpn: Some(alpn), .. } => format!("alpn: {alpn:?} is none of {wanted}"),
                Tls::Established { alpn: None, .. } => "alpn: nothing was negotiated".to_owned(),
                Tls::Unknown | Tls::Absent => format!("alpn: {}", no_hello(known).unwrap_or_default()),
            }
        },
        awaits: Awaited::Hello,
    },
    Clause {
        condition: conditions::protocol,
        holds_by: |route, known| {
            let spoken = |protocol: &&_| conditions::speaks(**protocol, known) == Answer::Yes;
            Some(format!("protocol {}", route.protocol.iter().find(spoken)?))
        },
        fails_since: |route, known| match known.first.is_empty() {
            true => "protocol: the client has sent nothing".to_owned(),
            false => format!("protocol: the first bytes are not of {}", listed(&route.protocol)),
        },
        awaits: Awaited::FirstBytes,
    },
    Clause {
        condition: conditions::client,
        holds_by: |route, known| {
            let networks = &route.client.as_ref()?.networks;
            match known.client {
                Some(address) => {
                    let network = networks.iter().find(|network| network.contains(&address))?;
                    Some(format!("client {network}"))
                }
                None => Some("client unix".to_owned()),
            }
        },
        fails_since: |route, known| {
            let networks = route.client.as_ref().map(networks).unwrap_or_default();
            match known.client {
                Some(address) => format!("client: {address} is in none of {networks}"),
                None => format!("client: a unix socket is none of {networks}"),
            }
        },
        awaits: Awaited::FirstBytes,
    },
    Clause {
        condition: conditions::destination,
        holds_by: |route, known| {
            let destination = known.destination?;
            let one = route.destination.iter().find(|one| one.has(destination))?;
            Some(format!("destination {one}"))
        },
        fails_since: |route, known| match known.destination {
            Some(destination) => format!("destination: {destination} is none of {}", listed(&route.destination)),
            None => "destination: it is not known where the connection was to go".to_owned(),
        },
        awaits: Awaited::FirstBytes,
    },
    Clause {
        condition: conditions::tlvs,
        holds_by: |route, known| {
            let there = route.tlvs.iter().find(|condition| conditions::has(known, condition))?;
            Some(format!("tlv {}", tlv(there)))
        },
        fails_since: |route, known| match known.tlvs {
            Some(_) => format!("tlv: the PROXY header has none of {}", tlvs(&route.tlvs)),
            None => "tlv: there is no PROXY header".to_owned(),
        },
        awaits: Awaited::FirstBytes,
    },
    Clause {
        condition: conditions::subject,
        holds_by: |route, known| Some(format!("subject \"{}\"", fitting(&route.subject, known.subject?)?)),
        fails_since: |route, known| match known.subject {
            Some(subject) => format!("subject: {subject:?} is none of {}", quoted(&route.subject)),
            None => "subject: the client has shown no certificate".to_owned(),
        },
        awaits: Awaited::FirstBytes,
    },
];

impl Rules {
    /// Takes the routes one by one, as they are written.
    pub fn explain(&self, known: &Known<'_>) -> Explanation {
        let mut steps = Vec::new();
        let mut decided = Decided::NoMatch;
        for (number, route) in self.routes.iter().enumerate() {
            let finding = find(route, known);
            match &finding {
                Finding::Yes(_) => decided = Decided::Route(number),
                Finding::No(_) => {}
                Finding::NeedMore(_) => decided = Decided::NeedMore,
            }
            steps.push(Step {
                route: number,
                name: route.name.clone(),
                finding,
            });
            if decided != Decided::NoMatch {
                break;
            }
        }
        Explanation {
            not_looked_at: self.routes.len() - steps.len(),
            steps,
            decided,
        }
    }
}

fn find(route: &RouteConfig, known: &Known<'_>) -> Finding {
    let told: Vec<(Answer, &Clause)> = CLAUSES
        .iter()
        .map(|clause| ((clause.condition)(route, known), clause))
        .collect();
    let first = |wanted| {
        told.iter()
            .find(|(answer, _)| *answer == wanted)
            .map(|(_, clause)| clause)
    };
    if let Some(clause) = first(Answer::No) {
        return Finding::No((clause.fails_since)(route, known));
    }
    if let Some(clause) = first(Answer::NeedMore) {
        return Finding::NeedMore(clause.awaits);
    }
    // A condition that is not there holds by nothing.
    let reasons = CLAUSES.iter().filter_map(|clause| (clause.holds_by)(route, known));
    Finding::Yes(reasons.collect())
}

fn no_hello(known: &Known<'_>) -> Option<&'static str> {
    match known.tls {
        Tls::Unknown => Some("there is no whole ClientHello"),
        Tls::Absent => Some("the first bytes are no ClientHello"),
        Tls::Hello { .. } | Tls::Established { .. } => None,
    }
}

fn fitting<'a>(patterns: &'a [Pattern], name: &str) -> Option<&'a Pattern> {
    patterns.iter().find(|pattern| pattern.matches(name))
}

fn networks(trusted: &Trusted) -> String {
    let unix = trusted.unix.then(|| "unix".to_owned());
    let all = trusted.networks.iter().map(ToString::to_string).chain(unix);
    listed(&all.collect::<Vec<_>>())
}

fn tlv(condition: &TlvCondition) -> String {
    match &condition.value {
        Some(value) => format!("0x{:02X} \"{value}\"", condition.kind),
        None => format!("0x{:02X}", condition.kind),
    }
}

fn tlvs(conditions: &[TlvCondition]) -> String {
    listed(&conditions.iter().map(tlv).collect::<Vec<_>>())
}

fn quoted<T: Display>(all: &[T]) -> String {
    let quoted = all.iter().map(|one| format!("\"{one}\""));
    listed(&quoted.collect::<Vec<_>>())
}

fn listed<T: Display>(all: &[T]) -> String {
    let mut shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    if all.len() > SHOWN {
        shown.push(format!("{} more", all.len() - SHOWN));
    }
    shown.join(", ")
}

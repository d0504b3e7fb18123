//! Which routes were tried, again: from what is left of what they were asked with.

use std::net::IpAddr;

use super::super::said::{Step, StepKind, StepResult};
use super::step;
use crate::connection::{Began, Looked};
use crate::route::rules::{Decided, Explanation, Finding, First, Known, Rules, Tls};
use crate::words::count;

/// How many are told of, the one that matched among them.
const MOST: usize = 32;

/// Without `looked`, nothing was asked but where the client comes from.
pub(super) fn tried(rules: &Rules, client: Option<IpAddr>, looked: Option<&Looked>) -> Vec<Step> {
    if rules.is_empty() {
        return Vec::new();
    }
    let explanation = rules.explain(&known(client, looked));
    let matched = looked.map(|looked| match looked.route {
        Some(route) => Decided::Route(route as usize),
        None => Decided::NoMatch,
    });
    match matched {
        // Not all of what it was decided by is kept.
        Some(Decided::Route(route)) if explanation.decided != Decided::Route(route) => {
            let why = "what it was decided by is not kept";
            vec![step(StepKind::Route, Some(rules.name(route)), StepResult::Matched, why)]
        }
        _ => told(&explanation),
    }
}

fn known(client: Option<IpAddr>, looked: Option<&Looked>) -> Known<'_> {
    let Some(looked) = looked else {
        return Known {
            client,
            destination: None,
            tlvs: None,
            subject: None,
            first: First::Bytes(&[]),
            tls: Tls::Unknown,
            over: true,
        };
    };
    let established = match &looked.tls {
        Began::Established(established) => Some(established),
        Began::Unknown | Began::Absent | Began::Hello { .. } => None,
    };
    Known {
        client,
        destination: None,
        tlvs: looked.proxied.as_ref().map(|proxied| proxied.tlvs()),
        subject: established.and_then(|tls| Some(tls.subject()?.name())),
        first: First::Gone {
            bytes: looked.seen as usize,
            protocol: looked.protocol,
        },
        tls: match &looked.tls {
            Began::Unknown => Tls::Unknown,
            Began::Absent => Tls::Absent,
            Began::Hello { name, offered } => Tls::Hello {
                name: name.as_deref(),
                offered,
            },
            Began::Established(tls) => Tls::Established {
                name: tls.sni(),
                alpn: tls.alpn(),
            },
        },
        over: looked.over,
    }
}

fn told(explanation: &Explanation) -> Vec<Step> {
    let steps = &explanation.steps;
    // The last one is the one that counts.
    let Some((last, before)) = steps.split_last() else {
        return Vec::new();
    };
    let mut told: Vec<_> = before.iter().take(MOST - 1).map(told_of).collect();
    let left_out = before.len() - told.len();
    if left_out > 0 {
        let why = format!("{} between did not match either", count(left_out, "route"));
        told.push(step(StepKind::Route, None, StepResult::NoMatch, why));
    }
    told.push(told_of(last));
    told
}

fn told_of(tried: &crate::route::rules::Step) -> Step {
    let (result, why) = match &tried.finding {
        Finding::Yes(reasons) if reasons.is_empty() => (StepResult::Matched, "for any connection".to_owned()),
        Finding::Yes(reasons) => (StepResult::Matched, reasons.join(", ")),
        Finding::No(reason) => (StepResult::NoMatch, reason.clone()),
        Finding::NeedMore(_) => (StepResult::Waits, "for more of the client".to_owned()),
    };
    step(StepKind::Route, Some(&tried.name), result, why)
}

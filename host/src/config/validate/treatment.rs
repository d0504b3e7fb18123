//! `treatment` of a listener, a route and an upstream.

use super::capture::capture;
use super::faults::fault;
use super::given::{apart, in_range, within, word_or_default};
use super::mirror::mirror;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::reader::Given;
use crate::config::{Bandwidth, Per, Quota, TreatmentConfig, file, ranges};

pub fn treatment(given: Option<Given<file::Treatment>>, problems: &mut Problems) -> Result<TreatmentConfig, Reported> {
    let Some(given) = given else {
        return Ok(TreatmentConfig::default());
    };
    let typed = given.value()?;
    let bandwidth = several(typed.bandwidth, problems, bandwidth);
    let quotas = several(typed.quota, problems, quota);
    let faults = several(typed.faults, problems, fault);
    let mirrors = several(typed.mirror, problems, mirror);
    let captures = several(typed.capture, problems, capture);
    Ok(TreatmentConfig {
        bandwidth: bandwidth?,
        quotas: quotas?,
        faults: faults?,
        mirrors: mirrors?,
        captures: captures?,
    })
}

/// What is asked for by a key has to be something.
pub fn several<T, U>(
    given: Option<Given<file::Several<T>>>,
    problems: &mut Problems,
    mut each: impl FnMut(T, Span, &mut Problems) -> Result<U, Reported>,
) -> Result<Vec<U>, Reported> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let (typed, span) = apart(given.0?);
    if typed.0.is_empty() {
        let problem = Problem::at(span, "nothing is asked for here");
        return Err(problems.report(problem.label("leave the key out, or write what is meant")));
    }
    all(typed.0.into_iter().map(|one| {
        let (one, span) = apart(one.0?);
        each(one, span, problems)
    }))
}

fn bandwidth(typed: file::Bandwidth, _: Span, problems: &mut Problems) -> Result<Bandwidth, Reported> {
    let mut rate = |given: Option<Given<_>>| given.map(|given| within(given, &ranges::RATE, problems)).transpose();
    let (up, down) = (rate(typed.up), rate(typed.down));
    let burst = typed
        .burst
        .map(|given| within(given, &ranges::BURST, problems))
        .transpose();
    let per = word_or_default(typed.per);
    Ok(Bandwidth {
        up: up?.map(|rate| rate.0),
        down: down?.map(|rate| rate.0),
        per: per?,
        burst: burst?.map(|size| size.0),
    })
}

fn quota(typed: file::Quota, _: Span, problems: &mut Problems) -> Result<Quota, Reported> {
    let at = super::given::place(&typed.connections);
    let connections = typed
        .connections
        .map(|given| within(given, &ranges::LIMIT, problems))
        .transpose();
    let bytes = typed
        .bytes
        .map(|given| within(given, &ranges::QUOTA_BYTES, problems))
        .transpose();
    let every = typed.every.0.and_then(|period| {
        let (period, span) = apart(period);
        in_range(period, span, &ranges::QUOTA_TIME, problems)
    });
    let per = typed.per.value().map(|word| word.0);
    if let (Some(at), Ok(Per::Connection)) = (at, per) {
        let problem = Problem::at(at, "a quota of connections for each connection");
        return Err(problems.report(problem.label("expected `per` to be \"client\", \"key\" or \"all\"")));
    }
    Ok(Quota {
        connections: connections?.map(i64::unsigned_abs),
        bytes: bytes?.map(|size| size.0),
        every: every?.0,
        per: per?,
    })
}

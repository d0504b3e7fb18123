//! `canary` of a filter.

use ipnet::IpNet;
use toml::Spanned;

use super::given::{apart, or_default, place};
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::network::Network;
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Canary, defaults, file, ranges};

pub fn canary(given: Given<file::Canary>, problems: &mut Problems) -> Result<Canary, Reported> {
    let typed = match given.value()? {
        file::Canary::Share(share) => file::CanaryTable {
            share: Some(share),
            ..file::CanaryTable::default()
        },
        file::Canary::Table(table) => table,
    };
    let default = &defaults::CANARY;
    let shared = place(&typed.share);
    let share = or_default(typed.share, &ranges::CANARY_SHARE, Percentage(default.share), problems);
    let clients = typed
        .clients
        .map_or(Ok(Vec::new()), |given| clients(given, shared, problems));
    let time = or_default(typed.time, &ranges::CANARY_TIME, Period(default.time), problems);
    let (range, connections) = (&ranges::CANARY_CONNECTIONS, default.connections);
    let connections = count_or_default(typed.connections, range, connections, problems);
    let failures = count_or_default(typed.failures, &ranges::FAILURES, default.failures, problems);
    let margin = or_default(
        typed.margin,
        &ranges::CANARY_MARGIN,
        Percentage(default.margin),
        problems,
    );
    Ok(Canary {
        share: share?.0,
        clients: clients?,
        time: time?.0,
        connections: connections?,
        failures: failures?,
        margin: margin?.0,
    })
}

/// A number whose range has nothing below 0.
pub fn count_or_default(
    given: Option<Given<i64>>,
    range: &std::ops::RangeInclusive<i64>,
    default: u64,
    problems: &mut Problems,
) -> Result<u64, Reported> {
    let default = i64::try_from(default).unwrap_or(i64::MAX);
    or_default(given, range, default, problems).map(i64::unsigned_abs)
}

/// There are some, in the place of a share, and each of them has an address.
fn clients(
    given: Given<Vec<Given<Network>>>,
    shared: Option<Span>,
    problems: &mut Problems,
) -> Result<Vec<IpNet>, Reported> {
    let (typed, span) = apart(given.0?);
    if let Some(shared) = shared {
        let problem = Problem::at(span, "a canary gets either some clients or a share of all")
            .label("expected only one of `clients` and `share`")
            .related(shared, "`share` is here");
        return Err(problems.report(problem));
    }
    if typed.is_empty() {
        let problem = Problem::at(span, "no client would try a new generation");
        return Err(problems.report(problem.label("expected at least one network, as in [\"10.0.0.0/8\"]")));
    }
    all(typed.into_iter().map(|network| network_of(network.0?, problems)))
}

fn network_of(typed: Spanned<Network>, problems: &mut Problems) -> Result<IpNet, Reported> {
    let (network, span) = apart(typed);
    match network {
        Network::Ip(network) => Ok(network),
        Network::Unix => {
            let problem = Problem::at(span, "who comes by a unix socket has no address to be chosen by");
            Err(problems.report(problem.label("expected a network, as in \"10.0.0.0/8\"")))
        }
    }
}

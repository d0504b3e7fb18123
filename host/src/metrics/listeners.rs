//! What listeners have seen.

use std::fmt;

use super::ListenerSeen;
use super::family::{Families, Labels, Observed};
use super::sums::bytes;
use crate::observe::{Histogram, Sums, Times};

pub fn write(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    connections(listeners, families)?;
    families.counters(
        "spliceway_bytes",
        "Bytes of connections that have ended: up is from clients to servers; filtered bytes were shown to filters.",
        bytes(listeners.iter().map(|listener| (labels(listener), sums(listener)))),
    )?;
    times(listeners, families)?;
    routes(listeners, families)?;
    detection(listeners, families)
}

fn connections(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counters(
        "spliceway_connections_accepted",
        "Connections that have begun.",
        listeners.iter().map(|listener| (labels(listener), listener.accepted)),
    )?;
    families.gauges(
        "spliceway_connections_open",
        "Connections that have not ended.",
        listeners.iter().map(|listener| {
            let open = listener.accepted.saturating_sub(listener.seen.connections);
            (labels(listener), open as f64)
        }),
    )?;
    let outcomes = listeners.iter().map(|listener| {
        let seen = listener.seen.outcomes.iter();
        let outcomes: Vec<_> = seen.map(|(outcome, count)| (outcome.to_string(), *count)).collect();
        (listener, outcomes)
    });
    let outcomes: Vec<_> = outcomes.collect();
    families.counters(
        "spliceway_connections",
        "Connections that have ended, by stage, cause and side.",
        outcomes.iter().flat_map(|(listener, outcomes)| {
            let labels = |outcome| vec![("listener", &*listener.name), ("outcome", outcome)];
            outcomes.iter().map(move |(outcome, count)| (labels(outcome), *count))
        }),
    )
}

fn times(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    let of = |time: fn(&Times) -> &Histogram| {
        let observed = move |listener: &ListenerSeen| Observed::of(time(&listener.seen.times));
        listeners
            .iter()
            .map(move |listener| (labels(listener), observed(listener)))
    };
    families.histograms(
        "spliceway_connect_seconds",
        "From the choice of an upstream until one of its servers had answered, of connections that have ended.",
        of(|times| &times.connect),
    )?;
    families.histograms(
        "spliceway_first_byte_seconds",
        "From being connected to a server until its first byte, of connections that have ended.",
        of(|times| &times.first_byte),
    )?;
    families.histograms(
        "spliceway_connection_duration_seconds",
        "From being accepted until the end.",
        of(|times| &times.duration),
    )
}

fn routes(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    let routes = || {
        listeners.iter().flat_map(|listener| {
            let labels = |route| vec![("listener", &*listener.name), ("route", route)];
            let routes = listener.routes.iter();
            routes.map(move |(route, sums)| (labels(&**route), *sums))
        })
    };
    families.counters(
        "spliceway_route_connections",
        "Connections that took the route and have ended.",
        routes().map(|(labels, sums)| (labels, sums.connections)),
    )?;
    families.counters("spliceway_route_bytes", "Their bytes.", bytes(routes()))
}

fn labels(listener: &ListenerSeen) -> Labels<'_> {
    vec![("listener", &*listener.name)]
}

fn sums(listener: &ListenerSeen) -> Sums {
    let seen = &listener.seen;
    Sums {
        connections: seen.connections,
        up: seen.up,
        down: seen.down,
    }
}

/// Of those where there was something to be found out.
fn detection(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    let detected = || {
        let detected = listeners
            .iter()
            .filter(|listener| listener.seen.detection.connections > 0);
        detected.map(|listener| (labels(listener), listener.seen.detection))
    };
    families.counters(
        "spliceway_detections",
        "Connections whose first bytes were waited for.",
        detected().map(|(labels, detected)| (labels, detected.connections)),
    )?;
    families.counters(
        "spliceway_detection_timeouts",
        "Those of them that had not said enough in time.",
        detected().map(|(labels, detected)| (labels, detected.timeouts)),
    )?;
    families.sums(
        "spliceway_detection_seconds",
        "How long they were waited for, all together.",
        detected().map(|(labels, detected)| (labels, detected.waited.as_secs_f64())),
    )
}

//! What listeners have seen.

use std::fmt;

use super::ListenerSeen;
use super::family::Families;
use crate::observe::{Moved, Seen};

pub fn write(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
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
    )?;
    families.counters(
        "spliceway_bytes",
        "Bytes of connections that have ended: up is from clients to servers; filtered bytes were shown to filters.",
        listeners.iter().flat_map(|listener| {
            let labels =
                |direction, path| vec![("listener", &*listener.name), ("direction", direction), ("path", path)];
            moved(&listener.seen).map(move |(direction, path, bytes)| (labels(direction, path), bytes))
        }),
    )?;
    detection(listeners, families)
}

fn moved(seen: &Seen) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
    let paths = |moved: Moved| {
        [
            ("copied", moved.copied),
            ("spliced", moved.spliced),
            ("filtered", moved.filtered),
        ]
    };
    let directions = [("up", paths(seen.up)), ("down", paths(seen.down))];
    directions
        .into_iter()
        .flat_map(|(direction, paths)| paths.map(|(path, bytes)| (direction, path, bytes)))
}

/// Of those where there was something to be found out.
fn detection(listeners: &[ListenerSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    let detected = || {
        let detected = listeners
            .iter()
            .filter(|listener| listener.seen.detection.connections > 0);
        detected.map(|listener| (vec![("listener", &*listener.name)], listener.seen.detection))
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

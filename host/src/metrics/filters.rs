//! What filters have done, by their generations. One that is freed is told of no more: its number does not come back.

use std::fmt;

use super::family::{Families, Labels, Observed};
use super::{FilterSeen, GenerationSeen};
use crate::filter::{BUCKETS, End, FailureKind, Role, TIMED, Totals, Verdict};

pub fn write(filters: &[FilterSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    states(filters, families)?;
    calls(filters, families)?;
    bytes(filters, families)?;
    families.counters(
        "spliceway_filter_connections",
        "Connections that began with the generation and have ended.",
        per(filters, |totals| {
            let ends = End::ALL.map(|end| (vec![("end", end.name())], totals.ends[end as usize]));
            ends.to_vec()
        }),
    )?;
    families.gauges(
        "spliceway_filter_instances",
        "Instances that there are.",
        per(filters, |totals| vec![(Vec::new(), totals.instances as f64)]),
    )?;
    families.gauges(
        "spliceway_filter_memory_bytes",
        "Linear memory of all instances.",
        per(filters, |totals| vec![(Vec::new(), totals.memory as f64)]),
    )
}

fn states(filters: &[FilterSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.infos(
        "spliceway_filter",
        "Generations of filters that connections have.",
        generations(filters).map(|(filter, generation)| {
            let mut labels = labels(filter, generation);
            labels.extend([("digest", &*generation.digest), ("state", generation.state)]);
            labels
        }),
    )?;
    families.counters(
        "spliceway_filter_transitions",
        "What has happened to generations.",
        filters.iter().flat_map(|filter| {
            let labels = |transition| vec![("filter", &*filter.name), ("transition", transition)];
            let transitions = filter.transitions.iter();
            transitions.map(move |(transition, count)| (labels(*transition), *count))
        }),
    )
}

fn calls(filters: &[FilterSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counters(
        "spliceway_filter_calls",
        "Calls into the filter.",
        per(filters, |totals| {
            let calls = Role::ALL.map(|role| (vec![("role", role.name())], totals.calls[role as usize]));
            calls.into_iter().filter(|(_, calls)| *calls > 0).collect()
        }),
    )?;
    families.counters(
        "spliceway_filter_verdicts",
        "What it answered.",
        per(filters, |totals| {
            Role::ALL.into_iter().flat_map(|role| verdicts(totals, role)).collect()
        }),
    )?;
    families.counters(
        "spliceway_filter_failures",
        "Calls that failed, connections for which there was no instance (budget) among them.",
        per(filters, |totals| {
            let failures = FailureKind::ALL.iter();
            failures
                .map(|kind| (vec![("kind", kind.name())], totals.failures[*kind as usize]))
                .collect()
        }),
    )?;
    families.histograms(
        "spliceway_filter_call_seconds",
        &format!("How long calls took, of one in {TIMED}."),
        per(filters, |totals| vec![(Vec::new(), times(totals))]),
    )
}

fn bytes(filters: &[FilterSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counters(
        "spliceway_filter_shown_bytes",
        "Bytes that it was shown.",
        per(filters, |totals| vec![(Vec::new(), totals.shown)]),
    )?;
    families.counters(
        "spliceway_filter_skipped_bytes",
        "Bytes that it skipped.",
        per(filters, |totals| vec![(Vec::new(), totals.skipped)]),
    )
}

/// Those that it has given.
fn verdicts(totals: &Totals, role: Role) -> impl Iterator<Item = (Labels<'static>, u64)> {
    let verdicts = totals.verdicts[role as usize];
    Verdict::ALL.into_iter().filter_map(move |verdict| {
        let count = verdicts[verdict as usize];
        (count > 0).then(|| (vec![("role", role.name()), ("verdict", verdict.name())], count))
    })
}

fn times(totals: &Totals) -> Observed {
    let bounds = BUCKETS.iter().map(std::time::Duration::as_secs_f64);
    Observed {
        sum: totals.time.as_secs_f64(),
        buckets: bounds.chain([f64::INFINITY]).zip(totals.times).collect(),
    }
}

/// Samples of every generation, with labels that say whose they are in front of their own.
fn per<'s, T: 's>(
    filters: &'s [FilterSeen],
    samples: impl Fn(&'s Totals) -> Vec<(Labels<'s>, T)> + 's,
) -> impl Iterator<Item = (Labels<'s>, T)> {
    generations(filters).flat_map(move |(filter, generation)| {
        let samples = samples(&generation.totals);
        samples.into_iter().map(|(own, value)| {
            let mut labels = labels(filter, generation);
            labels.extend(own);
            (labels, value)
        })
    })
}

fn generations(filters: &[FilterSeen]) -> impl Iterator<Item = (&FilterSeen, &GenerationSeen)> {
    filters
        .iter()
        .flat_map(|filter| filter.generations.iter().map(move |generation| (filter, generation)))
}

fn labels<'s>(filter: &'s FilterSeen, generation: &'s GenerationSeen) -> Labels<'s> {
    vec![("filter", &*filter.name), ("generation", &*generation.number)]
}

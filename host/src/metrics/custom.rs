//! What filters count themselves. Their names have a prefix of their own, so that none is one of ours.

use std::fmt;

use super::family::{Families, Labels, Observed};
use super::{Custom, FilterSeen};
use crate::filter::Reading;

/// A family has all that filters of the same name have counted: the host sees to it that they mean the same kind by it.
pub fn write(filters: &[FilterSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    let mut all: Vec<(&str, &Custom)> = Vec::new();
    for filter in filters {
        all.extend(filter.custom.iter().map(|custom| (&*filter.name, custom)));
    }
    // By name, and in the order of the filters where that is the same.
    all.sort_by_key(|(_, custom)| &*custom.family);
    for same in all.chunk_by(|(_, one), (_, other)| one.family == other.family) {
        write_family(same, families)?;
    }
    Ok(())
}

fn write_family(samples: &[(&str, &Custom)], families: &mut Families<'_, '_>) -> fmt::Result {
    let Some((_, first)) = samples.first() else {
        return Ok(());
    };
    let (name, help) = (format!("spliceway_custom_{}", first.family), &first.help);
    match first.reading {
        Reading::Counter(_) => families.counters(&name, help, read(samples, counter)),
        Reading::Gauge(_) => families.gauges(&name, help, read(samples, gauge)),
        Reading::Histogram { .. } => families.histograms(&name, help, read(samples, histogram)),
    }
}

fn read<'s, T>(
    samples: &'s [(&str, &Custom)],
    read: impl Fn(&Reading) -> Option<T>,
) -> impl Iterator<Item = (Labels<'s>, T)> {
    samples
        .iter()
        .filter_map(move |(filter, custom)| Some((vec![("filter", *filter)], read(&custom.reading)?)))
}

fn counter(reading: &Reading) -> Option<u64> {
    match reading {
        Reading::Counter(count) => Some(*count),
        _ => None,
    }
}

fn gauge(reading: &Reading) -> Option<f64> {
    match reading {
        Reading::Gauge(value) => Some(*value),
        _ => None,
    }
}

fn histogram(reading: &Reading) -> Option<Observed> {
    match reading {
        Reading::Histogram { sum, buckets } => Some(Observed {
            sum: *sum,
            buckets: buckets.clone(),
        }),
        _ => None,
    }
}

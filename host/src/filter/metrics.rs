//! What filters count. Defined by name in `init`, counted by number afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Series of one filter. More than a filter needs, and too few for one per client.
const MOST: usize = 64;

const LONGEST_NAME: usize = 64;

/// One filter's metrics; kept across its generations, so that a counter never goes back.
pub struct Metrics {
    /// Filled from the front, never taken from: a number stays what it was.
    slots: [OnceLock<Arc<Metric>>; MOST],
    names: RwLock<Vec<String>>,
}

pub struct Metric {
    pub name: String,
    pub help: String,
    pub kind: Kind,
    /// A counter's count, or the bits of a gauge's value.
    value: AtomicU64,
    /// A histogram's observations per power of two, from 2^-16 to 2^47.
    buckets: [AtomicU64; 64],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            slots: [const { OnceLock::new() }; MOST],
            names: RwLock::default(),
        }
    }
}

impl Metrics {
    /// # Errors
    /// What is wrong with the name, or that there are too many.
    pub fn define(&self, name: String, kind: Kind, help: String) -> Result<u32, String> {
        check_name(&name)?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = names.iter().position(|known| *known == name) {
            let known = self.slots[number].get().map(|metric| metric.kind);
            return match known == Some(kind) {
                true => Ok(number as u32),
                false => Err(format!("`{name}` is defined as another kind of metric already")),
            };
        }
        let Some(slot) = self.slots.get(names.len()) else {
            return Err(format!("a filter may define {MOST} metrics"));
        };
        let metric = slot.get_or_init(|| Arc::new(Metric::new(name.clone(), kind, help)));
        debug_assert_eq!(metric.name, name, "slots are filled in the order of names");
        names.push(name);
        Ok(names.len() as u32 - 1)
    }

    /// A counter goes up; anything else ignores it.
    pub fn add(&self, number: u32, by: u64) {
        if let Some(metric) = self.get(number, Kind::Counter) {
            metric.value.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub fn set(&self, number: u32, value: f64) {
        if let Some(metric) = self.get(number, Kind::Gauge) {
            metric.value.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    pub fn observe(&self, number: u32, value: f64) {
        if let Some(metric) = self.get(number, Kind::Histogram) {
            metric.buckets[bucket(value)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that are defined, in the order of their definition.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Metric>> {
        self.slots.iter().map_while(OnceLock::get)
    }

    fn get(&self, number: u32, kind: Kind) -> Option<&Metric> {
        let metric = self.slots.get(number as usize)?.get()?;
        (metric.kind == kind).then_some(metric)
    }
}

impl Metric {
    fn new(name: String, kind: Kind, help: String) -> Self {
        Self {
            name,
            help,
            kind,
            value: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; 64],
        }
    }

    /// A counter's count, a gauge's value, a histogram's number of observations.
    pub fn value(&self) -> f64 {
        match self.kind {
            Kind::Counter => self.value.load(Ordering::Relaxed) as f64,
            Kind::Gauge => f64::from_bits(self.value.load(Ordering::Relaxed)),
            Kind::Histogram => self
                .buckets
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .sum::<u64>() as f64,
        }
    }
}

/// A name that Prometheus takes too (its data model: letters, digits, underscores and colons, no digit in front).
fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() && name.len() <= LONGEST_NAME && name.chars().all(good) => Ok(()),
        _ => Err(format!(
            "`{name}` is no name for a metric: up to {LONGEST_NAME} letters, digits and underscores, no digit in front"
        )),
    }
}

fn bucket(value: f64) -> usize {
    if value.is_nan() || value <= 0.0 {
        return 0;
    }
    (value.log2().ceil() + 16.0).clamp(0.0, 63.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_its_kind() {
        let metrics = Metrics::default();
        let hits = metrics.define("hits".into(), Kind::Counter, String::new()).unwrap();
        let load = metrics.define("load".into(), Kind::Gauge, String::new()).unwrap();
        assert_eq!(metrics.define("hits".into(), Kind::Counter, String::new()), Ok(hits));
        assert!(metrics.define("hits".into(), Kind::Gauge, String::new()).is_err());
        metrics.add(hits, 2);
        metrics.set(load, 0.5);
        metrics.add(load, 7);
        metrics.add(99, 1);
        let values: Vec<f64> = metrics.all().map(|metric| metric.value()).collect();
        assert_eq!(values, [2.0, 0.5]);
    }

    #[test]
    fn names_and_their_number_are_bounded() {
        let metrics = Metrics::default();
        for bad in ["", "1st", "a b", "a-b", &"x".repeat(LONGEST_NAME + 1)] {
            assert!(
                metrics.define(bad.to_owned(), Kind::Counter, String::new()).is_err(),
                "{bad}"
            );
        }
        for n in 0..MOST {
            metrics.define(format!("m{n}"), Kind::Histogram, String::new()).unwrap();
        }
        assert!(metrics.define("one_more".into(), Kind::Counter, String::new()).is_err());
    }

    #[test]
    fn any_number_has_a_bucket() {
        for value in [
            f64::NAN,
            f64::NEG_INFINITY,
            -1.0,
            0.0,
            1e-300,
            1.0,
            1e300,
            f64::INFINITY,
        ] {
            assert!(bucket(value) < 64);
        }
    }
}

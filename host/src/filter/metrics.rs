//! What filters count. Defined by name in `init`, counted by number afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::families::{Families, family};

const LONGEST_NAME: usize = 64;

/// A few lines, each time that somebody reads the page.
const LONGEST_HELP: usize = 1 << 10;

/// Of a histogram: for each power of two from 2^-16 to 2^46, and for what is more.
const BUCKETS: usize = 64;
const LOWEST: i32 = -16;

/// One filter's metrics; kept across its generations, so that a counter never goes back.
pub struct Metrics {
    /// Filled from the front, never taken from: a number stays what it was.
    slots: Box<[OnceLock<Arc<Metric>>]>,
    names: RwLock<Vec<String>>,
}

pub struct Metric {
    pub name: String,
    pub help: String,
    pub kind: Kind,
    /// A counter's count, or the bits of a gauge's value or of a histogram's sum.
    value: AtomicU64,
    /// A histogram's observations.
    buckets: [AtomicU64; BUCKETS],
}

/// What one of them says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    Counter(u64),
    Gauge(f64),
    Histogram {
        sum: f64,
        /// The most that an observation in it has been, and how many there are: in order, the last one without a bound.
        buckets: Vec<(f64, u64)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metrics {
    /// With room for so many.
    pub fn new(most: u32) -> Self {
        Self {
            slots: (0..most).map(|_| OnceLock::new()).collect(),
            names: RwLock::default(),
        }
    }

    /// For the filter of that name.
    ///
    /// # Errors
    /// What is wrong with the name or its help, that it means something else already, or that there are too many.
    pub fn define(
        &self,
        filter: &Arc<str>,
        families: &Families,
        name: String,
        kind: Kind,
        help: String,
    ) -> Result<u32, String> {
        check_name(&name)?;
        if help.len() > LONGEST_HELP {
            return Err(format!("the help of `{name}` is longer than {LONGEST_HELP} bytes"));
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = names.iter().position(|known| *known == name) {
            let known = self.slots[number].get().map(|metric| metric.kind);
            return match known == Some(kind) {
                true => Ok(number as u32),
                false => Err(format!("`{name}` is defined as another kind of metric already")),
            };
        }
        let Some(slot) = self.slots.get(names.len()) else {
            return Err(format!("a filter may define {} metrics", self.slots.len()));
        };
        let same = |known: &&Arc<Metric>| known.kind == kind && known.family() == family(&name, kind);
        if let Some(known) = self.all().find(same) {
            return Err(format!("`{name}` is the counter `{}` by another name", known.name));
        }
        families.claim(&name, kind, filter)?;
        let metric = slot.get_or_init(|| Arc::new(Metric::new(name.clone(), kind, help)));
        debug_assert_eq!(metric.name, name, "slots are filled in the order of names");
        names.push(name);
        Ok(names.len() as u32 - 1)
    }

    /// A counter goes up, to the end of its range; anything else ignores it.
    pub fn add(&self, number: u32, by: u64) {
        if let Some(metric) = self.get(number, Kind::Counter) {
            let add = |count: u64| Some(count.saturating_add(by));
            let _ = metric.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    pub fn set(&self, number: u32, value: f64) {
        if let Some(metric) = self.get(number, Kind::Gauge) {
            metric.value.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// What is no number, or has no end, is no observation: a sum would never be one again.
    pub fn observe(&self, number: u32, value: f64) {
        if let Some(metric) = self.get(number, Kind::Histogram).filter(|_| value.is_finite()) {
            metric.buckets[bucket(value)].fetch_add(1, Ordering::Relaxed);
            let more = |sum| Some((f64::from_bits(sum) + value).to_bits());
            let _ = metric.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
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
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// As a page calls it.
    pub fn family(&self) -> &str {
        family(&self.name, self.kind)
    }

    pub fn read(&self) -> Reading {
        let value = self.value.load(Ordering::Relaxed);
        match self.kind {
            Kind::Counter => Reading::Counter(value),
            Kind::Gauge => Reading::Gauge(f64::from_bits(value)),
            Kind::Histogram => Reading::Histogram {
                sum: f64::from_bits(value),
                buckets: (0..BUCKETS)
                    .map(|bucket| (bound(bucket), self.buckets[bucket].load(Ordering::Relaxed)))
                    .collect(),
            },
        }
    }

    /// A counter's count, a gauge's value, a histogram's number of observations.
    pub fn value(&self) -> f64 {
        match self.read() {
            Reading::Counter(count) => count as f64,
            Reading::Gauge(value) => value,
            Reading::Histogram { buckets, .. } => buckets.iter().map(|(_, count)| count).sum::<u64>() as f64,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A name that Prometheus takes too (its data model: letters, digits, underscores and colons, no digit in front).
fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() && name.len() <= LONGEST_NAME && name.chars().all(good) => Ok(()),
        _ => Err(format!(
            "`{}` is no name for a metric: up to {LONGEST_NAME} letters, digits, underscores and colons, no digit in front",
            &name[..name.floor_char_boundary(LONGEST_NAME + 1)]
        )),
    }
}

/// The first whose bound it does not exceed: its exponent, or the next one where there is a fraction (IEEE 754).
fn bucket(value: f64) -> usize {
    if value <= 0.0 {
        return 0;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    let more = i32::from(bits << 12 != 0);
    (exponent + more - LOWEST).clamp(0, BUCKETS as i32 - 1) as usize
}

fn bound(bucket: usize) -> f64 {
    match bucket + 1 {
        BUCKETS => f64::INFINITY,
        _ => 2_f64.powi(bucket as i32 + LOWEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the only filter that there is.
    fn define(metrics: &Metrics, name: &str, kind: Kind) -> Result<u32, String> {
        metrics.define(&"a".into(), &Families::default(), name.to_owned(), kind, String::new())
    }

    #[test]
    fn a_name_keeps_its_number_and_its_kind() {
        let metrics = Metrics::new(64);
        let hits = define(&metrics, "hits", Kind::Counter).unwrap();
        let load = define(&metrics, "load", Kind::Gauge).unwrap();
        assert_eq!(define(&metrics, "hits", Kind::Counter), Ok(hits));
        assert!(define(&metrics, "hits", Kind::Gauge).is_err());
        metrics.add(hits, 2);
        metrics.set(load, 0.5);
        metrics.add(load, 7);
        metrics.add(99, 1);
        let values: Vec<f64> = metrics.all().map(|metric| metric.value()).collect();
        assert_eq!(values, [2.0, 0.5]);
    }

    #[test]
    fn a_counter_has_one_name() {
        let metrics = Metrics::new(64);
        define(&metrics, "hits", Kind::Counter).unwrap();
        assert_eq!(
            define(&metrics, "hits_total", Kind::Counter),
            Err("`hits_total` is the counter `hits` by another name".to_owned())
        );
        define(&metrics, "misses_total", Kind::Counter).unwrap();
        assert_eq!(
            metrics.all().map(|metric| metric.family()).collect::<Vec<_>>(),
            ["hits", "misses"]
        );
    }

    #[test]
    fn what_is_said_of_a_name_has_an_end() {
        let metrics = Metrics::new(1);
        let long = "\u{fc}".repeat(LONGEST_HELP);
        let error = define(&metrics, &long, Kind::Counter).unwrap_err();
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn a_counter_never_goes_back() {
        let metrics = Metrics::new(1);
        let hits = define(&metrics, "hits", Kind::Counter).unwrap();
        metrics.add(hits, u64::MAX);
        metrics.add(hits, u64::MAX);
        assert_eq!(metrics.all().next().unwrap().read(), Reading::Counter(u64::MAX));
    }

    #[test]
    fn filters_do_not_mean_two_things_by_a_name() {
        let families = Families::default();
        let define = |filter: &str, metrics: &Metrics, kind| {
            metrics.define(&filter.into(), &families, "hits".to_owned(), kind, String::new())
        };
        let (one, other) = (Metrics::new(1), Metrics::new(1));
        define("one", &one, Kind::Counter).unwrap();
        let said = define("other", &other, Kind::Histogram).unwrap_err();
        assert!(said.contains("of the counter `hits` of the filter `one`"), "{said}");
        assert_eq!(other.all().count(), 0);
        define("other", &other, Kind::Counter).unwrap();
    }

    #[test]
    fn names_and_their_number_and_help_are_bounded() {
        let metrics = Metrics::new(64);
        for bad in ["", "1st", "a b", "a-b", "\n", "\u{e9}", &"x".repeat(LONGEST_NAME + 1)] {
            assert!(define(&metrics, bad, Kind::Counter).is_err(), "{bad}");
        }
        let helped = |bytes| {
            let help = "x".repeat(bytes);
            metrics.define(
                &"a".into(),
                &Families::default(),
                "helped".to_owned(),
                Kind::Gauge,
                help,
            )
        };
        assert!(helped(LONGEST_HELP + 1).is_err());
        helped(LONGEST_HELP).unwrap();
        for n in 1..64 {
            define(&metrics, &format!("m{n}"), Kind::Histogram).unwrap();
        }
        assert!(define(&metrics, "one_more", Kind::Counter).is_err());
    }

    #[test]
    fn an_observation_is_in_the_first_bucket_that_holds_it() {
        for (value, expected) in [
            (f64::MIN, 2_f64.powi(LOWEST)),
            (-0.0, 2_f64.powi(LOWEST)),
            (f64::from_bits(1), 2_f64.powi(LOWEST)),
            (0.75, 1.0),
            (1.0, 1.0),
            (1.0_f64.next_up(), 2.0),
            (1024.0, 1024.0),
            (2_f64.powi(46), 2_f64.powi(46)),
            (2_f64.powi(46).next_up(), f64::INFINITY),
            (f64::MAX, f64::INFINITY),
        ] {
            assert_eq!(bound(bucket(value)), expected, "{value}");
        }
        for bucket in 1..BUCKETS {
            assert!(bound(bucket - 1) < bound(bucket));
        }
    }

    #[test]
    fn a_histogram_has_a_sum_which_stays_a_number() {
        let metrics = Metrics::new(64);
        let size = define(&metrics, "size", Kind::Histogram).unwrap();
        for value in [f64::NAN, f64::INFINITY, 0.5, f64::NEG_INFINITY, 3.0, 3.5] {
            metrics.observe(size, value);
        }
        let Some(Reading::Histogram { sum, buckets }) = metrics.all().next().map(|metric| metric.read()) else {
            panic!("it is a histogram");
        };
        assert_eq!(sum, 7.0);
        let filled: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.5, 1), (4.0, 2)]);
    }
}

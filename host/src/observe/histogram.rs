//! How long something took, in a few buckets: what a dashboard's quantiles are made of.

use std::time::Duration;

/// What a histogram may have: each bucket is a series of each listener's or worker's.
const BOUNDS: usize = 10;

const fn microseconds(bounds: [u64; BOUNDS]) -> [Duration; BOUNDS] {
    let mut times = [Duration::ZERO; BOUNDS];
    let mut index = 0;
    while index < BOUNDS {
        times[index] = Duration::from_micros(bounds[index]);
        index += 1;
    }
    times
}

/// Up to 1 ms: the same machine, rack or zone; up to 250 ms: what light needs around the world; between 1 s and 3 s one SYN
/// was lost, up to 7 s two were (tcp(7), tcp_syn_retries); 5 s is the default of `connect`.
const CONNECT: [Duration; BOUNDS] = microseconds([
    250, 500, 1_000, 5_000, 25_000, 100_000, 250_000, 1_000_000, 3_000_000, 5_000_000,
]);

/// A server has to think before it answers: from what a cache needs to what a person no longer waits for.
const FIRST_BYTE: [Duration; BOUNDS] = microseconds([
    1_000, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000, 60_000_000,
]);

/// Connections last from a question to a working day: tens up to ten seconds, then what a clock shows; an hour is the default of
/// `idle`.
const DURATION: [Duration; BOUNDS] = microseconds([
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
]);

/// The runtime's timers count milliseconds, so up to 2 ms are nothing. A tenth of a second is seen by whoever types, and beyond
/// a second clients begin to give up.
const DELAY: [Duration; BOUNDS] = microseconds([
    2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
]);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [Duration; BOUNDS],
    /// How many were in each, those above the last bound at the end.
    counts: [u64; BOUNDS + 1],
    sum: Duration,
}

/// The times of connections that have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// From the choice of an upstream until a server had answered.
    pub connect: Histogram,
    /// From then until the server's first byte.
    pub first_byte: Histogram,
    /// From being accepted.
    pub duration: Histogram,
}

impl Histogram {
    /// For how late a worker's timer came.
    pub fn of_delays() -> Self {
        Self::new(&DELAY)
    }

    fn new(bounds: &'static [Duration; BOUNDS]) -> Self {
        Self {
            bounds,
            counts: [0; BOUNDS + 1],
            sum: Duration::ZERO,
        }
    }

    pub fn add(&mut self, time: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < time);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(time);
    }

    /// Within which time that share of them was, 0 to 1: the bound of the bucket that the last of those is in. Above the last
    /// bound, that.
    pub fn within(&self, share: f64) -> Duration {
        let all: u64 = self.counts.iter().sum();
        let wanted = all as f64 * share;
        let mut seen = 0;
        for (bound, count) in self.bounds.iter().zip(self.counts) {
            seen += count;
            if seen > 0 && seen as f64 >= wanted {
                return *bound;
            }
        }
        match all {
            0 => Duration::ZERO,
            _ => self.bounds[BOUNDS - 1],
        }
    }

    /// All together, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum.as_secs_f64()
    }

    /// By the most that is in them, in seconds; the last one without a bound.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64);
        bounds.chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Histogram::new(&CONNECT),
            first_byte: Histogram::new(&FIRST_BYTE),
            duration: Histogram::new(&DURATION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_go_up() {
        for bounds in [CONNECT, FIRST_BYTE, DURATION, DELAY] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::new(&CONNECT);
        for microseconds in [0, 250, 251, 5_000_000, 5_000_001] {
            histogram.add(Duration::from_micros(microseconds));
        }
        let filled: Vec<_> = histogram
            .buckets()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(filled, [(0.000_25, 2), (0.000_5, 1), (5.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(histogram.sum(), 10.000_502);
    }
}

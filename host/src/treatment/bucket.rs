//! How fast bytes may go, of whoever shares it: a bucket that fills with time, kept as the moment up to which all that went is
//! paid for (the virtual scheduling form of the leaky bucket, ITU-T I.371, annex A).
//!
//! It is paid afterwards, since nobody knows before a read how much there is. Each payment moves the moment on, and whoever has
//! paid has his next turn there: so those who share it take turns, and as each takes the same at most, each gets the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::{Nanos, nanos};

/// What goes at once after a pause where nothing else is said: longer than timers are late on a busy machine, short enough
/// that five seconds of traffic are not a hundredth more than they should be.
const BURST: Duration = Duration::from_millis(50);

/// What goes in one turn of each, so that all of those who share it have had theirs: so few bytes that nobody waits for long, and
/// that those who begin together, each with a turn, are no more than a burst; so many that turns cost little.
const ROUND: Duration = Duration::from_millis(20);

/// Where many share it, turns would be all that is done, and the round takes longer.
const LEAST: u64 = 4 << 10;

#[derive(Debug)]
pub struct Bucket {
    /// Bytes a second.
    rate: u64,
    burst: Nanos,
    paid: AtomicU64,
}

impl Bucket {
    /// It begins full. `burst` is in bytes.
    pub fn new(rate: u64, burst: Option<u64>, now: Nanos) -> Self {
        let burst = burst.map_or_else(|| nanos(BURST), |bytes| cost(bytes, rate));
        Self {
            rate,
            burst,
            paid: AtomicU64::new(now.saturating_sub(burst)),
        }
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// When somebody has his turn who comes now.
    pub fn next(&self) -> Nanos {
        self.paid.load(Ordering::Relaxed)
    }

    /// Pays for bytes that went, and returns when the next ones may go.
    pub fn pay(&self, now: Nanos, bytes: u64) -> Nanos {
        let (full, cost) = (now.saturating_sub(self.burst), cost(bytes, self.rate));
        let after = |paid: Nanos| paid.max(full).saturating_add(cost);
        let paid = self
            .paid
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| Some(after(paid)));
        after(paid.unwrap_or_else(|paid| paid))
    }

    /// How long so many bytes take.
    pub fn time(&self, bytes: u64) -> Nanos {
        cost(bytes, self.rate)
    }

    /// How much may go in one turn, of so many who share it.
    pub fn turn(&self, sharers: u64) -> u64 {
        let round = u128::from(self.rate) * ROUND.as_nanos() / NANOS_A_SECOND;
        let round = u64::try_from(round).unwrap_or(u64::MAX).max(1);
        (round / sharers.max(1)).max(LEAST.min(round))
    }
}

const NANOS_A_SECOND: u128 = 1_000_000_000;

fn cost(bytes: u64, rate: u64) -> Nanos {
    let cost = u128::from(bytes) * NANOS_A_SECOND / u128::from(rate.max(1));
    cost.try_into().unwrap_or(Nanos::MAX)
}

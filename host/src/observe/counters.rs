//! What a listener has seen. Counted when a connection ends: nothing is counted on the way of the bytes.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::outcome::Outcome;

/// Bytes of one direction, by the way they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Through the worker's buffer, seen by nobody.
    pub copied: u64,
    /// Through a pipe in the kernel.
    pub spliced: u64,
    /// Shown to a filter.
    pub filtered: u64,
}

/// Everything that ended so far on one listener. One lock for a few additions is cheaper than as many atomic ones, and what is
/// read together belongs together.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Seen>);

/// The connections that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub connections: u64,
    /// Those of them that ended so.
    pub outcomes: BTreeMap<Outcome, u64>,
    pub up: Moved,
    pub down: Moved,
    pub detection: Detected,
}

/// What it has cost to find out what connections are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detected {
    pub connections: u64,
    /// How long they were waited for, all of them together.
    pub waited: Duration,
    /// Those that had not said enough in time.
    pub timeouts: u64,
}

impl Counters {
    pub fn count(&self, up: Moved, down: Moved, outcome: Outcome) {
        let mut seen = self.lock();
        seen.connections += 1;
        *seen.outcomes.entry(outcome).or_default() += 1;
        seen.up += up;
        seen.down += down;
    }

    /// A connection's first bytes were waited for so long, and perhaps in vain.
    pub fn detected(&self, waited: Duration, late: bool) {
        let mut seen = self.lock();
        seen.detection.connections += 1;
        seen.detection.waited += waited;
        seen.detection.timeouts += u64::from(late);
    }

    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Those that the end of the process has cut off.
    pub fn cut_off(&self) -> u64 {
        let cut_off = self.outcomes.iter().filter(|(outcome, _)| outcome.is_cut_off());
        cut_off.map(|(_, count)| count).sum()
    }
}

impl Moved {
    pub fn total(&self) -> u64 {
        self.copied + self.spliced + self.filtered
    }
}

impl AddAssign for Moved {
    fn add_assign(&mut self, more: Self) {
        self.copied += more.copied;
        self.spliced += more.spliced;
        self.filtered += more.filtered;
    }
}

//! What a listener has seen. Counted when a connection ends: nothing is counted on the way of the bytes.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Times;
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
pub struct Counters {
    /// Of all connections, those that have not ended among them.
    accepted: AtomicU64,
    ended: Mutex<Seen>,
}

/// A connection that has ended, as it is counted and as the access log tells of it: they never disagree.
pub struct Ended<'a> {
    pub outcome: Outcome,
    pub route: Option<&'a str>,
    pub up: Moved,
    pub down: Moved,
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub duration: Duration,
}

/// What some connections add up to: of a route, an upstream or a server, those that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub connections: u64,
    pub up: Moved,
    pub down: Moved,
}

/// The same, for threads that share it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Sums>);

/// The connections that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub connections: u64,
    /// Those of them that ended so.
    pub outcomes: BTreeMap<Outcome, u64>,
    pub up: Moved,
    pub down: Moved,
    /// By the names of the routes that they took: as many as configurations have had.
    pub routes: BTreeMap<Arc<str>, Sums>,
    pub times: Times,
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
    /// A connection has begun.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self, ended: &Ended<'_>) {
        let mut seen = self.lock();
        seen.connections += 1;
        *seen.outcomes.entry(ended.outcome).or_default() += 1;
        seen.up += ended.up;
        seen.down += ended.down;
        let times = &mut seen.times;
        ended.connect.into_iter().for_each(|time| times.connect.add(time));
        ended.first_byte.into_iter().for_each(|time| times.first_byte.add(time));
        times.duration.add(ended.duration);
        if let Some(route) = ended.route {
            match seen.routes.get_mut(route) {
                Some(sums) => sums.add(ended),
                None => seen.routes.entry(route.into()).or_default().add(ended),
            }
        }
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

    /// To be asked after [`seen`](Self::seen): so it is never less than those that have ended.
    pub fn count_accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn add(&mut self, ended: &Ended<'_>) {
        *self += Self {
            connections: 1,
            up: ended.up,
            down: ended.down,
        };
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, more: Self) {
        self.connections += more.connections;
        self.up += more.up;
        self.down += more.down;
    }
}

impl Ledger {
    pub fn count(&self, ended: &Ended<'_>) {
        self.lock().add(ended);
    }

    pub fn sums(&self) -> Sums {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
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

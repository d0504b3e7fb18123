//! What a listener has seen. Counted when a connection ends: nothing is counted on the way of the bytes.

use std::sync::atomic::{AtomicU64, Ordering};

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

impl Moved {
    pub fn total(&self) -> u64 {
        self.copied + self.spliced + self.filtered
    }
}

/// Everything that ended so far on one listener.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    cut_off: AtomicU64,
    up: MovedSoFar,
    down: MovedSoFar,
}

#[derive(Debug, Default)]
struct MovedSoFar {
    copied: AtomicU64,
    spliced: AtomicU64,
    filtered: AtomicU64,
}

impl Counters {
    pub fn ended(&self, up: Moved, down: Moved, outcome: Outcome) {
        if outcome.is_cut_off() {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        self.up.add(up);
        self.down.add(down);
        self.connections.fetch_add(1, Ordering::Release);
    }

    /// Connections that have ended; what they moved is counted before they are.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Those of them that the end of the process has cut off.
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    pub fn up(&self) -> Moved {
        self.up.get()
    }

    pub fn down(&self) -> Moved {
        self.down.get()
    }
}

impl MovedSoFar {
    fn add(&self, moved: Moved) {
        self.copied.fetch_add(moved.copied, Ordering::Relaxed);
        self.spliced.fetch_add(moved.spliced, Ordering::Relaxed);
        self.filtered.fetch_add(moved.filtered, Ordering::Relaxed);
    }

    fn get(&self) -> Moved {
        Moved {
            copied: self.copied.load(Ordering::Relaxed),
            spliced: self.spliced.load(Ordering::Relaxed),
            filtered: self.filtered.load(Ordering::Relaxed),
        }
    }
}

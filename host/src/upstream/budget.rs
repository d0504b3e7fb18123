//! How many retries there may be.
//!
//! Each connection pays in a part of a retry, and a retry takes a whole one. So however many connections fail, the servers
//! that are left get no more than that part on top (Finagle's RetryBudget; Google's SRE book, chapter 22).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// In hundredths of a retry.
#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicI64,
    granted: AtomicU64,
    denied: AtomicU64,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Retries {
    pub granted: u64,
    /// Those that were not made, since nothing was left.
    pub denied: u64,
    /// How many more there may be.
    pub left: f64,
}

const RETRY: i64 = 100;

/// What can be saved up, and what there is at first: a server that goes away under few connections is no overload.
const MOST: i64 = 100 * RETRY;

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self {
            saved: AtomicI64::new(if percent == 0 { 0 } else { MOST }),
            granted: AtomicU64::new(0),
            denied: AtomicU64::new(0),
        }
    }

    /// A connection was asked for, of a hundred that may have so many retries.
    pub(super) fn deposit(&self, percent: u32) {
        // Threads that see the same sum may save a little more than there is room for, once.
        if self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(percent.into(), Ordering::Relaxed);
        }
    }

    /// Whether there may be one retry more.
    pub(super) fn withdraw(&self) -> bool {
        let rest = |saved: i64| (saved >= RETRY).then_some(saved - RETRY);
        let saved = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        let count = if saved.is_ok() { &self.granted } else { &self.denied };
        count.fetch_add(1, Ordering::Relaxed);
        saved.is_ok()
    }

    pub(super) fn retries(&self) -> Retries {
        Retries {
            granted: self.granted.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            left: self.saved.load(Ordering::Relaxed) as f64 / RETRY as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_that_part_of_connections_once_what_was_saved_is_spent() {
        let budget = Budget::new(20);
        let saved = (0..1_000).filter(|_| budget.withdraw()).count();
        assert_eq!(saved, 100);
        let retries = (0..1_000)
            .filter(|_| {
                budget.deposit(20);
                budget.withdraw()
            })
            .count();
        assert_eq!(retries, 200);
        let seen = budget.retries();
        assert_eq!((seen.granted, seen.denied), (300, 1_700));
        assert!(seen.left < 1.0, "{seen:?}");
    }

    #[test]
    fn what_is_saved_has_an_end_and_nothing_is_nothing() {
        let budget = Budget::new(1_000);
        (0..10_000).for_each(|_| budget.deposit(1_000));
        assert!((0..10_000).filter(|_| budget.withdraw()).count() <= 110);
        let none = Budget::new(0);
        none.deposit(0);
        assert!(!none.withdraw());
    }
}

//! How many retries there may be.
//!
//! Each connection pays in a part of a retry, and a retry takes a whole one. So however many connections fail, the servers
//! that are left get no more than that part on top (Finagle's RetryBudget; Google's SRE book, chapter 22).

use std::sync::atomic::{AtomicI64, Ordering};

/// In hundredths of a retry.
#[derive(Debug)]
pub(super) struct Budget(AtomicI64);

const RETRY: i64 = 100;

/// What can be saved up, and what there is at first: a server that goes away under few connections is no overload.
const MOST: i64 = 100 * RETRY;

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self(AtomicI64::new(if percent == 0 { 0 } else { MOST }))
    }

    /// A connection was asked for, of a hundred that may have so many retries.
    pub(super) fn deposit(&self, percent: u32) {
        // Threads that see the same sum may save a little more than there is room for, once.
        if self.0.load(Ordering::Relaxed) < MOST {
            self.0.fetch_add(percent.into(), Ordering::Relaxed);
        }
    }

    /// Whether there may be one retry more.
    pub(super) fn withdraw(&self) -> bool {
        let rest = |saved: i64| (saved >= RETRY).then_some(saved - RETRY);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
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

//! How much a filter may log: so many records a second, and what is over is dropped and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of one filter, all its instances on all workers together. Saved up for a second at the most.
pub(super) struct Allowance {
    /// What a record takes; `None` where there are to be none.
    interval: Option<u64>,
    start: Instant,
    /// When all that was granted would be used up at an even pace, in nanoseconds since `start`.
    used_until: AtomicU64,
    lost: AtomicU64,
    /// When the number of the lost was last told; 0 is never.
    told: AtomicU64,
}

const SECOND: u64 = Duration::from_secs(1).as_nanos() as u64;

impl Allowance {
    pub fn new(per_second: u32) -> Self {
        Self {
            interval: SECOND.checked_div(per_second.into()),
            start: Instant::now(),
            used_until: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// How many of so many records may be made, the others being dropped: the first ones.
    pub fn take(&self, records: usize) -> usize {
        self.take_at(records, self.now())
    }

    /// So many records were dropped.
    pub fn lose(&self, records: usize) {
        self.lost.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// How many were dropped, where that is to be said: once a second at the most.
    pub fn lost(&self) -> Option<u64> {
        if self.lost.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.lost_at(self.now())
    }

    fn take_at(&self, records: usize, now: u64) -> usize {
        let Some(interval) = self.interval else {
            self.lose(records);
            return 0;
        };
        let mut granted = 0;
        let take = |used_until: u64| {
            let begin = used_until.max(now);
            let left = (now + SECOND).saturating_sub(begin) / interval;
            granted = left.min(records as u64);
            (granted > 0).then_some(begin + granted * interval)
        };
        let _ = self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let granted = usize::try_from(granted).unwrap_or(records);
        self.lose(records - granted);
        granted
    }

    fn lost_at(&self, now: u64) -> Option<u64> {
        let due = |told: u64| (told == 0 || now >= told + SECOND).then_some(now.max(1));
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .ok()
            .map(|_| self.lost.swap(0, Ordering::Relaxed))
            .filter(|lost| *lost > 0)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_second_s_worth_may_be_made_at_once_and_then_as_much_as_comes_in() {
        let allowance = Allowance::new(10);
        let taken = [
            (6, 0),
            (6, 0),
            (1, 0),
            (1, SECOND / 10),
            (5, SECOND / 2),
            (99, 9 * SECOND),
        ];
        let granted = taken.map(|(records, at)| allowance.take_at(records, at));
        assert_eq!(granted, [6, 4, 0, 1, 4, 10]);
    }

    #[test]
    fn nothing_at_all_can_be_allowed_and_the_most_can_be_used() {
        assert_eq!(Allowance::new(0).take_at(1, 0), 0);
        let allowance = Allowance::new(1_000_000);
        assert_eq!(allowance.take_at(usize::MAX, 0), 1_000_000);
        assert_eq!(allowance.take_at(1, 1000), 1);
    }

    #[test]
    fn what_was_lost_is_told_once_a_second_and_none_of_it_twice() {
        let allowance = Allowance::new(1);
        assert_eq!(allowance.lost(), None);
        allowance.take_at(3, 0);
        assert_eq!(allowance.lost_at(0), Some(2));
        allowance.take_at(5, 1);
        assert_eq!(allowance.lost_at(1), None);
        allowance.lose(2);
        assert_eq!(allowance.lost_at(SECOND + 1), Some(7));
        assert_eq!(allowance.lost_at(3 * SECOND), None);
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        let allowance = Allowance::new(1000);
        let granted: usize = thread::scope(|scope| {
            let take = |_| scope.spawn(|| (0..1000).map(|_| allowance.take_at(1, 7)).sum::<usize>());
            let threads: Vec<_> = (0..4).map(take).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 1000);
        assert_eq!(allowance.lost.load(Ordering::Relaxed), 3000);
    }
}

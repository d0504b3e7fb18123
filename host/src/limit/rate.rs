//! So many in a second, and no more than a second's worth at once.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): all that is remembered is when the next one would be due if they
//! came evenly. Those who wait reserve their place, so they are served in the order in which they came.

use std::time::Duration;

use crate::sys::Coarse;

/// When the next one is due. Early at the beginning of time: then there is a second's worth to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due(Coarse);

impl Due {
    pub(super) fn now(now: Coarse) -> Self {
        Self(now)
    }

    /// Whether nothing is left of what was taken: a fresh one would say the same.
    pub(super) fn is_fresh(self, now: Coarse) -> bool {
        self.0 <= now
    }

    /// Takes one of `rate` a second. Says how long it is to wait; `None` where that is longer than `patience`, and then
    /// nothing is taken.
    pub(super) fn take(&mut self, rate: u32, now: Coarse, patience: Duration) -> Option<Duration> {
        let interval = Duration::from_secs(1) / rate;
        let due = self.0.max(now) + interval;
        // A whole second's worth may have been taken before anybody waits.
        let wait = due.since(now).saturating_sub(Duration::from_secs(1));
        (wait <= patience).then(|| {
            self.0 = due;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_comes_at_once_and_the_rest_evenly() {
        let now = Coarse::now();
        let mut due = Due::now(now);
        for _ in 0..10 {
            assert_eq!(due.take(10, now, Duration::ZERO), Some(Duration::ZERO));
        }
        assert_eq!(due.take(10, now, Duration::ZERO), None);
        let hundredths = |count: u64| Duration::from_millis(10 * count);
        assert_eq!(due.take(10, now, hundredths(15)), Some(hundredths(10)));
        assert_eq!(due.take(10, now, hundredths(15)), None);
        assert_eq!(due.take(10, now, hundredths(20)), Some(hundredths(20)));
        assert_eq!(due.take(10, now + hundredths(30), Duration::ZERO), Some(Duration::ZERO));
    }

    #[test]
    fn what_was_not_taken_is_not_saved_up() {
        let now = Coarse::now();
        let mut due = Due::now(now);
        let later = now + Duration::from_secs(3600);
        let taken = (0..100).filter_map(|_| due.take(10, later, Duration::ZERO)).count();
        assert_eq!(taken, 10);
        assert!(!due.is_fresh(later));
        assert!(due.is_fresh(later + Duration::from_secs(1)));
    }
}

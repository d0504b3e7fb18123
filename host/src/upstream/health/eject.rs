//! For how long a server is left alone whose connections fail.

use std::time::{Duration, Instant};

use crate::config::Passive;

/// The memory of one server's ejections. Connections are counted elsewhere, where that costs nothing.
#[derive(Debug)]
pub struct Eject {
    ejection: Duration,
    longest: Duration,
    /// How often the next ejection is doubled.
    doublings: u32,
    /// When the last one ends or ended.
    until: Option<Instant>,
}

impl Eject {
    pub fn new(passive: &Passive) -> Self {
        Self {
            ejection: passive.ejection,
            longest: passive.longest_ejection,
            doublings: 0,
            until: None,
        }
    }

    /// The server has failed too often: until when it is left alone. That is twice as long as the last time, and half as
    /// long for each time as long as the first that it has been back without failing.
    pub fn ejected(&mut self, now: Instant) -> Instant {
        if let Some(until) = self.until {
            let good = now.saturating_duration_since(until);
            // The configuration allows no ejection of zero; forgiving everything is the harmless answer to one.
            let periods = good.as_nanos().checked_div(self.ejection.as_nanos());
            let periods = periods.and_then(|periods| u32::try_from(periods).ok());
            self.doublings = self.doublings.saturating_sub(periods.unwrap_or(u32::MAX));
        }
        let doubled = 1_u32
            .checked_shl(self.doublings)
            .and_then(|factor| self.ejection.checked_mul(factor));
        let length = doubled.map_or(self.longest, |doubled| doubled.min(self.longest));
        // Beyond the longest nothing is doubled, or a server that was bad for a day would be mistrusted for another.
        if length < self.longest {
            self.doublings += 1;
        }
        let until = now + length;
        self.until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::defaults;

    fn eject(ejection: u64, longest: u64) -> Eject {
        Eject::new(&Passive {
            ejection: Duration::from_secs(ejection),
            longest_ejection: Duration::from_secs(longest),
            ..defaults::PASSIVE
        })
    }

    /// How long each ejection is, where the server fails again so many seconds after it has returned.
    fn lengths(mut eject: Eject, pauses: &[u64]) -> Vec<u64> {
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for pause in pauses {
            now += Duration::from_secs(*pause);
            let until = eject.ejected(now);
            lengths.push((until - now).as_secs());
            now = until;
        }
        lengths
    }

    #[test]
    fn a_server_that_fails_again_is_left_alone_for_twice_as_long_up_to_the_longest() {
        assert_eq!(lengths(eject(10, 300), &[0; 8]), [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(lengths(eject(10, 80), &[0; 5]), [10, 20, 40, 80, 80]);
        assert_eq!(lengths(eject(10, 10), &[0, 9, 0]), [10, 10, 10]);
        assert_eq!(
            lengths(eject(1, 24 * 3_600), &[0; 20])[16..],
            [65_536, 86_400, 86_400, 86_400]
        );
    }

    #[test]
    fn each_time_without_failing_takes_one_doubling_back() {
        assert_eq!(lengths(eject(10, 300), &[0, 9, 9]), [10, 20, 40], "no time has passed");
        assert_eq!(lengths(eject(10, 300), &[0, 0, 0, 10]), [10, 20, 40, 40]);
        assert_eq!(lengths(eject(10, 300), &[0, 0, 0, 29]), [10, 20, 40, 20]);
        assert_eq!(lengths(eject(10, 300), &[0, 0, 0, 30]), [10, 20, 40, 10]);
        assert_eq!(lengths(eject(10, 300), &[0, 0, 0, 1_000_000, 0]), [10, 20, 40, 10, 20]);
    }

    #[test]
    fn however_long_it_was_bad_it_is_forgiven_as_fast() {
        let mut pauses = vec![0; 1_000];
        pauses.push(50);
        assert_eq!(lengths(eject(10, 300), &pauses).last(), Some(&10));
    }

    proptest! {
        #[test]
        fn an_ejection_is_never_shorter_than_the_first_nor_longer_than_the_longest(
            ejection in 1..86_400_000_u64,
            more in 0..86_400_000_u64,
            pauses in vec(0..200_000_000_u64, 1..50),
        ) {
            let (ejection, longest) = (Duration::from_millis(ejection), Duration::from_millis(ejection + more));
            let mut eject = Eject::new(&Passive { ejection, longest_ejection: longest, ..defaults::PASSIVE });
            let mut now = Instant::now();
            for pause in pauses {
                now += Duration::from_millis(pause);
                let length = eject.ejected(now) - now;
                prop_assert!(ejection <= length && length <= longest);
                // It may fail again before it is back, through connections that were on their way.
                now += length / 2;
            }
        }
    }
}

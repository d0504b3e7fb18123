//! When a registry is asked again.

use std::time::Duration;

use crate::config::Pull;

/// How often it has not answered since it last did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    failures: u32,
}

/// The first wait after a failure; each one more is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// So long a registry may be away, and come back, before anybody has to wait longer to notice.
const LONGEST: Duration = Duration::from_secs(300);

impl Patience {
    pub fn answered(&mut self) {
        self.failures = 0;
    }

    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// How long until it is asked again; `None` is: when somebody wants it. `chance` is from 0 to 1, so that many machines do
    /// not ask at once.
    pub fn wait(self, pull: Pull, chance: f64) -> Option<Duration> {
        let period = match pull {
            Pull::IfAbsent | Pull::Always => None,
            Pull::Every(period) => Some(period),
        };
        if self.failures == 0 {
            return Some(period?.mul_f64(0.9 + 0.2 * chance));
        }
        let doubled = FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        let longest = period.unwrap_or(LONGEST).min(LONGEST).max(FIRST);
        Some(doubled.min(longest).mul_f64(0.5 + 0.5 * chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failures: u32, pull: Pull) -> Option<Duration> {
        Patience { failures }.wait(pull, 1.0)
    }

    #[test]
    fn a_registry_that_answers_is_asked_as_often_as_the_configuration_says() {
        let period = Duration::from_secs(100);
        assert_eq!(after(0, Pull::IfAbsent), None);
        assert_eq!(after(0, Pull::Always), None);
        let least = Patience::default().wait(Pull::Every(period), 0.0);
        assert_eq!(least, Some(Duration::from_secs(90)));
        assert_eq!(after(0, Pull::Every(period)), Some(Duration::from_secs(110)));
    }

    #[test]
    fn one_that_does_not_is_asked_less_and_less_often() {
        let seconds = |count| Some(Duration::from_secs(count));
        let waits: Vec<_> = (1..=4).map(|failures| after(failures, Pull::Always)).collect();
        assert_eq!(waits, [seconds(1), seconds(2), seconds(4), seconds(8)]);
        assert_eq!(after(u32::MAX, Pull::Always), Some(LONGEST));
        assert_eq!(
            after(9, Pull::Every(Duration::from_secs(60))),
            seconds(60),
            "no less often than otherwise"
        );
        assert_eq!(Patience { failures: 1 }.wait(Pull::Always, 0.0), Some(FIRST / 2));
    }
}

//! What the checks of one server say: whether it is up, and when to ask again.

use std::time::Duration;

use crate::config::Health;

/// A change that is worth a line in the log and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Up,
    Down,
}

#[derive(Debug)]
pub struct Judge {
    interval: Duration,
    fast_interval: Duration,
    rise: u32,
    fall: u32,
    starts_up: bool,
    /// `None` before the first check.
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    up: bool,
    /// Checks in a row that say otherwise.
    against: u32,
}

impl Judge {
    pub fn new(health: &Health) -> Self {
        Self {
            interval: health.interval,
            fast_interval: health.fast_interval,
            rise: health.rise,
            fall: health.fall,
            starts_up: health.starts_up,
            verdict: None,
        }
    }

    /// When to ask for the first time: at some point of the fast interval, so that a start does not ask all servers at once,
    /// nor all proxies of a fleet the same one.
    pub fn first_in(&self) -> Duration {
        self.fast_interval.mul_f64(fastrand::f64())
    }

    /// When to ask again: sooner while a server is between up and down. Up to a tenth more or less, so that what began
    /// together does not stay together.
    pub fn next_in(&self) -> Duration {
        let settled = self.verdict.is_some_and(|verdict| verdict.against == 0);
        let interval = if settled { self.interval } else { self.fast_interval };
        interval.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// A check has ended well or badly. The first one decides alone: nothing that is known speaks against it, and who has to
    /// wait for `rise` answers serves nobody meanwhile.
    pub fn checked(&mut self, good: bool) -> Option<Transition> {
        let Some(verdict) = &mut self.verdict else {
            self.verdict = Some(Verdict { up: good, against: 0 });
            // A server that was taken to be up, and is, has not changed.
            return (!(good && self.starts_up)).then(|| Transition::to(good));
        };
        if verdict.up == good {
            verdict.against = 0;
            return None;
        }
        verdict.against += 1;
        let needed = if good { self.rise } else { self.fall };
        if verdict.against < needed {
            return None;
        }
        *verdict = Verdict { up: good, against: 0 };
        Some(Transition::to(good))
    }
}

impl Transition {
    fn to(up: bool) -> Self {
        if up { Self::Up } else { Self::Down }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::defaults;

    fn judge(rise: u32, fall: u32, starts_up: bool) -> Judge {
        Judge::new(&Health {
            rise,
            fall,
            starts_up,
            ..defaults::HEALTH
        })
    }

    /// `+` is a good check, `-` a bad one; below them `U` for up, `D` for down.
    #[test]
    fn a_server_changes_when_enough_checks_in_a_row_say_so() {
        for (rise, fall, starts_up, checks, transitions) in [
            (2, 3, false, "+", "U"),
            (2, 3, false, "-", "D"),
            (2, 3, true, "+", " "),
            (2, 3, true, "-", "D"),
            (2, 3, false, "+---", "U  D"),
            (2, 3, false, "+--+--+---", "U        D"),
            (2, 3, true, "+---++", "   D U"),
            (2, 3, false, "-++", "D U"),
            (2, 3, false, "-+-+-++", "D     U"),
            (1, 1, false, "+-+-", "UDUD"),
            (2, 3, false, "++++----++", "U     D  U"),
        ] {
            let mut judge = judge(rise, fall, starts_up);
            let said: String = checks
                .chars()
                .map(|check| match judge.checked(check == '+') {
                    Some(Transition::Up) => 'U',
                    Some(Transition::Down) => 'D',
                    None => ' ',
                })
                .collect();
            assert_eq!(
                said, transitions,
                "{checks}, up after {rise}, down after {fall}, {starts_up}"
            );
        }
    }

    #[test]
    fn it_is_asked_more_often_before_the_first_answer_and_in_transition() {
        let (slow, fast) = (defaults::HEALTH.interval, defaults::HEALTH.fast_interval);
        let mut judge = judge(2, 2, false);
        let about = |judge: &Judge, interval: Duration| {
            for _ in 0..1_000 {
                let next = judge.next_in();
                assert!(
                    interval.mul_f64(0.9) <= next && next <= interval.mul_f64(1.1),
                    "{next:?}"
                );
                assert!(judge.first_in() <= fast);
            }
        };
        about(&judge, fast);
        for (check, interval) in [
            (true, slow),
            (false, fast),
            (true, slow),
            (false, fast),
            (false, slow),
            (true, fast),
            (true, slow),
        ] {
            judge.checked(check);
            about(&judge, interval);
        }
    }

    #[test]
    fn servers_that_begin_together_are_not_asked_together() {
        let judge = judge(1, 1, false);
        let fast = defaults::HEALTH.fast_interval;
        let firsts: Vec<_> = (0..1_000).map(|_| judge.first_in()).collect();
        for tenth in 0..10 {
            let (from, to) = (fast * tenth / 10, fast * (tenth + 1) / 10);
            let share = firsts
                .iter()
                .filter(|first| (from..to).contains::<Duration>(*first))
                .count();
            // 100 are expected; a hundredth of them would be a deviation that no luck explains.
            assert!((40..=160).contains(&share), "{share} in tenth {tenth}");
        }
    }

    proptest! {
        #[test]
        fn what_it_says_is_what_the_last_checks_say(
            rise in 1..5_u32,
            fall in 1..5_u32,
            starts_up: bool,
            checks in vec(any::<bool>(), 1..100),
        ) {
            let mut judge = judge(rise, fall, starts_up);
            let mut up = starts_up;
            for (i, good) in checks.iter().enumerate() {
                let transition = judge.checked(*good);
                let run = checks[..=i].iter().rev().take_while(|check| *check == good).count();
                let needed = if *good { rise } else { fall };
                let decided = i == 0 || run >= needed as usize;
                let expected = match (i, decided && up != *good) {
                    // Nobody knew that it was down.
                    (0, _) if !starts_up => Some(Transition::to(*good)),
                    (_, true) => Some(Transition::to(*good)),
                    (_, false) => None,
                };
                prop_assert_eq!(transition, expected, "check {} of {:?}", i, checks);
                if decided {
                    up = *good;
                }
            }
        }
    }
}

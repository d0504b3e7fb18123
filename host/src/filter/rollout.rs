//! Which of a filter's generations serve: a new one is tried, promoted or rolled back, and one that keeps failing makes room
//! for the one before. Time and counts are given; nothing here waits, counts or logs.

use std::collections::VecDeque;
use std::ops::Sub;
use std::time::{Duration, Instant};

use super::transition::{Figures, Transition, Verdict, Withdrawal};
use crate::config::{Canary, FilterConfig, OnError, Quarantine, defaults};

/// How often a canary is looked at: its connections end without telling. To add up its counts takes a microsecond.
pub const LOOK: Duration = Duration::from_millis(100);

/// The longest time until a generation in quarantine is tried again: somebody may look after it once an hour.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);

/// Fewer connections than this tell nothing of a rate, unless they all tell the same.
const SAMPLE: u64 = 20;

/// Fewer connections than this tell nothing at all.
const ANECDOTES: u64 = 5;

/// How many standard deviations make sure: one sample in 700 lies beyond three, and one is looked at again and again.
const SURE: f64 = 3.0;

/// A generation, as far as it is judged.
pub trait Judged {
    fn number(&self) -> u64;
    /// What it has done so far. No figure ever falls.
    fn seen(&self) -> Seen;
}

/// What a generation has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its own: traps, missed deadlines, breaches of the contract.
    pub failures: u64,
    /// That began with it and have ended.
    pub connections: u64,
    /// Of these, those that a filter refused.
    pub refused: u64,
    /// Of these, those that failed, or ended before the upstream had said anything.
    pub early: u64,
}

/// A filter's generations, by what becomes of them.
///
/// At most three are held: the stable one; one that is tried; and one that is waiting, which is either the one to go back to
/// or one in quarantine, since whoever has gone back has none to go back to. Where nothing goes back, none is kept for it.
#[derive(Debug)]
pub struct Rollout<G> {
    /// `Some` where new generations are tried; a generation in quarantine is tried by the same rules, or by the defaults.
    canary: Option<Canary>,
    quarantine: Option<Quarantine>,
    /// Whether there is anything that goes back to the generation before.
    goes_back: bool,
    stable: Option<Stable<G>>,
    previous: Option<G>,
    trial: Option<Trial<G>>,
    banished: Option<Banished<G>>,
}

/// The one that serves all connections that no other one is tried with.
#[derive(Debug)]
struct Stable<G> {
    generation: G,
    strikes: Strikes,
    /// How often it has been in quarantine.
    banishments: u32,
    /// When it was last said that it keeps failing and that there is none to go back to.
    said: Option<Instant>,
}

/// One that gets some connections.
#[derive(Debug)]
struct Trial<G> {
    generation: G,
    began: Instant,
    /// What it, and the stable one, had done before.
    before: Seen,
    stable_before: Seen,
    /// How often it has been in quarantine.
    banishments: u32,
}

/// One in quarantine.
#[derive(Debug)]
struct Banished<G> {
    generation: G,
    until: Instant,
    banishments: u32,
}

/// The last failures of one generation: as many as its quarantine needs.
#[derive(Debug, Default)]
struct Strikes {
    times: VecDeque<Instant>,
    counted: u64,
}

/// What a generation is to its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not published yet.
    New,
    Stable,
    Canary,
    /// The one to go back to.
    Previous,
    Quarantined,
    /// Of living connections alone.
    Old,
}

impl<G: Judged> Rollout<G> {
    /// From now on it judges as this configuration wants it.
    pub fn reconfigure(&mut self, config: &FilterConfig) {
        self.canary.clone_from(&config.canary);
        self.quarantine = config.quarantine;
        self.goes_back = config.quarantine.is_some() || config.on_error == OnError::Previous;
    }

    pub fn new(config: &FilterConfig) -> Self {
        Self {
            canary: config.canary.clone(),
            quarantine: config.quarantine,
            goes_back: config.quarantine.is_some() || config.on_error == OnError::Previous,
            stable: None,
            previous: None,
            trial: None,
            banished: None,
        }
    }

    pub fn stable(&self) -> Option<&G> {
        self.stable.as_ref().map(|stable| &stable.generation)
    }

    pub fn canary(&self) -> Option<&G> {
        self.trial.as_ref().map(|trial| &trial.generation)
    }

    pub fn previous(&self) -> Option<&G> {
        self.previous.as_ref()
    }

    pub fn quarantined(&self) -> Option<&G> {
        self.banished.as_ref().map(|banished| &banished.generation)
    }

    /// What the generation of that number is by now.
    pub fn place(&self, number: u64) -> Place {
        let places = [
            (self.stable(), Place::Stable),
            (self.canary(), Place::Canary),
            (self.previous(), Place::Previous),
            (self.quarantined(), Place::Quarantined),
        ];
        let is_it = |held: &Option<&G>| held.is_some_and(|held| held.number() == number);
        let found = places.iter().find(|(held, _)| is_it(held));
        found.map_or(Place::Old, |(_, place)| *place)
    }

    /// A new generation has loaded: whatever was tried or in quarantine is not what the file says any more.
    pub fn publish(&mut self, generation: G, now: Instant) -> Vec<Transition> {
        let number = generation.number();
        let mut transitions = self.withdraw(Withdrawal::Newer);
        match &self.stable {
            Some(stable) if self.canary.is_some() => {
                transitions.push(Transition::Began {
                    generation: number,
                    stable: stable.generation.number(),
                });
                self.try_out(generation, 0, now);
            }
            _ => {
                self.succeed(generation, 0, now);
                transitions.push(Transition::Published { generation: number });
            }
        }
        transitions
    }

    /// The file is the stable generation's, or a newer one's: what was tried or in quarantine is forgotten.
    pub fn withdraw(&mut self, why: Withdrawal) -> Vec<Transition> {
        let trial = self.trial.take().map(|trial| trial.generation.number());
        let banished = self.banished.take().map(|banished| banished.generation.number());
        let withdrawn = |generation| Transition::Withdrawn { generation, why };
        trial.into_iter().chain(banished).map(withdrawn).collect()
    }

    /// Somebody asks for the generation in quarantine to be tried now.
    pub fn retry(&mut self, now: Instant) -> Option<Transition> {
        if self.trial.is_some() {
            return None;
        }
        let banished = self.banished.take()?;
        let retried = Transition::Retried {
            generation: banished.generation.number(),
            stable: self.stable()?.number(),
        };
        self.try_out(banished.generation, banished.banishments, now);
        Some(retried)
    }

    /// What follows from the counts and from the time; to be asked again until nothing does.
    pub fn judge(&mut self, now: Instant) -> Option<Transition> {
        self.judge_trial(now)
            .or_else(|| self.judge_stable(now))
            .or_else(|| self.end_quarantine(now))
    }

    /// When something follows from the time alone. `None`: nothing does before the next failure.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        match (&self.trial, &self.banished) {
            (Some(_), _) => Some(now + LOOK),
            (None, banished) => banished.as_ref().map(|banished| banished.until),
        }
    }

    /// An operator has seen enough of what is tried: it serves everybody. `None`: nothing is tried.
    pub fn promote_as_asked(&mut self, now: Instant) -> Option<Transition> {
        let figures = self.figures(now)?;
        self.promote(figures, now)
    }

    /// An operator does not want what is tried, or else what serves: then the one before it serves again. What is not wanted
    /// is held no more, and loaded again on request alone. `None`: there is none to go back to.
    pub fn roll_back_as_asked(&mut self, now: Instant) -> Option<Transition> {
        if let Some(figures) = self.figures(now) {
            let stable = self.stable()?.number();
            return Some(Transition::RolledBack {
                generation: self.trial.take()?.generation.number(),
                stable,
                verdict: Verdict::Asked,
                figures,
                retry_after: None,
            });
        }
        let returns = self.previous.take()?;
        let stable = returns.number();
        let left = self.stable.replace(Stable::new(returns, 0))?;
        Some(Transition::WentBack {
            generation: left.generation.number(),
            stable,
        })
    }

    fn judge_trial(&mut self, now: Instant) -> Option<Transition> {
        let defaults = defaults::CANARY;
        let rules = self.canary.as_ref().unwrap_or(&defaults);
        let figures = self.figures(now)?;
        if let Some(verdict) = is_bad(rules, figures.canary, figures.stable) {
            return self.roll_back(verdict, figures, now);
        }
        if figures.after < rules.time || figures.canary.connections < rules.connections {
            return None;
        }
        self.promote(figures, now)
    }

    /// How what is tried compares. `None`: nothing is.
    fn figures(&self, now: Instant) -> Option<Figures> {
        let (trial, stable) = (self.trial.as_ref()?, self.stable.as_ref()?);
        let canary = trial.generation.seen() - trial.before;
        let whole = stable.generation.seen();
        let meanwhile = whole - trial.stable_before;
        // Where all connections go to the new one, the old one is known by what it did before.
        let other = if meanwhile.connections >= SAMPLE {
            meanwhile
        } else {
            whole
        };
        Some(Figures {
            after: now.saturating_duration_since(trial.began),
            canary,
            stable: other,
        })
    }

    fn roll_back(&mut self, verdict: Verdict, figures: Figures, now: Instant) -> Option<Transition> {
        let stable = self.stable()?.number();
        let Trial {
            generation,
            banishments,
            ..
        } = self.trial.take()?;
        let number = generation.number();
        let retry_after = self.quarantine.filter(|_| banishments > 0).map(|quarantine| {
            let retry_after = back_off(&quarantine, banishments);
            self.banished = Some(Banished {
                generation,
                until: now + retry_after,
                banishments: banishments.saturating_add(1),
            });
            retry_after
        });
        Some(Transition::RolledBack {
            generation: number,
            stable,
            verdict,
            figures,
            retry_after,
        })
    }

    fn promote(&mut self, figures: Figures, now: Instant) -> Option<Transition> {
        let trial = self.trial.take()?;
        let promoted = Transition::Promoted {
            generation: trial.generation.number(),
            figures,
        };
        self.banished = None;
        self.succeed(trial.generation, trial.banishments, now);
        Some(promoted)
    }

    fn judge_stable(&mut self, now: Instant) -> Option<Transition> {
        let quarantine = self.quarantine?;
        let stable = self.stable.as_mut()?;
        let failures = stable.strikes.look(stable.generation.seen(), now, &quarantine);
        if failures < quarantine.failures {
            return None;
        }
        let number = stable.generation.number();
        let Some(previous) = self.previous.take() else {
            // Nobody may switch a filter off for everybody by knowing what makes it trap.
            let again = |said: Instant| now.saturating_duration_since(said) >= quarantine.within;
            if !stable.said.is_none_or(again) {
                return None;
            }
            stable.said = Some(now);
            return Some(Transition::Failing {
                generation: number,
                failures,
                within: quarantine.within,
            });
        };
        let returns = previous.number();
        let failing = std::mem::replace(stable, Stable::new(previous, 0));
        if let Some(trial) = &mut self.trial {
            trial.stable_before = stable.generation.seen();
        }
        let retry_after = back_off(&quarantine, failing.banishments);
        self.banished = Some(Banished {
            generation: failing.generation,
            until: now + retry_after,
            banishments: failing.banishments.saturating_add(1),
        });
        Some(Transition::Quarantined {
            generation: number,
            returns,
            failures,
            within: quarantine.within,
            retry_after,
        })
    }

    fn end_quarantine(&mut self, now: Instant) -> Option<Transition> {
        let due = self.banished.as_ref().is_some_and(|banished| banished.until <= now);
        due.then(|| self.retry(now)).flatten()
    }

    fn try_out(&mut self, generation: G, banishments: u32, now: Instant) {
        let seen = |generation: &G| generation.seen();
        self.trial = Some(Trial {
            before: generation.seen(),
            stable_before: self.stable().map(seen).unwrap_or_default(),
            generation,
            began: now,
            banishments,
        });
    }

    /// This one serves everybody from now on. What it takes the place of is the one to go back to, unless that fails too
    /// and there is one that does not.
    fn succeed(&mut self, generation: G, banishments: u32, now: Instant) {
        let before = self.stable.replace(Stable::new(generation, banishments));
        let Some(mut before) = before.filter(|_| self.goes_back) else {
            return;
        };
        let window = self.quarantine.unwrap_or(defaults::QUARANTINE);
        let fails = before.strikes.look(before.generation.seen(), now, &window) > 0;
        if self.previous.is_none() || !fails {
            self.previous = Some(before.generation);
        }
    }
}

impl<G: Judged> Stable<G> {
    fn new(generation: G, banishments: u32) -> Self {
        Self {
            strikes: Strikes {
                counted: generation.seen().failures,
                ..Strikes::default()
            },
            generation,
            banishments,
            said: None,
        }
    }
}

impl Strikes {
    /// How many failures there were within the time: no more than the quarantine needs.
    fn look(&mut self, seen: Seen, now: Instant, quarantine: &Quarantine) -> u64 {
        let new = seen.failures.saturating_sub(self.counted).min(quarantine.failures);
        self.counted = seen.failures;
        (0..new).for_each(|_| self.times.push_back(now));
        let most = usize::try_from(quarantine.failures).unwrap_or(usize::MAX);
        let surplus = self.times.len().saturating_sub(most);
        self.times.drain(..surplus);
        let is_over = |time: &Instant| now.saturating_duration_since(*time) >= quarantine.within;
        while self.times.front().is_some_and(is_over) {
            self.times.pop_front();
        }
        self.times.len() as u64
    }
}

/// Twice as long each time.
fn back_off(quarantine: &Quarantine, banishments: u32) -> Duration {
    let factor = 1_u32.checked_shl(banishments).unwrap_or(u32::MAX);
    quarantine.retry_after.saturating_mul(factor).min(LONGEST_BACK_OFF)
}

fn is_bad(rules: &Canary, canary: Seen, stable: Seen) -> Option<Verdict> {
    if canary.failures >= rules.failures {
        return Some(Verdict::Failures);
    }
    let is_worse = |count: fn(&Seen) -> u64| {
        let (new, old) = (Rate::of(count, &canary), Rate::of(count, &stable));
        new.is_worse_than(old, f64::from(rules.margin) / 100.0, rules.connections)
    };
    if is_worse(|seen| seen.refused) {
        return Some(Verdict::Refused);
    }
    is_worse(|seen| seen.early).then_some(Verdict::Early)
}

/// So many of so many.
#[derive(Clone, Copy)]
struct Rate {
    some: f64,
    all: f64,
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^52 connections one more is no news")]
    fn of(count: fn(&Seen) -> u64, seen: &Seen) -> Self {
        Self {
            some: count(seen) as f64,
            all: seen.connections as f64,
        }
    }

    /// Above the other by more than the margin: plainly, where both have had the connections to tell; or surely, where even
    /// the least that this one can be is above the most that the other can be.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^52 connections one more is no news")]
    fn is_worse_than(self, other: Self, margin: f64, enough: u64) -> bool {
        let plainly = self.all >= enough.max(SAMPLE) as f64
            && other.all >= SAMPLE as f64
            && self.some / self.all > other.some / other.all + margin;
        let surely = self.all >= ANECDOTES as f64 && self.bounds().0 > other.bounds().1 + margin;
        plainly || surely
    }

    /// What it can be in truth (Wilson's interval): anything, where nothing was seen.
    fn bounds(self) -> (f64, f64) {
        let squared = SURE * SURE;
        let share = if self.all > 0.0 { self.some / self.all } else { 0.5 };
        let middle = share * self.all + squared / 2.0;
        let spread = SURE * (share * (1.0 - share) * self.all + squared / 4.0).sqrt();
        let whole = self.all + squared;
        ((middle - spread) / whole, (middle + spread) / whole)
    }
}

impl Sub for Seen {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            failures: self.failures.saturating_sub(earlier.failures),
            connections: self.connections.saturating_sub(earlier.connections),
            refused: self.refused.saturating_sub(earlier.refused),
            early: self.early.saturating_sub(earlier.early),
        }
    }
}

impl Place {
    /// By its number.
    pub fn of(number: u8) -> Self {
        let all = [Self::New, Self::Stable, Self::Canary, Self::Previous, Self::Quarantined];
        all.into_iter()
            .find(|place| *place as u8 == number)
            .unwrap_or(Self::Old)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::New | Self::Old => "old",
            Self::Stable => "stable",
            Self::Canary => "canary",
            Self::Previous => "previous",
            Self::Quarantined => "quarantined",
        }
    }
}

#[cfg(test)]
mod tests;

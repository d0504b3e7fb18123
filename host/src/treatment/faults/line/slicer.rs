//! Bytes that are written a few at a time.

use std::time::{Duration, Instant};

use super::super::fault::mixed;
use super::Hit;
use crate::config::FaultKind;
use crate::flow::Direction;

#[derive(Debug)]
pub struct Slicer {
    id: u64,
    average: u64,
    variation: u64,
    delay: Duration,
    chance: fastrand::Rng,
    /// Before this nothing is written.
    until: Instant,
}

impl Slicer {
    /// The one that cuts finest; with what `before` knows of time and chance, where it is the same.
    pub fn finest(before: Option<Self>, hits: &[&Hit], direction: Direction, now: Instant) -> Option<Self> {
        let slicers = hits.iter().filter_map(|hit| match hit.fault.config().kind {
            FaultKind::Slicer {
                average,
                variation,
                delay,
            } => Some((hit, average, variation, delay)),
            _ => None,
        });
        let (hit, average, variation, delay) = slicers.min_by_key(|(_, average, ..)| *average)?;
        let id = hit.fault.id();
        let (chance, until) = match before.filter(|before| before.id == id) {
            Some(before) => (before.chance, before.until),
            None => (fastrand::Rng::with_seed(mixed(hit.seed, direction as u64)), now),
        };
        Some(Self {
            id,
            average,
            variation,
            delay,
            chance,
            until,
        })
    }

    /// How many bytes are written now, or when the next ones are.
    pub fn cut(&mut self, now: Instant) -> Result<usize, Instant> {
        if now < self.until {
            return Err(self.until);
        }
        // From now on, not from when it should have been: what is late would be one piece with what follows.
        self.until = now + self.delay;
        let least = self.average.saturating_sub(self.variation).max(1);
        let most = self.average.saturating_add(self.variation).max(least);
        Ok(usize::try_from(self.chance.u64(least..=most)).unwrap_or(usize::MAX))
    }
}

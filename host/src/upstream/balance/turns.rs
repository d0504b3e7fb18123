//! Whose turn it is.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{self, AtomicUsize};
use std::sync::{Mutex, PoisonError};

use super::shares::is_constant;

/// Round robin, by weight.
///
/// It begins anywhere. While a server starts slowly a lineup is made every second or so, and if each began with the
/// first server, an upstream with little traffic would have no other; and a fleet of proxies would begin with the same
/// one.
#[derive(Debug)]
pub(super) enum Turns {
    Equal { next: Counter, servers: usize },
    ByWeight(Mutex<Schedule>),
}

impl Turns {
    pub(super) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        if is_constant(weights.clone()) {
            return Self::Equal {
                next: Counter::anywhere(),
                servers: weights.count(),
            };
        }
        Self::ByWeight(Mutex::new(Schedule::new(weights, fastrand::u32(..))))
    }

    pub(super) fn take(&self) -> usize {
        match self {
            Self::Equal { next, servers } => next.take(*servers),
            Self::ByWeight(schedule) => schedule.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

/// A number that grows. It has a cache line of its own, since all threads write to it and read what stands beside it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counter(AtomicUsize);

impl Counter {
    pub(super) fn anywhere() -> Self {
        Self(AtomicUsize::new(fastrand::u32(..) as usize))
    }

    /// The next below `limit`.
    pub(super) fn take(&self, limit: usize) -> usize {
        self.0.fetch_add(1, atomic::Ordering::Relaxed) % limit
    }
}

/// Turns by weight, without end: in a cycle of as many turns as all weights together, each server has as many as its
/// weight, spread evenly.
///
/// The next turn is of the one whose deadline is the earliest (EDF, as Envoy's scheduler): the turns of one with weight
/// w are due at 1/2w, 3/2w, 5/2w.. of the cycle. What comes out is as smooth as nginx's weighted round robin, which
/// adds up the weights of all servers for each connection; here it is a step in a heap. And since few weights differ,
/// the heap is of weights: the servers of a weight share its turns one after the other, which is as even.
#[derive(Debug)]
pub(super) struct Schedule {
    by_deadline: BinaryHeap<Rank>,
}

/// All servers of one weight.
#[derive(Debug, PartialEq, Eq)]
struct Rank {
    /// At least one.
    servers: Box<[usize]>,
    /// In each cycle, of all of them together.
    turns: u64,
    cycle: u64,
    /// The one that comes next, in this cycle.
    turn: u64,
}

impl Schedule {
    /// Begins at `phase` / 2^32 of the cycle.
    pub(super) fn new(weights: impl Iterator<Item = u32>, phase: u32) -> Self {
        let mut servers: Vec<(u32, usize)> = weights.enumerate().map(|(index, weight)| (weight, index)).collect();
        servers.sort_unstable();
        let ranks = servers.chunk_by(|(weight, _), (other, _)| weight == other);
        let by_deadline = ranks.map(|rank| {
            let weight = u64::from(rank[0].0);
            Rank::new(rank.iter().map(|(_, index)| *index).collect(), weight, phase)
        });
        Self {
            by_deadline: by_deadline.collect(),
        }
    }

    pub(super) fn take(&mut self) -> usize {
        // There is one: nobody asks an empty lineup.
        self.by_deadline.peek_mut().map_or(0, |mut rank| rank.take())
    }
}

impl Rank {
    fn new(servers: Box<[usize]>, weight: u64, phase: u32) -> Self {
        let turns = weight * servers.len() as u64;
        // The first whose deadline, (turn + 1/2) / turns, is not before the phase. In whole numbers: one that is wrong
        // by a turn would make the first cycle wrong.
        let due = (u128::from(turns) * u128::from(phase)).saturating_sub(1 << 31);
        let turn = due.div_ceil(1 << 32) as u64;
        Self {
            servers,
            turns,
            cycle: turn / turns,
            turn: turn % turns,
        }
    }

    fn take(&mut self) -> usize {
        let server = self.servers[(self.turn % self.servers.len() as u64) as usize];
        self.turn += 1;
        if self.turn == self.turns {
            self.turn = 0;
            self.cycle += 1;
        }
        server
    }
}

/// The one with the earlier deadline is the greater, since a heap gives its greatest first. Deadlines are fractions and
/// compared exactly, so that no weight gains on another in the long run.
impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let due = |one: &Self, other: &Self| u128::from(2 * one.turn + 1) * u128::from(other.turns);
        let deadline = (self.cycle, due(self, other), self.servers[0]);
        (other.cycle, due(other, self), other.servers[0]).cmp(&deadline)
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(weights: &[u32], phase: u32) -> impl Iterator<Item = usize> {
        let mut schedule = Schedule::new(weights.iter().copied(), phase);
        std::iter::repeat_with(move || schedule.take())
    }

    #[test]
    fn the_heavy_one_s_turns_are_not_in_a_row() {
        let turns = |weights: &[u32], count| schedule(weights, 0).take(count).collect::<Vec<_>>();
        // The example of nginx's commit 52327e0, where four of the five are in a row: a a b a c a a.
        assert_eq!(turns(&[5, 1, 1], 7), [0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(turns(&[3, 2, 1], 6), [0, 1, 0, 2, 1, 0]);
        assert_eq!(turns(&[1, 1, 2, 2], 6), [2, 0, 3, 2, 1, 3]);
    }

    proptest! {
        #[test]
        fn weights_are_kept_exactly_in_every_cycle_wherever_it_begins(
            weights in prop::collection::vec(1_u32..=40, 1..10),
            phase: u32,
        ) {
            let cycle = weights.iter().sum::<u32>() as usize;
            let turns: Vec<usize> = schedule(&weights, phase).take(3 * cycle).collect();
            for window in [&turns[..cycle], &turns[cycle..2 * cycle], &turns[cycle / 2..cycle + cycle / 2]] {
                for (server, weight) in weights.iter().enumerate() {
                    prop_assert_eq!(window.iter().filter(|turn| **turn == server).count(), *weight as usize);
                }
            }
            prop_assert_eq!(&turns[..cycle], &turns[cycle..2 * cycle]);
        }

        /// A rank is at most half a turn off its deadlines, at the beginning and at the end; so all others together put
        /// it off by as many turns as there are ranks, of which it has its part. Whose turn it is in a rank is one
        /// more.
        #[test]
        fn nobody_is_ever_ahead_or_behind_by_more_than_a_turn_or_two(
            weights in prop::collection::vec(prop_oneof![1_u32..=40, 1_u32..=3], 1..10),
            phase: u32,
        ) {
            let cycle: u32 = weights.iter().sum();
            let mut ranks = weights.clone();
            ranks.sort_unstable();
            ranks.dedup();
            let mut had = vec![0_u32; weights.len()];
            for (turn, server) in (1..=2 * cycle).zip(schedule(&weights, phase)) {
                had[server] += 1;
                for (had, weight) in had.iter().zip(&weights) {
                    let part = f64::from(*weight) / f64::from(cycle);
                    let off = (f64::from(*had) - f64::from(turn) * part).abs();
                    prop_assert!(off <= 2.0 + ranks.len() as f64 * part, "{off} after {turn} turns");
                }
            }
        }
    }
}

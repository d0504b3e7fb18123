//! A table where a server that leaves moves its own keys and no other, and one that comes takes keys and moves no
//! other.
//!
//! Each server tries to claim slots, one after the other, at times and in an order that are its own: they depend on its
//! id and weight alone; one of twice the weight tries twice as often. A slot is of the one who tried first. That one
//! more or fewer is there changes nothing between two others, and that is all of the proof. A server that starts slowly
//! takes more and more keys, and those that it has it keeps.
//!
//! A slot's server is found by chance, so the parts are uneven by about one in the square root of its slots: 1 % with
//! ten servers, 9 % with 1 000, 28 % with 10 000. Who would rather have them even takes `maglev`.
//!
//! This is weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005) done for each
//! slot in advance. The usual choice is a ring with points by weight (ketama). It is as consistent only while a
//! server's number of points depends on nothing but its weight: then a hundred servers with the weight 256 are four
//! million points. And it is searched, where this is looked up.

use super::hash::Row;

/// The same for all: with another number nearly every key moves. Half a megabyte, filled in milliseconds.
const BITS: u32 = 17;
const SLOTS: usize = 1 << BITS;

#[derive(Debug, Clone, Copy)]
struct Claim {
    time: f64,
    server: u32,
}

const NONE: Claim = Claim {
    time: f64::INFINITY,
    server: u32::MAX,
};

/// Of ids and weights, of which there is at least one, in the order of ids: the server of each slot.
pub(super) fn fill(servers: &[(u64, u32)]) -> Vec<u32> {
    let all: f64 = servers.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut claims = vec![NONE; SLOTS];
    let mut tries = vec![0_u64; servers.len()];
    let mut now = 0.0;
    // In each round as many tries as there are slots: the last slot is claimed after about ln SLOTS = 12 of them.
    while !claims.iter().all(|claim| claim.time < now) {
        now += SLOTS as f64 / all;
        for ((server, (id, weight)), tries) in (0..).zip(servers).zip(&mut tries) {
            // All that may be earlier than now, and one for what rounding takes away.
            let until = (now * f64::from(*weight)).ceil() as u64 + 1;
            let row = Row::of(*id);
            for number in *tries..until {
                let (slot, time) = attempt(row, *weight, number);
                let claim = &mut claims[slot];
                if (time, server) < (claim.time, claim.server) {
                    *claim = Claim { time, server };
                }
            }
            *tries = until;
        }
    }
    claims.into_iter().map(|claim| claim.server).collect()
}

/// Which slot a server tries, and when. Not on the stroke: servers of the same weight would all try at the same time,
/// and the one with the lowest id would win each time.
fn attempt(row: Row, weight: u32, number: u64) -> (usize, f64) {
    let bits = row.at(number);
    let slot = (bits >> (u64::BITS - BITS)) as usize;
    let late = f64::from(bits as u32) / f64::from(u32::MAX);
    (slot, (number as f64 + late) / f64::from(weight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::balance::tests::{ids, moved_among_others};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_server_that_leaves_moves_its_own_keys_and_no_other(
            weights in prop::collection::vec(1_u32..=256, 2..40),
            leaving: prop::sample::Index,
        ) {
            let servers: Vec<(u64, u32)> = ids(weights.len()).zip(weights).collect();
            prop_assert_eq!(moved_among_others(&servers, leaving.index(servers.len()), fill), 0.0);
        }

        #[test]
        fn a_server_that_gets_heavier_takes_keys_and_gives_none(
            weights in prop::collection::vec(1_u32..=256, 2..40),
            growing: prop::sample::Index,
            by in 1_u32..100,
        ) {
            let mut servers: Vec<(u64, u32)> = ids(weights.len()).zip(weights).collect();
            let growing = growing.index(servers.len());
            let before = fill(&servers);
            servers[growing].1 += by;
            for (before, after) in before.into_iter().zip(fill(&servers)) {
                prop_assert!(before == after || after == growing as u32);
            }
        }
    }

    #[test]
    fn parts_are_as_the_weights_say() {
        for weights in [vec![1; 10], vec![1, 2, 3, 4], vec![100, 1, 100], vec![7]] {
            let servers: Vec<(u64, u32)> = ids(weights.len()).zip(weights.iter().copied()).collect();
            let slots = fill(&servers);
            let all: u32 = weights.iter().sum();
            for (server, weight) in (0..).zip(&weights) {
                let part = slots.iter().filter(|owner| **owner == server).count() as f64 / SLOTS as f64;
                let ideal = f64::from(*weight) / f64::from(all);
                assert!((part - ideal).abs() < 0.005, "{part} instead of {ideal}");
            }
        }
    }
}

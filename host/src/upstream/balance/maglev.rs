//! A table whose slots are shared as evenly as can be: Maglev (Eisenbud and others, NSDI 2016, section 3.4).
//!
//! Each server has an order of its own in which it likes the slots. They take turns, by weight, to claim the one they
//! like best of those that are free, until none is. So each has its part to within a slot or two; but when one leaves,
//! the others' turns come at other slots, and a few of their keys, less than 1 % of all, move between them. Who would
//! rather have no key move, and the parts less even, takes `source_hash`.

use super::hash::Row;
use super::turns::Schedule;

/// The sizes of the paper, primes both, so that every step reaches every slot. At least 100 slots for a server: then
/// parts differ by 1 % at most, and few keys move.
const SMALL: usize = 65_537;
/// Its keys all move when a group grows beyond 655 servers: the smaller table would be as uneven as `source_hash` is,
/// and the larger costs all others ten times the memory and time.
const LARGE: usize = 655_373;

const NOBODY: u32 = u32::MAX;

/// Of ids and weights, of which there is at least one: the server of each slot.
pub(super) fn fill(servers: &[(u64, u32)]) -> Vec<u32> {
    let size = if servers.len() <= SMALL / 100 { SMALL } else { LARGE };
    let mut likings: Vec<Liking> = servers.iter().map(|(id, _)| Liking::of(*id, size)).collect();
    let mut turns = Schedule::new(servers.iter().map(|(_, weight)| *weight), 0);
    let mut slots = vec![NOBODY; size];
    for _ in 0..size {
        let server = turns.take();
        let slot = likings[server].best(|slot| slots[slot] == NOBODY);
        slots[slot] = server as u32;
    }
    slots
}

/// The order in which a server likes the slots: from one on, in steps.
struct Liking {
    next: usize,
    step: usize,
    size: usize,
}

impl Liking {
    fn of(id: u64, size: usize) -> Self {
        let row = Row::of(id);
        Self {
            next: (row.at(0) % size as u64) as usize,
            step: (row.at(1) % (size as u64 - 1)) as usize + 1,
            size,
        }
    }

    /// The next that is free: there must be one.
    fn best(&mut self, is_free: impl Fn(usize) -> bool) -> usize {
        loop {
            let slot = self.next;
            self.next += self.step;
            if self.next >= self.size {
                self.next -= self.size;
            }
            if is_free(slot) {
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::{ids, moved_among_others};

    fn counts(slots: &[u32], servers: usize) -> Vec<usize> {
        let mut counts = vec![0; servers];
        for server in slots {
            counts[*server as usize] += 1;
        }
        counts
    }

    #[test]
    fn sizes_are_primes_or_some_slots_would_not_be_reached() {
        for size in [SMALL, LARGE] {
            assert!(
                (2..)
                    .take_while(|divisor| divisor * divisor <= size)
                    .all(|divisor| size % divisor != 0)
            );
        }
    }

    #[test]
    fn every_server_has_its_part_to_within_two_slots() {
        let weights = [1, 1, 2, 5, 100, 256];
        let servers: Vec<(u64, u32)> = ids(60).zip(weights.into_iter().cycle()).collect();
        let slots = fill(&servers);
        let total: u32 = servers.iter().map(|(_, weight)| *weight).sum();
        for (count, (_, weight)) in counts(&slots, servers.len()).into_iter().zip(&servers) {
            let ideal = slots.len() as f64 * f64::from(*weight) / f64::from(total);
            assert!((count as f64 - ideal).abs() <= 2.0, "{count} slots instead of {ideal}");
        }
    }

    #[test]
    fn few_keys_move_but_those_of_the_server_that_left() {
        for count in [2, 3, 5, 10, 50, 100] {
            let servers: Vec<(u64, u32)> = ids(count).map(|id| (id, 10)).collect();
            for leaving in [0, count / 2, count - 1] {
                let moved = moved_among_others(&servers, leaving, fill);
                assert!(moved <= 0.01, "{moved} of the slots of {count} servers");
            }
        }
    }
}

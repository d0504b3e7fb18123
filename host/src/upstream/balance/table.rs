//! From a key to a server, always the same.

use std::fmt::{self, Debug, Formatter};

use super::hash::mix;

/// Slots, each of which has a server: a key has a slot.
pub(super) struct Table {
    slots: Box<[u32]>,
}

/// How many slots are walked to find one that is open. With nine servers of ten full, one key in 10^11 walks further.
const WALK: usize = 256;

impl Table {
    /// Servers are ids and weights. `fill` gives each slot the place of a server in the list it gets, which is in the
    /// order of ids: so the table is the same whatever order somebody (a name server, say) has put them in.
    pub(super) fn new(servers: impl Iterator<Item = (u64, u32)>, fill: impl FnOnce(&[(u64, u32)]) -> Vec<u32>) -> Self {
        let mut order: Vec<((u64, u32), u32)> = servers.zip(0..).collect();
        if order.is_empty() {
            return Self { slots: Box::default() };
        }
        order.sort_unstable();
        let sorted: Vec<(u64, u32)> = order.iter().map(|(server, _)| *server).collect();
        let mut slots = fill(&sorted);
        for slot in &mut slots {
            *slot = order[*slot as usize].1;
        }
        Self {
            slots: slots.into_boxed_slice(),
        }
    }

    /// The server of the key's slot; where it is not open, that of one of the next.
    pub(super) fn find(&self, key: u64, open: impl Fn(usize) -> bool) -> Option<usize> {
        // A filter's key may be anything, the numbers from 1 for example.
        let key = mix(key);
        // The high bits, multiplied rather than divided: the same number of keys for each slot (Lemire 2019).
        let slot = ((u128::from(key) * self.slots.len() as u128) >> 64) as usize;
        let (late, early) = self.slots.split_at(slot);
        let walk = early.iter().chain(late).take(WALK);
        walk.map(|server| *server as usize).find(|server| open(*server))
    }
}

impl Debug for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Table")
            .field("slots", &self.slots.len())
            .finish()
    }
}

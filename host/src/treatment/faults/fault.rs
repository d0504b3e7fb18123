//! A fault that is in force, and the connections that it hits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::config::{FaultConfig, WHOLE};

/// Which connections it hits, and what becomes of them, follows from its seed and from how many came before them since it first
/// saw one: the same connections in the same order have the same faults.
#[derive(Debug)]
pub struct Fault {
    config: FaultConfig,
    /// It stays the same when the fault is changed.
    id: u64,
    seed: u64,
    /// The number of the connection that it has seen first.
    first: OnceLock<u64>,
}

/// A connection that a fault hits.
#[derive(Debug, Clone)]
pub struct Hit {
    pub fault: Arc<Fault>,
    /// Where the chance of this connection begins.
    pub seed: u64,
}

static LAST: AtomicU64 = AtomicU64::new(0);

impl Fault {
    pub fn new(config: FaultConfig) -> Self {
        Self {
            seed: config.seed.unwrap_or_else(|| fastrand::u64(..)),
            config,
            id: LAST.fetch_add(1, Ordering::Relaxed),
            first: OnceLock::new(),
        }
    }

    /// The same fault, which does something else from now on: what it has counted of a connection stays.
    pub fn changed(&self, config: FaultConfig) -> Self {
        Self {
            seed: config.seed.unwrap_or(self.seed),
            config,
            id: self.id,
            first: self.first.clone(),
        }
    }

    pub fn config(&self) -> &FaultConfig {
        &self.config
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it hits the connection of that number: as often as it is asked, the answer is the same.
    pub fn hits(self: &Arc<Self>, connection: u64) -> Option<Hit> {
        let first = *self.first.get_or_init(|| connection);
        let mut chance = fastrand::Rng::with_seed(mixed(self.seed, connection.wrapping_sub(first)));
        let is_hit = chance.u32(..WHOLE) < self.config.share;
        is_hit.then(|| Hit {
            fault: Arc::clone(self),
            seed: chance.u64(..),
        })
    }
}

/// Seeds that differ by one must not begin alike.
pub(super) fn mixed(seed: u64, number: u64) -> u64 {
    // SplitMix64 (Steele, Lea and Flood 2014).
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FaultKind;
    use crate::flow::Direction;

    fn fault(share: u32, seed: u64) -> Arc<Fault> {
        Arc::new(Fault::new(FaultConfig {
            share,
            seed: Some(seed),
            ..FaultConfig::new(FaultKind::Down, Direction::Down)
        }))
    }

    fn run(fault: &Arc<Fault>, first: u64) -> Vec<Option<u64>> {
        let hit = |connection| fault.hits(connection).map(|hit| hit.seed);
        (first..first + 1000).map(hit).collect()
    }

    #[test]
    fn the_same_seed_hits_the_same_connections_of_a_run() {
        let run_of = |seed, first| run(&fault(WHOLE / 10, seed), first);
        assert_eq!(run_of(7, 1), run_of(7, 5000));
        assert_ne!(run_of(7, 1), run_of(8, 1));
        let hit = run_of(7, 1).iter().flatten().count();
        assert!((60..140).contains(&hit), "{hit} of 1000");
    }

    #[test]
    fn all_or_none_are_hit_where_the_share_says_so() {
        assert_eq!(run(&fault(WHOLE, 1), 1).iter().flatten().count(), 1000);
        assert_eq!(run(&fault(0, 1), 1).iter().flatten().count(), 0);
    }

    #[test]
    fn a_connection_is_hit_or_spared_for_as_long_as_the_fault_is_there() {
        let half = fault(WHOLE / 2, 3);
        let before = run(&half, 1);
        assert_eq!(run(&half, 1), before);
        assert_eq!(run(&Arc::new(half.changed(half.config().clone())), 1), before);
    }
}

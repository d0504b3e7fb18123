//! A fault that is in force, and the connections that it hits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{FaultConfig, WHOLE};

/// Which connections it hits, and what becomes of them, follows from its seed and from how many it has been asked about: the
/// same connections in the same order have the same faults.
#[derive(Debug)]
pub struct Fault {
    config: FaultConfig,
    /// It stays the same when the fault is changed.
    id: u64,
    seed: u64,
    asked: AtomicU64,
}

/// A connection that a fault hits.
#[derive(Debug, Clone)]
pub struct Hit {
    pub fault: Arc<Fault>,
    /// Where the chance of this connection begins.
    pub seed: u64,
}

/// What faults have said of one connection, in the order in which its bytes meet them. What is said once holds for as long as
/// the fault is there.
#[derive(Debug, Default)]
pub struct Hits {
    /// `None`: it was asked, and spares the connection.
    said: Vec<(u64, Option<Hit>)>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Fault {
    pub fn new(config: FaultConfig) -> Self {
        let seed = config.seed.unwrap_or_else(|| fastrand::u64(..));
        Self {
            config,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            seed,
            asked: AtomicU64::new(0),
        }
    }

    /// The same fault, which does something else from now on: what it has counted of a connection stays.
    pub fn changed(&self, config: FaultConfig) -> Self {
        Self {
            seed: config.seed.unwrap_or(self.seed),
            config,
            id: self.id,
            asked: AtomicU64::new(self.asked.load(Ordering::Relaxed)),
        }
    }

    pub fn config(&self) -> &FaultConfig {
        &self.config
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Asked once for each connection.
    fn draw(self: &Arc<Self>) -> Option<Hit> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut chance = fastrand::Rng::with_seed(mixed(self.seed, asked));
        let is_hit = chance.u32(..WHOLE) < self.config.share;
        is_hit.then(|| Hit {
            fault: Arc::clone(self),
            seed: chance.u64(..),
        })
    }
}

impl Hits {
    /// These are in force from now on. Those that were asked before are not asked again.
    pub fn update<'a>(&mut self, faults: impl IntoIterator<Item = &'a Arc<Fault>>) {
        let mut before = std::mem::take(&mut self.said);
        let said = faults.into_iter().map(|fault| {
            let known = before.iter().position(|(id, _)| *id == fault.id);
            let hit = match known.map(|at| before.swap_remove(at).1) {
                // With what it does now. Whom it spared it may hit once it hits others than before.
                Some(Some(hit)) if fault.config.share > 0 => Some(Hit {
                    fault: Arc::clone(fault),
                    seed: hit.seed,
                }),
                Some(None) if fault.config.share < WHOLE => None,
                _ => fault.draw(),
            };
            (fault.id, hit)
        });
        self.said = said.collect();
    }

    pub fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.said.iter().filter_map(|(_, hit)| hit.as_ref())
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

    fn run(fault: &Arc<Fault>) -> Vec<Option<u64>> {
        let connection = || {
            let mut hits = Hits::default();
            hits.update([fault]);
            hits.iter().next().map(|hit| hit.seed)
        };
        (0..1000).map(|_| connection()).collect()
    }

    #[test]
    fn the_same_seed_hits_the_same_connections() {
        let run_of = |seed| run(&fault(WHOLE / 10, seed));
        assert_eq!(run_of(7), run_of(7));
        assert_ne!(run_of(7), run_of(8));
        let hit = run_of(7).iter().flatten().count();
        assert!((60..140).contains(&hit), "{hit} of 1000");
    }

    #[test]
    fn all_or_none_are_hit_where_the_share_says_so() {
        assert_eq!(run(&fault(WHOLE, 1)).iter().flatten().count(), 1000);
        assert_eq!(run(&fault(0, 1)).iter().flatten().count(), 0);
    }

    #[test]
    fn a_connection_is_hit_or_spared_for_as_long_as_the_fault_is_there() {
        let half = fault(WHOLE / 2, 3);
        for _ in 0..20 {
            let mut hits = Hits::default();
            hits.update([&half]);
            let first = hits.iter().next().map(|hit| hit.seed);
            let other = fault(WHOLE, 4);
            hits.update([&other, &half]);
            hits.update([&half]);
            assert_eq!(hits.iter().next().map(|hit| hit.seed), first);
        }
    }
}

//! Time and chance, which a filter has from the host alone.

use std::collections;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::sync::OnceLock;
use std::time::Duration;

use crate::sys::host;

/// Since the Unix epoch.
pub fn now() -> Duration {
    Duration::from_nanos(host::now())
}

/// Since some moment before, never going back: for measuring.
pub fn monotonic() -> Duration {
    Duration::from_nanos(host::monotonic())
}

/// For hash seeds and sampling, not for keys.
pub fn random() -> u64 {
    host::random()
}

/// True for this share of the calls: 0.01 is one in a hundred.
pub fn sample(share: f64) -> bool {
    // The upper 53 bits are as many as a double holds: a uniform number of [0, 1).
    (random() >> 11) as f64 / ((1_u64 << 53) as f64) < share
}

/// A map whose keys may come from the client. Make it with `HashMap::default()`.
pub type HashMap<K, V> = collections::HashMap<K, V, Seeded>;

/// A set whose members may come from the client. Make it with `HashSet::default()`.
pub type HashSet<T> = collections::HashSet<T, Seeded>;

/// Hashes with a seed that the host gave. In a filter, the standard library's own seed is a constant, and a client that
/// knows it can choose keys that all collide.
#[derive(Clone, Copy, Debug)]
pub struct Seeded(u64, u64);

impl Default for Seeded {
    fn default() -> Self {
        static SEED: OnceLock<Seeded> = OnceLock::new();
        *SEED.get_or_init(|| Self(random(), random()))
    }
}

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher.write_u64(self.1);
        hasher
    }
}

//! Mirrors, as they are meant.

use super::{Directions, defaults};

/// A copy of what connections are sent, for another upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorConfig {
    /// The other one's name.
    pub upstream: String,
    /// What is copied. Each direction has a connection of its own to the other upstream.
    pub directions: Directions,
    /// Of a hundred connections, so many, 1 to 100: which ones is drawn from `seed` and the connection's number.
    pub share: u32,
    pub seed: u64,
    /// How many bytes the mirror of one connection may be behind, 1 MiB to 1 GiB. Then it is dropped.
    pub lag: usize,
    /// Whether the replies to what goes up are compared with the primary's.
    pub compare: bool,
}

impl MirrorConfig {
    /// Every default.
    pub fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            directions: Directions::Up,
            share: defaults::MIRROR_SHARE,
            seed: 0,
            lag: defaults::MIRROR_LAG,
            compare: false,
        }
    }
}

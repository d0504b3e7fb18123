//! What is done to bytes besides passing them on, as it is meant.

use std::time::Duration;

use super::{CaptureConfig, FaultConfig, MirrorConfig};

/// What a listener, a route, an upstream or an operator asks for. All that apply to a connection add up; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreatmentConfig {
    /// The slowest of them holds.
    pub bandwidth: Vec<Bandwidth>,
    /// All of them hold.
    pub quotas: Vec<Quota>,
    /// Where connections are written down.
    pub captures: Vec<CaptureConfig>,
    /// Bytes go through all of them, in this order.
    pub faults: Vec<FaultConfig>,
    /// Of connections that begin: what is there already is not copied.
    pub mirrors: Vec<MirrorConfig>,
}

impl TreatmentConfig {
    /// Whether bytes are only passed on.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How fast bytes may go, in each direction for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes a second, 1 024 to 2^40; `None`: as fast as they can. One of the two is there.
    pub up: Option<u64>,
    pub down: Option<u64>,
    pub per: Per,
    /// What may go at once after a pause, in bytes; `None`: what goes in 50 ms.
    pub burst: Option<u64>,
}

/// How much there may be in a length of time, counted from the first of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// New connections, 1 to 2^32 - 1; `None`: any number. One of the two is there.
    pub connections: Option<u64>,
    /// Bytes of both directions, up to 2^60.
    pub bytes: Option<u64>,
    /// 1 s to 8 760 h.
    pub every: Duration,
    pub per: Per,
}

/// Who shares what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Per {
    /// Nobody: each connection has its own.
    #[default]
    Connection,
    /// The connections of one client: of an IPv4 address, of a network of 64 bits of IPv6.
    Client,
    /// Those to which a filter has given the same key, by its option `treatment-key`.
    Key,
    /// All connections that are treated so.
    All,
}

/// Which of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directions {
    /// What clients say.
    Up,
    /// What servers reply.
    Down,
    /// Each for itself.
    Both,
}

//! What may be done to the bytes of connections to see what becomes of those who rely on them, as it is meant.

use std::time::Duration;

use crate::flow::Direction;

/// One fault, and whom it hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultConfig {
    pub kind: FaultKind,
    /// `None`: both.
    pub direction: Option<Direction>,
    /// Of connections, in millionths.
    pub share: u32,
    /// What is left to chance is the same in every run that begins with the same; `None`: never the same.
    pub seed: Option<u64>,
}

impl FaultConfig {
    /// Hits every connection in one direction, as differently each time as it may.
    pub fn new(kind: FaultKind, direction: Direction) -> Self {
        Self {
            kind,
            direction: Some(direction),
            share: WHOLE,
            seed: None,
        }
    }

    pub fn hits(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|hit| hit == direction)
    }
}

/// All connections, in millionths.
pub const WHOLE: u32 = 1_000_000;

/// What a fault does. Toxiproxy has the same but for the last three, by the names that this has in a file with `_` for `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Bytes and the end come so much later, each read by more or less than that.
    Latency {
        latency: Duration,
        jitter: Duration,
        distribution: Distribution,
    },
    /// So many bytes a second go through; 0: none, which are kept.
    Bandwidth { rate: u64 },
    /// The end comes so much later.
    SlowClose { delay: Duration },
    /// Bytes are dropped, and the connection is closed after this time; `None`: when the fault is taken away.
    Timeout { timeout: Option<Duration> },
    /// After so many bytes, or the first where this is 0, and then this time, the connection is reset.
    ResetPeer { timeout: Duration, bytes: u64 },
    /// Bytes are written so many at a time, more or less by `variation`, with this time between two writes.
    Slicer {
        average: u64,
        variation: u64,
        delay: Duration,
    },
    /// The connection is closed after so many bytes.
    LimitData { bytes: u64 },
    /// One byte in so many is another one.
    Corrupt { one_in: u64 },
    /// New connections are closed before an upstream is connected to.
    Refuse { reset: bool },
    /// The same, and those that are there end.
    Down,
}

/// How latencies differ by `jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distribution {
    /// By up to as much, each difference as likely as any other.
    #[default]
    Uniform,
    /// `jitter` is the standard deviation.
    Normal,
}

impl FaultKind {
    /// As it is typed in a file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowClose { .. } => "slow-close",
            Self::Timeout { .. } => "timeout",
            Self::ResetPeer { .. } => "reset-peer",
            Self::Slicer { .. } => "slicer",
            Self::LimitData { .. } => "limit-data",
            Self::Corrupt { .. } => "corrupt",
            Self::Refuse { .. } => "refuse",
            Self::Down => "down",
        }
    }

    /// Whether new connections are closed before an upstream is connected to; with RST, or else FIN.
    pub const fn refuses(&self) -> Option<bool> {
        match self {
            Self::Refuse { reset } => Some(*reset),
            Self::Down => Some(true),
            _ => None,
        }
    }
}

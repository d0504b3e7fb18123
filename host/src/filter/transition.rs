//! What becomes of a filter's generations, as the log and the metrics tell it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::rollout::Seen;
use crate::digest::Digest;

/// Something that has happened to a generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// It serves all new connections.
    Published { generation: u64 },
    /// It gets some of them.
    Began { generation: u64, stable: u64 },
    /// It has proven itself, and gets all of them.
    Promoted { generation: u64, figures: Figures },
    /// It gets none any more; after that time it is tried again, if it had been in quarantine.
    RolledBack {
        generation: u64,
        stable: u64,
        verdict: Verdict,
        figures: Figures,
        retry_after: Option<Duration>,
    },
    /// An operator wants the one before it again.
    WentBack { generation: u64, stable: u64 },
    /// It is not what is in the file any more.
    Withdrawn { generation: u64, why: Withdrawal },
    /// It kept failing, and the one before it returns.
    Quarantined {
        generation: u64,
        returns: u64,
        failures: u64,
        within: Duration,
        retry_after: Duration,
    },
    /// It gets some of the connections again.
    Retried { generation: u64, stable: u64 },
    /// It keeps failing, and there is none to go back to. This changes nothing.
    Failing {
        generation: u64,
        failures: u64,
        within: Duration,
    },
}

/// Why a canary is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Failures,
    Refused,
    Early,
    /// An operator does not want it.
    Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// There is a newer one.
    Newer,
    /// The file is the stable generation's again.
    Reverted,
}

/// How a canary compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub after: Duration,
    pub canary: Seen,
    pub stable: Seen,
}

/// What a file was, where one was loaded.
pub struct Loaded {
    pub digest: Digest,
    pub elapsed: Duration,
}

/// How often each has happened.
#[derive(Default)]
pub struct Transitions([AtomicU64; NAMES.len()]);

const NAMES: [&str; 7] = [
    "published",
    "canary",
    "promoted",
    "rolled-back",
    "withdrawn",
    "quarantined",
    "retried",
];

impl Transitions {
    pub const KINDS: usize = NAMES.len();

    pub fn count(&self, transition: &Transition) {
        if let Some(place) = transition.place() {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn all(&self) -> [(&'static str, u64); Self::KINDS] {
        std::array::from_fn(|place| (NAMES[place], self.0[place].load(Ordering::Relaxed)))
    }
}

impl Transition {
    /// Whether connections get other generations than before.
    pub fn changes(&self) -> bool {
        self.place().is_some()
    }

    fn place(&self) -> Option<usize> {
        match self {
            Self::Published { .. } => Some(0),
            Self::Began { .. } => Some(1),
            Self::Promoted { .. } => Some(2),
            Self::RolledBack { .. } | Self::WentBack { .. } => Some(3),
            Self::Withdrawn { .. } => Some(4),
            Self::Quarantined { .. } => Some(5),
            Self::Retried { .. } => Some(6),
            Self::Failing { .. } => None,
        }
    }

    /// One line, once it has taken effect.
    pub fn log(&self, filter: &str, loaded: Option<&Loaded>) {
        let digest = loaded.map(|loaded| tracing::field::display(loaded.digest));
        let elapsed_ms = loaded.map(|loaded| loaded.elapsed.as_millis());
        match self {
            Self::Published { generation } => {
                tracing::info!(filter, generation, digest, elapsed_ms, "filter published");
            }
            Self::Began { generation, stable } => {
                tracing::info!(filter, generation, stable, digest, elapsed_ms, "canary began");
            }
            Self::Promoted { generation, figures } => {
                let Figures { after, canary, stable } = figures;
                tracing::info!(filter, generation, ?after, %canary, %stable, "canary promoted");
            }
            Self::RolledBack {
                generation,
                stable: serves,
                verdict: why,
                figures: Figures { after, canary, stable },
                retry_after,
            } => {
                let retry_after = retry_after.map(tracing::field::debug);
                tracing::warn!(
                    filter, generation, serves, %why, ?after, %canary, %stable, retry_after,
                    "canary rolled back"
                );
            }
            Self::WentBack {
                generation,
                stable: serves,
            } => tracing::warn!(filter, generation, serves, "generation rolled back"),
            Self::Withdrawn { generation, why } => tracing::info!(filter, generation, %why, "generation withdrawn"),
            Self::Quarantined {
                generation,
                returns: serves,
                failures,
                within,
                retry_after,
            } => {
                tracing::warn!(
                    filter,
                    generation,
                    serves,
                    failures,
                    ?within,
                    ?retry_after,
                    "generation quarantined"
                );
            }
            Self::Retried {
                generation,
                stable: serves,
            } => tracing::info!(filter, generation, serves, "generation tried again"),
            Self::Failing {
                generation,
                failures,
                within,
            } => {
                tracing::warn!(
                    filter,
                    generation,
                    failures,
                    ?within,
                    "filter keeps failing, and no earlier generation can take its place"
                );
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failures => "failures",
            Self::Refused => "refused connections",
            Self::Early => "connections that ended early",
            Self::Asked => "an operator asked for it",
        })
    }
}

impl fmt::Display for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newer => "a newer one was loaded",
            Self::Reverted => "the file is the stable generation's again",
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            failures,
            connections,
            refused,
            early,
        } = self;
        write!(
            f,
            "{failures} failures, {connections} connections: {refused} refused, {early} early"
        )
    }
}

use std::collections::BTreeMap;

use crate::{Direction, Ending, PerDirection, Value};

/// What came of playing a variant: everything that a player can see from outside of a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What the router decided.
    pub decision: Decision,
    /// With these options.
    pub options: BTreeMap<String, Value>,
    /// Set where a filter closed the connection.
    pub refusal: Option<Refusal>,
    /// What the upstream received.
    pub to_upstream: Vec<u8>,
    /// What the client received, without the reply of a refusal.
    pub to_client: Vec<u8>,
    /// The last value of each key.
    pub annotations: BTreeMap<String, Value>,
    /// By how much each has changed. A histogram's is how often it was observed.
    pub metrics: BTreeMap<String, f64>,
    /// Each record in one line: its message, and its fields as ` key=value`.
    pub logs: Vec<String>,
    /// How many bytes were shown to inspectors and transformers. Bytes that were shown again count once.
    pub shown: PerDirection<u64>,
    /// Which directions are never shown again. One in which there was no interest counts.
    pub detached: PerDirection<bool>,
    /// The filter trapped or broke the contract, or the play cannot be played: why.
    pub failure: Option<String>,
    /// The filter refused its configuration: why. Then nothing was played.
    pub config_refused: Option<String>,
}

impl Observed {
    /// What the peer at the end of this direction received.
    pub(crate) fn received(&self, direction: Direction) -> &[u8] {
        match direction {
            Direction::Up => &self.to_upstream,
            Direction::Down => &self.to_client,
        }
    }
}

/// What a router decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// There is no router, or it refused the connection.
    #[default]
    None,
    /// The configuration chooses.
    Passes,
    /// It still needs bytes.
    Waits,
    /// This one.
    Upstream(String),
}

/// How a filter closed the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the access log.
    pub reason: String,
    /// How the peers see it.
    pub ending: Ending,
    /// What the client was told.
    pub reply: Vec<u8>,
}

//! WebAssembly filters: loaded, replaced, asked, and kept in their bounds.
//!
//! What the rest of the proxy sees: [`Filter`]s with their [`Generation`]s, a router's [`Decision`], a [`Chain`] of
//! inspectors and transformers, the [`Observers`], and a [`Stop`] where a filter ends a connection. wasmtime is not visible from outside.

mod abi;
mod about;
mod allowance;
mod backtrace;
pub mod bench;
mod chain;
mod clock;
mod component;
mod engine;
mod facts;
mod failure;
mod families;
mod generation;
mod host;
mod instance;
mod interface;
mod lineup;
mod metrics;
mod observers;
mod remedy;
mod rollout;
mod router;
mod sessions;
mod slot;
mod store;
mod tally;
mod transition;
mod trial;
mod wasi;
mod witness;

#[cfg(test)]
pub use crate::digest::Digest;
pub use about::About;
pub use chain::{Attention, Chain, Interest, MUCH, Passed, Refused, Stop, View, Watcher};
pub use component::{Examined, VERSION as CONTRACT};
pub use engine::Engine;
pub use facts::{Attribute, Attributes, Facts, Value};
pub use failure::Kind as FailureKind;
pub use generation::Generation;
pub use interface::Interface;
pub use metrics::Reading;
pub use observers::{Closed, Observers};
pub use router::{Decision, Window, ask, blame};
pub use sessions::Instances;
pub use slot::{ConfigRefused, Filter, Occasion, Reloaded, Revision};
pub use tally::{BUCKETS, End, Role, TIMED, Tally, Totals, Verdict};
pub use trial::{Candidate, Ended, Trial, examination};
pub use witness::Heard;

/// An upstream as a filter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub servers: u32,
    pub healthy: u32,
    /// Connections that it has now.
    pub connections: u64,
}

/// The upstreams, for filters that ask. Answers at once.
pub trait Groups: Send + Sync {
    fn get(&self, name: &str) -> Option<Group>;
    fn all(&self) -> Vec<Group>;
}

//! WebAssembly filters: loaded, replaced, asked, and kept in their bounds.
//!
//! What the rest of the proxy sees: [`Filter`]s with a current [`Generation`], a router's [`Decision`], a [`Chain`] of
//! inspectors, the [`Observers`], and a [`Stop`] where a filter ends a connection. wasmtime is not visible from outside.

mod abi;
mod chain;
mod component;
mod engine;
mod facts;
mod failure;
mod generation;
mod host;
mod instance;
mod metrics;
mod observers;
mod router;
mod sessions;
mod store;
mod wasi;

pub use chain::{Chain, Stop, View};
pub use engine::Engine;
pub use facts::{Attribute, Attributes, Facts, Value};
pub use generation::{Filter, Generation, Occasion, Reloaded};
pub use observers::{Closed, Observers};
pub use router::{Decision, Window, ask, blame};
pub use sessions::Instances;

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

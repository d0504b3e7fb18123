//! What the proxy has done, for Prometheus: a page at `/metrics`, on a thread of its own.
//!
//! Nothing is counted here. [`Sources`] reads the counters of others into a [`Snapshot`], a page is a function of that
//! alone, and [`Exporter`] hands it to whoever asks.

mod custom;
mod family;
mod filters;
mod listeners;
mod page;
mod serve;
mod snapshot;

pub use serve::{Bound, Exporter};
pub use snapshot::Sources;
use snapshot::{Custom, FilterSeen, GenerationSeen, ListenerSeen, Snapshot};

//! What the proxy has done, for Prometheus: a page at `/metrics`, on a thread of its own.
//!
//! Nothing is counted here. The counters of others are read into a [`Snapshot`], a page is a function of that alone, and
//! [`serve()`] hands it to whoever asks.

mod custom;
mod family;
mod filters;
mod listeners;
mod mirrors;
mod page;
mod process;
mod serve;
mod snapshot;
mod sums;
mod upstreams;

pub use serve::{bind, serve};
use snapshot::{Custom, FilterSeen, GenerationSeen, ListenerSeen, ProcessSeen, Snapshot};

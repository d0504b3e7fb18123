//! What is recorded. Everything may use this, and this uses nothing of the proxy but its words and its configuration.

mod access_log;
mod counters;
mod entry;
mod histogram;
pub mod log;
mod traffic;
mod vitals;

pub use access_log::AccessLog;
pub use counters::{Counters, Ended, Ledger, Moved, Seen, Sums};
pub use entry::{Entry, Event};
pub use histogram::{Histogram, Times};
pub use traffic::{Traffic, Ways};
pub use vitals::{Loads, Pulse, Vitals};

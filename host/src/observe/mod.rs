//! What is recorded. Everything may use this, and this uses nothing of the proxy but its words and its configuration.

mod access_log;
mod counters;
mod entry;
pub mod log;

pub use access_log::AccessLog;
pub use counters::{Counters, Moved, Seen};
pub use entry::{Entry, Event};

//! What is recorded. Everything may use this, and this uses nothing of the proxy.

mod counters;
pub mod log;

pub use counters::{Counters, Moved};

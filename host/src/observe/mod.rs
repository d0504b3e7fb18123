//! What is recorded. Everything may use this, and this uses nothing of the proxy.

pub mod log;

//! What filters may call: one file for each interface of the contract. A filter is a stranger: every number, length and
//! string that it passes is checked here, and nothing here waits.

mod connection;
mod environment;
mod log;
mod metrics;
mod store;
mod types;
mod upstreams;

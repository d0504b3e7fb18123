//! What is done to a connection's bytes besides passing them on.

pub mod mirror;

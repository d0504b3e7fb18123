//! What is done to the bytes of a connection besides passing them on.

pub mod faults;

//! What a connection is, from what its client sends first: pure functions on bytes that are looked at and never changed.

mod hello;
mod inspect;
mod protocols;
mod sight;

/// The fuzzer in `fuzz` has it too.
#[cfg(test)]
mod laws;

pub use hello::{Hello, HelloReader, Reading, normalised};
pub use inspect::{Inspected, inspect, learn, secure};
pub use protocols::{Answer, begins, greets};
pub use sight::{Found, Sight, speaks};

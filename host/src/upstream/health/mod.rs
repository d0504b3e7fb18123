//! Whether servers live: what is asked of them, and what follows from their answers and from what becomes of connections.
//!
//! `judge`, `eject` and `slow_start` are pure; `check` is the only one that opens a socket. When each of them is asked is the
//! business of whoever keeps the servers.

mod check;
mod eject;
mod judge;
mod slow_start;

pub use check::{CheckError, Way, check};
pub use eject::Eject;
pub use judge::{Judge, Transition};
pub use slow_start::share;

//! Faults: what is done to the bytes of connections on purpose, to see what becomes of those who rely on them.
//!
//! | | |
//! | --- | --- |
//! | [`Fault`] | one that is in force: it says of each connection whether it is hit |
//! | [`Hit`] | what follows from that for the connection: the fault, and where its chance begins |
//! | [`Line`] | what the faults of one direction do to its bytes: pure, and told the time |
//! | [`Faulted`] | the line of a connection, and when it is to be asked again |

mod fault;
mod faulted;
mod line;

pub use fault::{Fault, Hit};
pub use faulted::Faulted;
pub use line::{Line, Step};

//! Faults: what is done to the bytes of connections on purpose, to see what becomes of those who rely on them.
//!
//! | | |
//! | --- | --- |
//! | [`Fault`] | one that is in force: it says of each connection whether it is hit |
//! | [`Hit`] | what follows from that for the connection: the fault, and where its chance begins |
//! | [`Line`] | what the faults of one direction do to its bytes: pure, and told the time |

mod fault;
mod line;

pub use fault::{Fault, Hit, Hits};
pub use line::{Line, Step};

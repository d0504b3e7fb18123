//! Transcripts of connections: what a filter is shown, and what is expected of it.
//!
//! A transcript is a TOML file. Each of its cases says what a filter is given, who sends what, and what should come of it:
//!
//! ```
//! # let text = r#"
//! [given]
//! config = { refuse = ["FLUSHALL"] }
//!
//! [[case]]
//! name = "a command in any case is refused"
//! play = [{ up = "*1\r\n$8\r\nflushALL\r\n" }]
//! expect = { refused = "the command FLUSHALL", upstream-receives = "*1\r\n$8\r\nflushALL" }
//! # "#;
//! # let transcript = spliceway_transcript::parse("redis.toml".as_ref(), text).unwrap();
//! # assert_eq!(transcript.cases[0].line, 5);
//! ```
//!
//! A network delivers bytes in pieces of its own choice, so that a case is played more than once: whole, cut in two at each
//! place, in single bytes, and in random pieces ([`Case::variants`]). What comes of it must be the same each time.
//!
//! This crate reads cases ([`load`]), cuts them, and judges what came of them ([`judge()`], [`run()`]). Who plays them is a
//! [`Player`]: the SDK's, which calls a filter's code natively, and the proxy's, which runs its component.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod bytes;
mod case;
mod cut;
mod error;
mod judge;
mod observed;
mod raw;
mod read;
mod run;
mod value;

pub use case::{Case, Closed, Direction, Ending, Expect, Given, Moved, PerDirection, Step, Transcript, Upstream};
pub use cut::{Cut, Variant};
pub use error::{Error, Problem};
pub use judge::{Mismatch, judge};
pub use observed::{Decision, Observed, Refusal};
pub use read::{load, parse};
pub use run::{Count, Failure, Player, run};
pub use value::Value;

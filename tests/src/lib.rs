//! The harness of the black-box tests: it starts the real `spliceway` between real programs and raw sockets.
//!
//! A test is a scene. It says who takes part, what they say, and how it ends:
//!
//! ```no_run
//! use spliceway_tests::{Client, Proxy, Upstream};
//!
//! let upstream = Upstream::listen();
//! let proxy = Proxy::forward(upstream.address()).start();
//! let mut client = Client::connect(proxy.address());
//! let mut server = upstream.accept();
//!
//! client.send(b"ping");
//! server.expect(b"ping");
//! client.half_close();
//! server.expect_eof();
//! drop(server);
//! client.expect_eof();
//! assert_eq!(proxy.ended(&client).up(), 4);
//! ```
//!
//! Rules that keep the tests quick and honest:
//!
//! - Nothing waits for a length of time in order that something has happened by then. Everything waits *for* something,
//!   until [`DEADLINE`], and then says what it waited for.
//! - No port is written down. The kernel chooses where it can ([`Proxy`], [`Upstream`]), [`ports`] elsewhere.
//! - Whatever a test starts ends with the test, also when the test is killed: see [`command::lasting`].
//! - The log of a proxy is printed when its test fails, and only then.

#![forbid(unsafe_code)]

pub mod admin;
pub mod artifacts;
pub mod browser;
pub mod bytes;
pub mod captures;
pub mod certificates;
pub mod collector;
pub mod command;
pub mod document;
pub mod exposition;
mod fault_peer;
pub mod hello;
pub mod iperf;
pub mod kernel;
mod logs;
mod name_server;
pub mod network;
pub mod origin;
mod pane;
mod peer;
pub mod ports;
mod proxy;
pub mod registry;
pub mod rivals;
pub mod servers;
pub mod service;
pub mod terminal;
mod tls_peer;
mod trace;
mod wait;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use fault_peer::{End, Heard};
pub use logs::{Event, Transfer};
pub use name_server::NameServer;
pub use pane::Pane;
pub use peer::{Client, Peer, Upstream};
pub use proxy::{Builder, Proxy, filtered, spliceway};
pub use tls_peer::{Credulous, TlsEnd, TlsHeard, TlsPeer, client_hello, showing, showing_to, trusting, trusting_as};
pub use trace::Trace;
pub use wait::{eventually, wait_until_exit};

/// How long anything may take that should happen at once. Long, since CI has two cores and tests run beside each other: a
/// test that fails waits this long, a test that passes never does.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Held by a test that loads the machine or measures something, so that two of them do not run side by side under
/// `cargo test`. Under nextest, where every test is a process, the test groups in `.config/nextest.toml` do the same.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Leaves the test, saying why: for what this machine or this user cannot do. Never for what the proxy cannot do.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        eprintln!("skipped: {}", format_args!($($reason)*));
        return;
    }};
}

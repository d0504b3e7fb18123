//! Spliceway: a TCP proxy whose connections move in the kernel until a filter asks to see them.
//!
//! Read [`connection`] first: it is the journey that everything else is a stage of. The modules below stand in the order of
//! that journey.

#[cfg(not(target_os = "linux"))]
compile_error!("Spliceway runs on Linux only: it is built on splice(2), epoll(7) and SO_REUSEPORT");

pub mod cli;
mod config;
mod demo;
mod server;

mod reload;

mod in_force;

mod handover;
mod supervisor;

mod listener;

mod connection;

mod proxy_header;

mod detect;

mod tls;

mod route;
/// For `benches/routes.rs`.
#[doc(hidden)]
pub use route::rules;

mod upstream;
/// For `benches/pick.rs`.
#[doc(hidden)]
pub use upstream::balance;

mod relay;

mod treatment;

mod channel;

mod authoring;

mod filter;
/// For `benches/filters.rs`.
#[doc(hidden)]
pub use filter::bench;

mod admin;
mod artifact;
mod digest;
mod flow;
mod http;
mod limit;
mod linger;
mod metrics;
mod notice;
mod observe;
mod outcome;
mod protocol;
mod signature;
mod sockets;
mod sys;
mod transparent;
mod watch;
mod words;
mod worker;

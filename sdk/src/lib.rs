//! Write filters for Spliceway, a layer-4 proxy.
//!
//! A filter is a WebAssembly component with one or more roles: a [`Router`] chooses the upstream of a connection, an
//! [`Inspector`] looks at bytes, a [`Transformer`] changes them, and an [`Observer`] hears how connections ended. This
//! one is complete: it chooses by the server name that the client asked for.
//!
//! ```
//! use std::collections::BTreeMap;
//! use spliceway_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Tenants {
//!     upstreams: BTreeMap<String, String>,
//! }
//!
//! impl Config for Tenants {}
//!
//! impl Router for Tenants {
//!     fn route(&self, _window: &Window, connection: &Connection) -> Decision {
//!         let name = connection.text("tls.sni").unwrap_or_default();
//!         match self.upstreams.get(&name) {
//!             Some(upstream) => Decision::route(upstream),
//!             None => Decision::refuse(format!("no tenant is called {name:?}")),
//!         }
//!     }
//! }
//!
//! export_config!(Tenants);
//! export_router!(Tenants);
//! # fn main() {}
//! ```
//!
//! Its `Cargo.toml` has `crate-type = ["cdylib", "rlib"]`, and `serde` and `schemars` beside this crate. Built for
//! `wasm32-unknown-unknown` with the linker `wasm-component-ld`, it is a component that imports nothing but Spliceway's
//! own interfaces. For any other target the export macros only check their types, so `cargo test` runs
//! filters as plain code: see [`testing`].
//!
//! What a filter may ask the host is in [`Connection`], [`log`], [`metrics`], [`store`], [`upstreams`] and
//! [`environment`]. It has no files, no network and no clock but these. `std::time::Instant::now` panics,
//! `std::collections::HashMap` is seeded with a constant: [`environment`] has the ones to use.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod config;
mod connection;
pub mod environment;
mod export;
mod field;
mod inspector;
pub mod log;
pub mod metrics;
mod network;
mod observer;
mod pattern;
mod router;
pub mod store;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod transformer;
pub mod upstreams;
mod value;
mod words;

pub use config::Config;
pub use connection::Connection;
pub use inspector::{Inspector, Verdict};
pub use network::Network;
pub use observer::{Closed, Moved, Observer};
pub use pattern::Pattern;
pub use router::{Choice, Decision, Router, Window};
pub use transformer::{Next, Output, Transformer};
pub use value::{Attribute, Value};
pub use words::{Chunk, Direction, Directions, Ending, Refusal};

/// What nearly every filter uses.
pub mod prelude {
    pub use crate::{
        Chunk, Closed, Config, Connection, Decision, Direction, Directions, Inspector, Next, Observer, Output, Refusal,
        Router, Transformer, Value, Verdict, Window, log,
    };
    pub use crate::{export_config, export_inspector, export_observer, export_router, export_transformer};
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use sys::exports as __exports;

/// The filter on the project's front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

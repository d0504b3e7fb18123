//! What filters may call: one file for each interface of the contract. A filter is a stranger: every number, length and
//! string that it passes is checked here, and nothing here waits.

use wasmtime::component::{HasSelf, Linker};

use super::abi::base::spliceway::filter;
use super::instance::State;

mod connection;
mod environment;
mod log;
mod metrics;
mod store;
mod types;
mod upstreams;

pub(super) use log::say_lost;

/// Offers a component all of it.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    filter::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    filter::connection::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    filter::environment::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log::link(linker)?;
    filter::metrics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    filter::store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    filter::upstreams::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

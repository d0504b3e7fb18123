//! Toxiproxy's API, so that its clients can do faults to our listeners: <https://github.com/Shopify/toxiproxy>, as of 2.12.
//!
//! | | |
//! | --- | --- |
//! | `proxies` | what a proxy is here: a listener of the configuration, and the toxics that it has |
//! | `toxic` | from what Toxiproxy calls a toxic to a fault, and back: pure |
//! | `api` | the paths |
//!
//! Each toxic is a measure of its listener: it holds for live connections at once, operators see it among the others, and it
//! ends with the process. Listeners are the configuration's, so nobody makes or removes one here.

mod api;
mod failed;
mod proxies;
mod toxic;

use std::sync::Arc;

use super::{TERMS, browser};
use crate::config::{ListenAddress, ListenerConfig};
use crate::http::{Bound, Service};
use crate::in_force::Present;
use crate::server::Desk;
use proxies::Proxies;

/// # Errors
/// The address is taken, is not this machine's, or may not be bound.
pub fn bind(address: &ListenAddress) -> anyhow::Result<Bound> {
    Bound::new("toxiproxy", &ListenerConfig::new("", address.clone()))
}

/// Answers until what is returned is dropped; its toxics are over then.
///
/// # Errors
/// There is no thread, or nothing to wait with, to be had.
pub fn serve(bound: Bound, desk: Desk, present: Present) -> anyhow::Result<Service> {
    let proxies = Arc::new(Proxies::new(desk, present));
    // As the admin interface without a token: pages of other sites do no faults.
    let answers = browser::keep_out(api::routes(proxies), false);
    let service = Service::start("toxiproxy", bound, TERMS, answers)?;
    tracing::info!(address = %service.address(), "Toxiproxy's API is served");
    Ok(service)
}

//! What a server serves now.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::artifact::Library;
use crate::config::Config;
use crate::filter::Filter;
use crate::handover::Offer;
use crate::observe::Counters;
use crate::sys::Peer;
use crate::tls::{Certificates, Terminator};
use crate::upstream::Upstreams;

/// For all who look at it, from whatever thread. What it leads to never changes: a reload publishes another one.
pub type Present = Arc<ArcSwap<InForce>>;

/// A configuration, and what was made of it.
pub struct InForce {
    pub config: Config,
    pub filters: Vec<Arc<Filter>>,
    pub library: Arc<Library>,
    pub upstreams: Arc<Upstreams>,
    pub listeners: Vec<Arc<Listening>>,
}

/// A listener as it is remembered: the listener itself is the workers', and gone when they are.
pub struct Listening {
    pub name: Arc<str>,
    /// With the port that the kernel chose for port 0.
    pub address: Peer,
    pub counters: Arc<Counters>,
    pub tls: Option<Arc<Terminator>>,
    /// Its sockets, for the process that takes the place of this one.
    pub offer: Offer,
}

impl InForce {
    pub fn filter(&self, name: &str) -> Option<&Arc<Filter>> {
        self.filters.iter().find(|filter| &**filter.name() == name)
    }

    pub fn listener(&self, name: &str) -> Option<&Arc<Listening>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }

    /// Everything that has certificates, and whose they are.
    pub fn with_certificates(&self) -> impl Iterator<Item = (String, Arc<dyn Certificates>)> {
        let listeners = self.listeners.iter().filter_map(|listener| {
            let tls = Arc::clone(listener.tls.as_ref()?) as Arc<dyn Certificates>;
            Some((format!("listener \"{}\"", listener.name), tls))
        });
        let upstreams = self.upstreams.iter().filter_map(|upstream| {
            let tls = Arc::clone(upstream.tls()?) as Arc<dyn Certificates>;
            Some((format!("upstream \"{}\"", upstream.name()), tls))
        });
        listeners.chain(upstreams)
    }
}

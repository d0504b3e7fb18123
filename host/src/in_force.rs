//! What a server serves now.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::artifact::Library;
use crate::config::Config;
use crate::filter::Filter;
use crate::handover::{Described, Offer};
use crate::listener::{Listener, Post};
use crate::observe::Vitals;
use crate::reload::Overrides;
use crate::sys::Peer;
use crate::tls::Certificates;
use crate::upstream::Upstreams;

/// For all who look at it, from whatever thread. What it leads to never changes: a reload publishes another one.
pub type Present = Arc<ArcSwap<InForce>>;

/// A configuration, and what was made of it.
#[derive(Clone)]
pub struct InForce {
    /// That of the file, with what operators have changed.
    pub config: Config,
    pub file: Arc<Config>,
    pub overrides: Arc<Overrides>,
    pub filters: Vec<Arc<Filter>>,
    pub library: Arc<Library>,
    pub upstreams: Arc<Upstreams>,
    pub listeners: Vec<Arc<Listening>>,
    /// The sockets of whoever else is asked.
    pub metrics: Option<Offer>,
    pub toxiproxy: Option<Offer>,
    pub admin: Option<Offer>,
    /// The process's: the next configuration has the same ones.
    pub vitals: Arc<Vitals>,
}

/// A listener, and where it listens.
pub struct Listening {
    /// Its connections' own, whoever has the post by now.
    pub listener: Arc<Listener>,
    pub post: Arc<Post>,
}

impl Listening {
    /// At an address where nobody listened before.
    pub fn new(listener: Arc<Listener>, address: Peer, offer: Offer) -> Self {
        let post = Arc::new(Post::new(Arc::clone(&listener), address, offer));
        Self { listener, post }
    }

    /// Of one that nobody connects to any more: beside them, nobody has it but this and, maybe, its post.
    pub fn has_connections(&self) -> bool {
        let has_post = Arc::ptr_eq(&self.post.listener(), &self.listener);
        Arc::strong_count(&self.listener) > 1 + usize::from(has_post)
    }
}

impl InForce {
    pub fn filter(&self, name: &str) -> Option<&Arc<Filter>> {
        self.filters.iter().find(|filter| &**filter.name() == name)
    }

    pub fn listener(&self, name: &str) -> Option<&Arc<Listening>> {
        self.listeners
            .iter()
            .find(|listening| &*listening.listener.name == name)
    }

    /// Where clients connect, but for unix sockets.
    pub fn places(&self) -> impl Iterator<Item = SocketAddr> {
        let places = self.listeners.iter();
        places.filter_map(|listening| listening.post.address().address())
    }

    /// Nobody connects to this process any more.
    pub fn close(&self) {
        for listening in &self.listeners {
            listening.post.close();
        }
    }

    /// Every socket that somebody connects to.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn sockets(&self) -> std::io::Result<Vec<(Described, OwnedFd)>> {
        let listeners = self.listeners.iter().map(|listening| listening.post.offer());
        let sockets: std::io::Result<Vec<_>> = listeners
            .chain(&self.metrics)
            .chain(&self.admin)
            .chain(&self.toxiproxy)
            .map(Offer::sockets)
            .collect();
        Ok(sockets?.into_iter().flatten().collect())
    }

    /// Everything that has certificates, and whose they are.
    pub fn with_certificates(&self) -> Vec<(String, Arc<dyn Certificates>)> {
        let listeners = self.listeners.iter().filter_map(|listening| {
            let listener = &listening.listener;
            let tls = Arc::clone(listener.tls.as_ref()?) as Arc<dyn Certificates>;
            Some((format!("listener \"{}\"", listener.name), tls))
        });
        let upstreams = self.upstreams.all();
        let upstreams = upstreams.iter().filter_map(|upstream| {
            let tls = upstream.tls()? as Arc<dyn Certificates>;
            Some((format!("upstream \"{}\"", upstream.name()), tls))
        });
        listeners.chain(upstreams).collect()
    }
}

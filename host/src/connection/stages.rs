//! What is known of a connection, stage by stage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Here;
use crate::channel::Channel;
use crate::config::Timeouts;
use crate::filter::{Chain, Facts, Generation};
use crate::listener::Listener;
use crate::notice::Notice;
use crate::proxy_header::Proxied;
use crate::sys::Stream;
use crate::transparent::destination;
use crate::treatment::{Courses, Treatment};
use crate::upstream::{Aim, Upstream};

/// A client that has connected.
pub struct Accepted {
    pub id: u64,
    pub socket: Channel,
    /// Who has connected, until somebody who is trusted names another. `None` on a unix socket.
    pub client: Option<SocketAddr>,
    /// Where it was to go before it was led here, where that is known.
    pub destination: Option<SocketAddr>,
    pub listener: Arc<Listener>,
    pub started: Instant,
    /// The generations that this connection keeps, in the order of the configuration.
    pub generations: Vec<Arc<Generation>>,
    /// What a trusted proxy has said of it, where that was more than that it is what it seems to be.
    pub proxied: Option<Arc<Proxied>>,
    /// Present where a filter will ask while the connection lives, or where there is something to find out and somebody to tell.
    pub facts: Option<Arc<Facts>>,
    /// Its place among those of its worker.
    pub here: Here,
}

/// A connection whose upstream is chosen. Made by `route` alone, from [`Accepted`].
pub struct Routed {
    pub id: u64,
    pub client: Channel,
    pub upstream: Arc<Upstream>,
    /// Which of its servers, or where else, where that is not the upstream's alone to say.
    pub aim: Option<Box<Aim>>,
    /// Read from the client while its route was looked for; not yet forwarded.
    pub seen: Vec<u8>,
    /// The filters that watch it.
    pub chain: Option<Box<Chain>>,
    /// What its server is told before all else; not the client's, so it is neither shown nor counted.
    pub header: Option<Box<[u8]>>,
    pub timeouts: Arc<Timeouts>,
    /// The route that it took.
    pub route: Option<usize>,
    /// To the connections of its listener that took the same route.
    pub notice: Arc<Notice>,
    /// What is done to its bytes besides passing them on.
    pub treatment: Option<Box<Treatment>>,
    /// Present where it is not known yet what the connection is: a server that speaks first may show it.
    pub unknown: Option<Arc<Facts>>,
}

impl Routed {
    /// Boxed, since few connections have any.
    pub(super) fn follow(&mut self, courses: Courses) {
        if !courses.are_none() {
            self.treatment.get_or_insert_default().courses = courses;
        }
    }
}

impl Accepted {
    pub fn new(socket: Stream, client: Option<SocketAddr>, listener: &Arc<Listener>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let generations: Vec<_> = listener.filters.iter().map(|filter| filter.choose(client)).collect();
        let finds_out = listener.inspects() || listener.transparent.is_some();
        let has_facts = (finds_out && listener.tells) || generations.iter().any(|generation| generation.asks());
        let facts = has_facts.then(|| {
            let local = socket.local();
            Arc::new(Facts::new(id, client, local, Arc::clone(&listener.name)))
        });
        Self {
            id,
            destination: listener.transparent.and_then(|how| destination(how, &socket)),
            socket: socket.into(),
            client,
            listener: Arc::clone(listener),
            started: Instant::now(),
            generations,
            proxied: None,
            facts,
            here: Here::default(),
        }
    }
}

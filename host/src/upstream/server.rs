//! One server: where it is, and how many connections it has. All threads share it, and so do the lineups before and after.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::Upstream;
use super::balance::{Seat, hash_key};
use crate::notice::Notice;
use crate::observe::Ledger;
use crate::relay::Limit;
use crate::sys::Peer;
use crate::worker::Draining;

#[derive(Debug)]
pub struct Server {
    id: u64,
    peer: Arc<Peer>,
    /// The name that it was found by.
    host: Option<Arc<str>>,
    /// How many connections it may have; [`ANY`] is no limit.
    most: AtomicU32,
    connections: AtomicU32,
    /// Connections that failed, one after the other.
    failures: AtomicU32,
    /// How its connections are ended, where it is down and they are not to stay.
    notice: Notice,
    /// Its upstream has it no more.
    is_gone: AtomicBool,
    /// Connections that came about for a client, and attempts that failed.
    connected: AtomicU64,
    refused: AtomicU64,
    /// Of its connections that have ended.
    ledger: Ledger,
}

/// More than a process can have.
const ANY: u32 = u32::MAX;

/// A connection's place at a server, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    server: Arc<Server>,
    upstream: Arc<Upstream>,
    /// To the connections that came under the same terms.
    notice: Arc<Notice>,
}

impl Server {
    pub(super) fn new(peer: Peer, most: Option<u32>) -> Self {
        Self::with_id(hash_key(peer.to_string().as_bytes()), peer, most)
    }

    /// One more at the same address, as the configuration's server number `of`.
    pub(super) fn twin(peer: Peer, most: Option<u32>, of: usize) -> Self {
        Self::with_id(hash_key(format!("{peer} {of}").as_bytes()), peer, most)
    }

    fn with_id(id: u64, peer: Peer, most: Option<u32>) -> Self {
        Self {
            id,
            peer: Arc::new(peer),
            host: None,
            most: AtomicU32::new(most.unwrap_or(ANY)),
            connections: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            notice: Notice::default(),
            is_gone: AtomicBool::new(false),
            connected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ledger: Ledger::default(),
        }
    }

    /// Found by this name.
    pub(super) fn found_by(self, host: Option<Arc<str>>) -> Self {
        Self { host, ..self }
    }

    pub(super) fn is_found(&self) -> bool {
        self.host.is_some()
    }

    /// Who it is in TLS, unless the configuration says otherwise: its name, or else its IP address. Empty for a unix socket.
    pub(super) fn host(&self) -> String {
        let address = || self.peer.address().map(|address| address.ip().to_string());
        self.host
            .as_deref()
            .map(str::to_owned)
            .or_else(address)
            .unwrap_or_default()
    }

    /// How many connections it may have; `None`: any number.
    pub(super) fn most(&self) -> Option<u32> {
        Some(self.most.load(Ordering::Relaxed)).filter(|most| *most != ANY)
    }

    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// To its connections.
    pub fn notice(&self) -> &Notice {
        &self.notice
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A client has a connection to it.
    pub fn count_connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// It did not answer, or not as it has to.
    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections there were, and how many attempts failed.
    pub(super) fn attempts(&self) -> (u64, u64) {
        (
            self.connected.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    /// Whether it gets no connections because its upstream has it no more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// `None` is any number. Those that are too many stay until they end.
    pub(super) fn limit(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(ANY), Ordering::Relaxed);
    }

    pub(super) fn leaves(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    pub(super) fn returns(&self) {
        self.is_gone.store(false, Ordering::Relaxed);
        self.notice.take_back();
        self.succeeded();
    }

    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Returns how many it makes in a row.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts one more connection, where there may be one more.
    fn take(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let more = |count: u32| (count < most).then_some(count + 1);
        // In one order with `Queue::waiting`: see `Place::drop`.
        self.connections
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, more)
            .is_ok()
    }
}

impl Seat for Server {
    fn id(&self) -> u64 {
        self.id
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.connections() >= self.most.load(Ordering::Relaxed)
    }
}

impl Place {
    /// `None` where the server has as many as it may have.
    pub(super) fn take(upstream: &Arc<Upstream>, server: &Arc<Server>) -> Option<Self> {
        server.take().then(|| Self {
            server: Arc::clone(server),
            upstream: Arc::clone(upstream),
            notice: Arc::clone(&upstream.terms().notice),
        })
    }

    /// At a server that is this connection's alone: nothing is known of it, and nothing will be.
    pub(super) fn at(upstream: &Arc<Upstream>, destination: SocketAddr) -> Self {
        Self {
            server: {
                let server = Server::new(Peer::Tcp(destination), None);
                server.take();
                Arc::new(server)
            },
            upstream: Arc::clone(upstream),
            notice: Arc::clone(&upstream.terms().notice),
        }
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// When its connection has to end, and why.
    pub fn notice(&self) -> Option<(Draining, Limit)> {
        let server = self.server.notice.given().map(|given| (given, Limit::ServerDown));
        server.or_else(|| Some((self.notice.given()?, Limit::Reconfigured)))
    }

    /// Whether its server would get a connection now.
    pub(super) fn is_in_lineup(&self) -> bool {
        let lineup = self.upstream.lineup.load();
        lineup
            .seats()
            .iter()
            .any(|(server, _)| Arc::ptr_eq(server, &self.server))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.connections.fetch_sub(1, Ordering::SeqCst);
        // Who waits has said so before he looked for a place the last time. So either he has seen this one, or he is seen.
        self.upstream.queue.one_is_free();
    }
}

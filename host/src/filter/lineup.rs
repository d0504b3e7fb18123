//! The generations that new connections get.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::generation::Generation;
use crate::config::{Canary, defaults};

/// What the generations of one filter are to new connections, until another lineup takes the place of this one.
pub struct Lineup {
    pub stable: Arc<Generation>,
    pub canary: Option<Trying>,
}

/// A generation that some connections get.
pub struct Trying {
    pub generation: Arc<Generation>,
    /// Of connections, in hundredths; or else those of these clients.
    share: u32,
    clients: Arc<[IpNet]>,
}

impl Trying {
    /// A generation in quarantine is tried again also where new ones are not tried.
    pub fn new(generation: Arc<Generation>, canary: Option<&Canary>) -> Self {
        let (share, clients) = canary.map_or((defaults::CANARY.share, &[][..]), |canary| {
            (canary.share, &canary.clients[..])
        });
        Self {
            generation,
            share,
            clients: clients.into(),
        }
    }

    fn takes(&self, client: Option<SocketAddr>) -> bool {
        if self.clients.is_empty() {
            return fastrand::u32(..100) < self.share;
        }
        // Clients of IPv4 are told by their own addresses, also where they come to a socket of IPv6.
        let client = client.map(|client| client.ip().to_canonical());
        client.is_some_and(|client| self.clients.iter().any(|network| network.contains(&client)))
    }
}

impl Lineup {
    /// For one connection of this client's. The choice is made when the connection is accepted, so that `client` is who has
    /// connected: a PROXY header, which may name another, is read later, and changes nothing of it. Each filter chooses for
    /// itself: of two with a canary of 10% each, one connection in a hundred gets both.
    pub fn choose(&self, client: Option<SocketAddr>) -> &Arc<Generation> {
        match &self.canary {
            Some(trying) if trying.takes(client) => &trying.generation,
            Some(_) | None => &self.stable,
        }
    }
}

//! Groups of servers, and how a connection to one of them comes about.

mod connect;
mod resolve;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use connect::{Connected, connect};
pub use resolve::resolve;

use crate::config::{TimeoutChanges, UpstreamConfig, Vigilance};
use crate::filter::{Group, Groups};
use crate::sys::Peer;

/// Every upstream of the configuration.
#[derive(Debug, Default)]
pub struct Upstreams(Vec<Arc<Upstream>>);

#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    /// At least one.
    servers: Vec<Server>,
    timeouts: TimeoutChanges,
    vigilance: Vigilance,
    next: AtomicUsize,
    connections: AtomicU64,
}

/// One server, and the addresses that its name stands for: they are tried in this order.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<Arc<Peer>>,
}

impl Upstreams {
    /// `None` where there is no such upstream.
    pub fn find(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.iter().find(|upstream| &*upstream.name == name)
    }
}

impl Upstream {
    fn new(config: &UpstreamConfig, servers: Vec<Server>) -> Self {
        Self {
            name: config.name.as_str().into(),
            servers,
            timeouts: config.timeouts,
            vigilance: config.vigilance,
            next: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it changes of a listener's timeouts.
    pub fn timeouts(&self) -> &TimeoutChanges {
        &self.timeouts
    }

    pub fn vigilance(&self) -> &Vigilance {
        &self.vigilance
    }

    /// All servers, from the one whose turn it is: the others are there for when it does not answer.
    fn in_turn(&self) -> impl Iterator<Item = &Server> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let (late, early) = self.servers.split_at(first);
        early.iter().chain(late)
    }

    fn group(&self) -> Group {
        let servers = self.servers.len() as u32;
        Group {
            name: self.name.to_string(),
            servers,
            healthy: servers,
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    /// Counts a connection for as long as the guard lives.
    fn count(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }
}

impl Groups for Upstreams {
    fn get(&self, name: &str) -> Option<Group> {
        self.find(name).map(|upstream| upstream.group())
    }

    fn all(&self) -> Vec<Group> {
        self.0.iter().map(|upstream| upstream.group()).collect()
    }
}

/// One connection of an upstream's.
#[derive(Debug)]
pub struct Counted(Arc<Upstream>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn upstream(servers: Vec<Server>) -> Upstream {
        let nowhere = Address::Unix("/".into());
        Upstream::new(&UpstreamConfig::new("test", nowhere), servers)
    }

    #[test]
    fn servers_take_turns_and_every_one_of_them_gets_its_chance() {
        let server = |port: u16| Server {
            addresses: vec![Arc::new(Peer::Tcp(([127, 0, 0, 1], port).into()))],
        };
        let upstream = upstream(vec![server(1), server(2), server(3)]);
        let turn = || -> Vec<String> {
            upstream
                .in_turn()
                .map(|server| server.addresses[0].to_string())
                .collect()
        };
        assert_eq!(turn(), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        assert_eq!(turn(), ["127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:1"]);
        assert_eq!(turn(), ["127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:2"]);
    }

    #[test]
    fn connections_are_counted_while_they_live() {
        let upstream = Arc::new(upstream(Vec::new()));
        let counted = upstream.count();
        assert_eq!(upstream.group().connections, 1);
        drop(counted);
        assert_eq!(upstream.group().connections, 0);
    }
}

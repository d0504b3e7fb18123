//! An upstream as it is seen from outside, at one time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::balance::Seat;
use super::budget::Retries;
use super::roster::{Life, Member};
use super::{Server, Upstream};
use crate::observe::{Ledger, Sums};

#[derive(Debug, Default)]
pub struct UpstreamSeen {
    pub name: Arc<str>,
    /// Connections that it was chosen for and that have not ended, those that wait for a server among them.
    pub open: u64,
    /// Those that have ended.
    pub sums: Sums,
    pub waiting: u32,
    pub retries: Retries,
    pub servers: Vec<ServerSeen>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerSeen {
    pub address: String,
    pub standing: Standing,
    /// Which part of new connections is meant for it, from 0 to 1.
    pub share: f64,
    /// Connections now, with those that are being made, and spare ones.
    pub open: u64,
    pub connected: u64,
    pub refused: u64,
    pub sums: Sums,
    pub transitions: u64,
    pub ejections: u64,
}

/// What is thought of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Up,
    Down,
    /// It is left alone for a while, because connections to it failed.
    Ejected,
    /// Nobody has asked yet.
    Unknown,
}

impl Standing {
    pub const ALL: [Self; 4] = [Self::Up, Self::Down, Self::Ejected, Self::Unknown];

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Unknown => "unknown",
        }
    }

    fn of(member: &Member, now: Instant) -> Self {
        match member.life {
            Life::Up if member.is_up(now) => Self::Up,
            Life::Up => Self::Ejected,
            Life::Down => Self::Down,
            Life::Unknown => Self::Unknown,
        }
    }
}

impl Upstream {
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn seen(&self) -> UpstreamSeen {
        UpstreamSeen {
            name: Arc::clone(&self.name),
            open: self.connections.load(Ordering::Relaxed),
            sums: self.ledger.sums(),
            waiting: self.queue.length(),
            retries: self.budget.retries(),
            servers: self.servers_seen(),
        }
    }

    /// In the order of the roster, whose lock is held no longer than it takes to copy what changes.
    fn servers_seen(&self) -> Vec<ServerSeen> {
        let shares = self.shares();
        let now = Instant::now();
        let look = |member: &Member| {
            let counts = (member.transitions, member.ejections);
            (Arc::clone(&member.server), Standing::of(member, now), counts)
        };
        let members: Vec<_> = self.roster().iter().map(look).collect();
        let seen = |(server, standing, (transitions, ejections)): (Arc<Server>, Standing, (u64, u64))| {
            let (connected, refused) = server.attempts();
            ServerSeen {
                address: server.peer().to_string(),
                standing,
                share: shares.get(&server.id()).copied().unwrap_or_default(),
                open: server.connections().into(),
                connected,
                refused,
                sums: server.ledger().sums(),
                transitions,
                ejections,
            }
        };
        members.into_iter().map(seen).collect()
    }

    fn shares(&self) -> HashMap<u64, f64> {
        let lineup = self.lineup.load();
        let seats = || {
            lineup
                .seats()
                .iter()
                .map(|(server, weight)| (server.id(), f64::from(*weight)))
        };
        let all: f64 = seats().map(|(_, weight)| weight).sum();
        // Where nobody has any weight, nobody gets anything.
        seats().map(|(id, weight)| (id, weight / all.max(1.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Wish, resolve};
    use super::*;
    use crate::config::{Address, Passive, ServerConfig, UpstreamConfig, defaults};

    fn upstream() -> Arc<Upstream> {
        let server = |(port, weight): (u16, u32)| ServerConfig {
            weight,
            ..Address::Socket(([127, 0, 0, 1], port).into()).into()
        };
        let servers = [(1, 3), (2, 1)].map(server).to_vec();
        let config = UpstreamConfig {
            passive: Some(Passive {
                failures: 1,
                ejection: Duration::from_secs(60),
                longest_ejection: Duration::from_secs(60),
            }),
            ..UpstreamConfig::new("test", servers)
        };
        let resolved = resolve(std::slice::from_ref(&config), &defaults::RESOLVER).unwrap();
        Arc::clone(resolved.find("test").unwrap())
    }

    #[test]
    fn servers_have_their_share_and_their_standing() {
        let upstream = upstream();
        let place = upstream.take_place(&Wish::default(), &[]).unwrap();
        let (first, second) = {
            let servers = upstream.seen().servers;
            (servers[0].clone(), servers[1].clone())
        };
        assert_eq!((&*first.address, &*second.address), ("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!((first.share, second.share), (0.75, 0.25));
        assert_eq!(first.open + second.open, 1);
        upstream.failed(place.server());
        let servers = upstream.seen().servers;
        let ejected = servers
            .iter()
            .find(|server| server.standing == Standing::Ejected)
            .unwrap();
        assert_eq!((ejected.share, ejected.transitions, ejected.ejections), (0.0, 1, 1));
        let other = servers.iter().find(|server| server.standing == Standing::Up).unwrap();
        assert_eq!((other.share, other.ejections), (1.0, 0));
    }
}

//! An upstream as it is seen from outside, at one time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::balance::Seat;
use super::budget::Retries;
use super::roster::{Life, Member};
use super::{Mode, Server, Upstream};
use crate::observe::{Ledger, Sums};
use crate::treatment::mirror::Mirrored;

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
    /// Present where connections were mirrored to it.
    pub mirrored: Option<Mirrored>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerSeen {
    pub address: String,
    /// The name that it was found by, or its IP address.
    pub host: String,
    /// Whether a name has led to it.
    pub is_found: bool,
    pub state: State,
    /// What is known of it by asking it: up, down or unknown.
    pub health: State,
    /// How long connections to it are still held back, since they failed.
    pub ejected: Option<Duration>,
    pub weight: u32,
    pub configured_weight: u32,
    pub backup: bool,
    /// Which part of new connections is meant for it, from 0 to 1.
    pub share: f64,
    /// Connections now, with those that are being made, and spare ones.
    pub open: u64,
    /// How many it may have; `None` is any number.
    pub most: Option<u32>,
    pub connected: u64,
    pub refused: u64,
    pub sums: Sums,
    pub transitions: u64,
    pub ejections: u64,
}

/// Whether a server gets connections, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Up,
    Down,
    /// It is left alone for a while, because connections to it failed.
    Ejected,
    /// Nobody has asked yet.
    Unknown,
    /// An operator wants it to have none, and those that it has to end.
    Draining,
    /// An operator wants it to be as if it were down.
    Disabled,
}

impl State {
    pub const ALL: [Self; 6] = [
        Self::Up,
        Self::Down,
        Self::Ejected,
        Self::Unknown,
        Self::Draining,
        Self::Disabled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }

    fn of(member: &Member, now: Instant) -> Self {
        match (member.mode, member.life) {
            (Mode::Disabled, _) => Self::Disabled,
            (Mode::Draining, _) => Self::Draining,
            (Mode::Enabled, Life::Up) if !member.is_up(now) => Self::Ejected,
            (Mode::Enabled, life) => Self::known(life),
        }
    }

    fn known(life: Life) -> Self {
        match life {
            Life::Up => Self::Up,
            Life::Down => Self::Down,
            Life::Unknown => Self::Unknown,
        }
    }
}

/// What the roster says of a server.
struct Standing {
    server: Arc<Server>,
    state: State,
    health: State,
    ejected: Option<Duration>,
    weight: u32,
    configured_weight: u32,
    backup: bool,
    transitions: u64,
    ejections: u64,
}

impl Standing {
    fn of(member: &Member, now: Instant) -> Self {
        let ejected = member.ejected.map(|until| until.saturating_duration_since(now));
        Self {
            server: Arc::clone(&member.server),
            state: State::of(member, now),
            health: State::known(member.life),
            ejected: ejected.filter(|left| !left.is_zero()),
            weight: member.weight_in_force(),
            configured_weight: member.weight,
            backup: member.backup,
            transitions: member.transitions,
            ejections: member.ejections,
        }
    }

    fn seen(self, share: f64) -> ServerSeen {
        let (connected, refused) = self.server.attempts();
        ServerSeen {
            address: self.server.peer().to_string(),
            host: self.server.host(),
            is_found: self.server.is_found(),
            state: self.state,
            health: self.health,
            ejected: self.ejected,
            weight: self.weight,
            configured_weight: self.configured_weight,
            backup: self.backup,
            share,
            open: self.server.connections().into(),
            most: self.server.most(),
            connected,
            refused,
            sums: self.server.ledger().sums(),
            transitions: self.transitions,
            ejections: self.ejections,
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
            mirrored: self.mirrored.read(),
        }
    }

    /// In the order of the roster, whose lock is held no longer than it takes to copy what changes.
    fn servers_seen(&self) -> Vec<ServerSeen> {
        let shares = self.shares();
        let now = Instant::now();
        let members: Vec<_> = self.roster().iter().map(|member| Standing::of(member, now)).collect();
        let share = |server: &Server| shares.get(&server.id()).copied().unwrap_or_default();
        let seen = |standing: Standing| {
            let share = share(&standing.server);
            standing.seen(share)
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
        resolved.find("test").unwrap()
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
        let ejected = servers.iter().find(|server| server.state == State::Ejected).unwrap();
        assert_eq!((ejected.share, ejected.transitions, ejected.ejections), (0.0, 1, 1));
        let other = servers.iter().find(|server| server.state == State::Up).unwrap();
        assert_eq!((other.share, other.ejections), (1.0, 0));
    }
}

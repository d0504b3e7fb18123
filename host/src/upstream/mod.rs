//! Groups of servers, and how a connection to one of them comes about.
//!
//! ```text
//! discovery, health, failures -> roster --lineup()--> Lineup   whenever something changes, on the keeper's thread
//! connection -> queue::place -> balance::pick -> connect -> Connected          on a worker's thread
//! ```
//!
//! What workers read is a [`Lineup`], which never changes: it is published anew.

pub mod balance;
mod budget;
mod connect;
mod discover;
mod dns;
mod greet;
mod health;
mod imagine;
mod keeper;
mod operator;
mod queue;
mod reload;
mod replace;
mod resolve;
mod roster;
mod seen;
mod server;
mod services;
mod warm;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

pub use connect::{Call, Called, Connected, call, connect};
pub use imagine::{imagine, key_of, method};
pub use keeper::Keeper;
pub use operator::{Mode, Operation};
pub use reload::{Changes, prepare};
pub use resolve::resolve;
pub use seen::{ServerSeen, State, UpstreamSeen};
pub use server::{Place, Server};
pub use warm::Spares;

use crate::config::{Balance, OnChange, OnDown, TimeoutChanges, UpstreamConfig, Vigilance, defaults};
use crate::filter::{Group, Groups};
use crate::notice::Notice;
use crate::observe::Ledger;
use crate::sys::Peer;
use crate::tls::Originator;
use crate::transparent::Through;
use crate::treatment::Regimen;
use crate::treatment::mirror::Tally;
use balance::{Lineup, Seat};
use budget::Budget;
use discover::Name;
use dns::Directory;
use health::{Eject, Transition};
use queue::Queue;
use roster::{Life, Member, Rules, changes_at, lineup};

/// Every upstream of the configuration that is in force: a reload makes others of them, where this stays.
#[derive(Debug)]
pub struct Upstreams {
    all: ArcSwap<Vec<Arc<Upstream>>>,
    /// Where their names are looked up.
    directory: ArcSwap<Directory>,
}

pub struct Upstream {
    name: Arc<str>,
    terms: ArcSwap<Terms>,
    lineup: ArcSwap<Lineup<Server>>,
    roster: Mutex<Vec<Member>>,
    /// Servers that are in the roster no more, while they have connections.
    gone: Mutex<Vec<Weak<Server>>>,
    /// Those of its servers that are names, until its keeper takes them.
    names: Mutex<Option<Vec<Name>>>,
    /// The roster has changed in a way that its keeper should look at.
    changed: Notify,
    queue: Queue,
    budget: Budget,
    /// Whose turn it is, of the addresses to connect from.
    next_source: AtomicUsize,
    connections: AtomicU64,
    /// Of its connections that have ended.
    ledger: Ledger,
    /// Of those that are copies of others, which the ledger has not.
    mirrored: Tally,
}

/// What its connections are subject to from now on.
pub struct Terms {
    pub config: UpstreamConfig,
    /// Where its servers are spoken to in TLS.
    pub tls: Option<Arc<Originator>>,
    /// What is done to the bytes of its connections.
    pub treatment: Option<Arc<Regimen>>,
    /// To the connections that came under these, or under those before that have made no difference to them.
    pub notice: Arc<Notice>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Default for Upstreams {
    /// None.
    fn default() -> Self {
        Self {
            all: ArcSwap::default(),
            directory: ArcSwap::from_pointee(Directory::new(&defaults::RESOLVER)),
        }
    }
}

/// Where a connection wants to go, of an upstream's servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// To the same server as others with this key, where the upstream hashes.
    pub key: Option<u64>,
    /// To this one, while it is up.
    pub server: Option<u64>,
}

/// Where a connection goes, in all.
#[derive(Debug, Default)]
pub struct Aim {
    pub wish: Wish,
    /// Present where it was led here, or is to be seen as its client's.
    pub through: Option<Through>,
}

/// A drain because a server went down: its connections are told when they are idle, and after this they are told anyhow.
const DRAIN: Duration = Duration::from_secs(25);

impl Upstreams {
    /// `None` where there is no such upstream.
    pub fn find(&self, name: &str) -> Option<Arc<Upstream>> {
        self.all.load().iter().find(|upstream| &*upstream.name == name).cloned()
    }

    pub fn all(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.all.load_full()
    }
}

impl Upstream {
    fn new(config: &UpstreamConfig, members: Vec<Member>, names: Vec<Name>, tls: Option<Arc<Originator>>) -> Self {
        let upstream = Self {
            name: config.name.as_str().into(),
            lineup: ArcSwap::from_pointee(Lineup::new(config.balance, Vec::new())),
            roster: Mutex::new(members),
            gone: Mutex::default(),
            names: Mutex::new(Some(names)),
            changed: Notify::new(),
            queue: Queue::default(),
            budget: Budget::new(config.retries.budget),
            next_source: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            terms: ArcSwap::from_pointee(Terms {
                config: config.clone(),
                tls,
                treatment: Regimen::of(&config.treatment),
                notice: Arc::default(),
            }),
            ledger: Ledger::default(),
            mirrored: Tally::default(),
        };
        upstream.publish(&upstream.roster());
        upstream
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Those that are in force now. What looks at several of them looks at one and the same.
    pub fn terms(&self) -> Guard<Arc<Terms>> {
        self.terms.load()
    }

    /// What it changes of a listener's timeouts.
    pub fn timeouts(&self) -> TimeoutChanges {
        self.terms().config.timeouts
    }

    /// Where connections are counted that are copies of others.
    pub fn mirrored(&self) -> &Tally {
        &self.mirrored
    }

    pub fn vigilance(&self) -> Vigilance {
        self.terms().config.vigilance
    }

    /// Where its servers are spoken to in TLS.
    pub fn tls(&self) -> Option<Arc<Originator>> {
        self.terms().tls.clone()
    }

    /// Whether connections with the same key go to the same server.
    pub fn hashes(&self) -> bool {
        matches!(self.terms().config.balance, Balance::SourceHash | Balance::Maglev)
    }

    /// A place where the next connection may go at once.
    fn take_place(self: &Arc<Self>, wish: &Wish, tried: &[u64]) -> Option<Place> {
        let lineup = self.lineup.load();
        if let Some(id) = wish.server.filter(|id| !tried.contains(id)) {
            let wished = lineup.seats().iter().find(|(server, _)| server.id() == id);
            if let Some(place) = wished.and_then(|(server, _)| Place::take(self, server)) {
                return Some(place);
            }
        }
        loop {
            let server = lineup.pick(wish.key, tried)?;
            // Somebody else may have been faster: then it is full, and not picked again.
            if let Some(place) = Place::take(self, server) {
                return Some(place);
            }
        }
    }

    /// Whether waiting makes sense: a server that is up may have a place again, one that nobody has asked may prove to be up.
    fn may_have_a_place_later(&self) -> bool {
        !self.lineup.load().is_empty() || self.roster().iter().any(|member| member.life == Life::Unknown)
    }

    /// How many servers a connection could still try.
    fn untried(&self, tried: &[u64]) -> usize {
        self.lineup.load().len().saturating_sub(tried.len())
    }

    /// A connection to it has come about, or said something.
    fn succeeded(&self, server: &Server) {
        if self.terms().config.passive.is_some() {
            server.succeeded();
        }
    }

    /// A connection to it failed, or was reset before it said anything.
    fn failed(&self, server: &Server) {
        let Some(passive) = self.terms().config.passive else {
            return;
        };
        if server.failed() < passive.failures {
            return;
        }
        server.succeeded();
        let now = Instant::now();
        let mut roster = self.roster();
        let Some(member) = roster.iter_mut().find(|member| member.server.id() == server.id()) else {
            return;
        };
        if member.ejected.is_some_and(|until| until > now) {
            return;
        }
        let eject = member.eject.get_or_insert_with(|| Eject::new(&passive));
        let until = eject.ejected(now);
        member.ejected = Some(until);
        member.back = Some(until);
        member.ejections += 1;
        let transitions = member.count_transition();
        self.end_connections(server);
        self.publish(&roster);
        self.changed.notify_one();
        tracing::warn!(
            upstream = %self.name,
            server = %server.peer(),
            failures = passive.failures,
            for_ms = until.saturating_duration_since(now).as_millis(),
            transitions,
            "server ejected"
        );
    }

    /// What its keeper has found out about a server.
    fn transition(&self, server: &Server, transition: Transition, reason: Option<&str>) {
        let mut roster = self.roster();
        let Some(member) = roster.iter_mut().find(|member| member.server.id() == server.id()) else {
            return;
        };
        let transitions = member.count_transition();
        match transition {
            Transition::Up => {
                // Who was never seen failing begins with all of his weight.
                member.back = (member.life == Life::Down).then(Instant::now);
                member.life = Life::Up;
                if member.is_wanted() {
                    server.notice().take_back();
                }
            }
            Transition::Down => {
                member.life = Life::Down;
                self.end_connections(server);
            }
        }
        self.publish(&roster);
        self.changed.notify_one();
        // Said when it is so.
        match transition {
            Transition::Up => tracing::info!(upstream = %self.name, server = %server.peer(), transitions, "server up"),
            Transition::Down => {
                tracing::warn!(upstream = %self.name, server = %server.peer(), reason, transitions, "server down");
            }
        }
    }

    /// As the operator wants it when a server goes down.
    fn end_connections(&self, server: &Server) {
        server.notice().give_by(match self.terms().config.on_down {
            OnDown::Keep => OnChange::Keep,
            OnDown::Drain => OnChange::Drain(DRAIN),
            OnDown::Kill => OnChange::Kill,
        });
    }

    /// Lets workers see what has changed. The lock is held meanwhile, so that what is older is not published later.
    fn publish(&self, roster: &MutexGuard<'_, Vec<Member>>) {
        let seats = lineup(roster, self.rules(), Instant::now());
        let balance = self.terms().config.balance;
        self.lineup.store(Arc::new(Lineup::new(balance, seats)));
        self.queue.all_is_new();
    }

    /// Its names, for whoever keeps it: each is followed by one. `None`: they are those of before.
    fn take_names(&self) -> Option<Vec<Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When the lineup is to be made anew, though nobody has done anything.
    fn changes_at(&self) -> Option<Instant> {
        changes_at(&self.roster(), self.rules(), Instant::now())
    }

    /// That time has come.
    fn go_on(&self) {
        let now = Instant::now();
        let mut roster = self.roster();
        let mut returned = Vec::new();
        for member in roster.iter_mut() {
            if member.ejected.take_if(|until| *until <= now).is_some() {
                if member.is_wanted() {
                    member.server.notice().take_back();
                }
                returned.push((Arc::clone(member.server.peer()), member.count_transition()));
            }
        }
        self.publish(&roster);
        for (server, transitions) in returned {
            tracing::info!(upstream = %self.name, %server, transitions, "server returns");
        }
    }

    /// The addresses of this machine to connect from, beginning with the one whose turn it is; none is: as the system says.
    fn sources_for(&self, peer: &Peer) -> Vec<IpAddr> {
        let server = peer.address();
        let fits = |source: &&IpAddr| server.is_some_and(|server| server.is_ipv4() == source.is_ipv4());
        let terms = self.terms();
        let mut sources: Vec<_> = terms.config.source.iter().filter(fits).copied().collect();
        if !sources.is_empty() {
            let first = self.next_source.fetch_add(1, Ordering::Relaxed) % sources.len();
            sources.rotate_left(first);
        }
        sources
    }

    fn rules(&self) -> Rules {
        let terms = self.terms();
        Rules {
            panic: terms.config.panic,
            slow_start: terms.config.slow_start,
        }
    }

    fn roster(&self) -> MutexGuard<'_, Vec<Member>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self) -> Group {
        let servers = self.roster().len();
        let count = |servers: usize| u32::try_from(servers).unwrap_or(u32::MAX);
        Group {
            name: self.name.to_string(),
            servers: count(servers),
            healthy: count(self.lineup.load().len()),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    /// Counts a connection for as long as the guard lives.
    fn count(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.budget.deposit(self.terms().config.retries.budget);
        Counted(Arc::clone(self))
    }
}

impl Groups for Upstreams {
    fn get(&self, name: &str) -> Option<Group> {
        self.find(name).map(|upstream| upstream.group())
    }

    fn all(&self) -> Vec<Group> {
        self.all.load().iter().map(|upstream| upstream.group()).collect()
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
    use crate::config::{Address, Passive, ServerConfig};

    fn config(servers: u16, most: Option<u32>) -> UpstreamConfig {
        let server = |port: u16| ServerConfig {
            max_connections: most,
            ..Address::Socket(([127, 0, 0, 1], port).into()).into()
        };
        UpstreamConfig::new("test", (1..=servers).map(server).collect())
    }

    fn upstream(config: &UpstreamConfig) -> Arc<Upstream> {
        let resolved = resolve(std::slice::from_ref(config), &defaults::RESOLVER).unwrap();
        Arc::clone(&resolved.all()[0])
    }

    fn take(upstream: &Arc<Upstream>) -> Option<Place> {
        upstream.take_place(&Wish::default(), &[])
    }

    fn server(place: &Place) -> String {
        place.server().peer().to_string()
    }

    #[test]
    fn servers_take_turns() {
        let upstream = upstream(&config(3, None));
        let turns: Vec<_> = (0..6).map(|_| server(&take(&upstream).unwrap())).collect();
        assert_eq!(turns[..3], turns[3..]);
        let mut once = turns[..3].to_vec();
        once.sort_unstable();
        assert_eq!(once, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    }

    #[test]
    fn a_place_is_taken_until_it_is_given_back() {
        let upstream = upstream(&config(2, Some(1)));
        let first = take(&upstream).unwrap();
        let second = take(&upstream).unwrap();
        assert_ne!(server(&first), server(&second));
        assert!(take(&upstream).is_none());
        assert!(upstream.may_have_a_place_later());
        let freed = server(&first);
        drop(first);
        assert_eq!(server(&take(&upstream).unwrap()), freed);
    }

    #[test]
    fn a_server_that_is_wished_for_is_taken_while_it_is_there() {
        let upstream = upstream(&config(3, Some(1)));
        let wish = Wish {
            key: None,
            server: Some(balance::hash_key(b"127.0.0.1:2")),
        };
        let wished = upstream.take_place(&wish, &[]).unwrap();
        assert_eq!(server(&wished), "127.0.0.1:2");
        let other = upstream.take_place(&wish, &[]).unwrap();
        assert_ne!(server(&other), "127.0.0.1:2");
    }

    #[test]
    fn a_server_whose_connections_fail_is_left_alone_for_a_while() {
        let passive = Passive {
            failures: 2,
            ejection: Duration::from_secs(60),
            longest_ejection: Duration::from_secs(60),
        };
        let upstream = upstream(&UpstreamConfig {
            passive: Some(passive),
            ..config(2, None)
        });
        let failing = Arc::clone(take(&upstream).unwrap().server());
        upstream.failed(&failing);
        upstream.succeeded(&failing);
        upstream.failed(&failing);
        assert_eq!(upstream.lineup.load().len(), 2, "not in a row");
        upstream.failed(&failing);
        assert_eq!(upstream.lineup.load().len(), 1);
        assert_eq!(upstream.group().healthy, 1);
        for _ in 0..4 {
            assert_ne!(take(&upstream).unwrap().server().id(), failing.id());
        }
        assert!(upstream.changes_at().is_some());
    }

    #[test]
    fn connections_are_counted_while_they_live() {
        let upstream = upstream(&config(1, None));
        let counted = upstream.count();
        assert_eq!(upstream.group().connections, 1);
        drop(counted);
        assert_eq!(upstream.group().connections, 0);
    }
}

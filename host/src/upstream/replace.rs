//! Servers that come and go while the proxy runs.

use std::sync::{Arc, PoisonError, Weak};

use super::Upstream;
use super::balance::Seat as _;
use super::roster::Member;
use super::server::Server;
use crate::sys::Peer;

/// A server that one of the configuration's stands for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub peer: Peer,
    pub weight: u32,
    pub backup: bool,
    /// The name that it was found by.
    pub host: Option<Arc<str>>,
}

/// What is not as it was.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub added: Vec<Arc<Server>>,
    pub removed: Vec<Arc<Server>>,
    /// How many have another weight, or have become backups, or are none any more.
    pub changed: usize,
}

/// How many addresses a log line has.
const TOLD: usize = 16;

impl Upstream {
    /// What the configuration's server number `of` stands for from now on. Those that stay keep what is known of them;
    /// those that go get no more connections, and the ones that they have go on, unless `on-down` says otherwise.
    pub(super) fn replace(&self, of: usize, name: &impl std::fmt::Display, found: &[Found]) {
        let mut roster = self.roster();
        let change = replace(&mut roster, of, found, |found, twin| self.member(of, found, twin));
        if change.is_empty() {
            return;
        }
        for server in &change.removed {
            server.leaves();
            self.end_connections(server);
        }
        self.remember(&change.removed);
        self.publish(&roster);
        self.changed.notify_one();
        // Whoever reads this may rely on it.
        tracing::info!(
            upstream = %self.name,
            %name,
            added = list(&change.added),
            removed = list(&change.removed),
            changed = change.changed,
            servers = found.len(),
            "servers changed"
        );
    }

    /// A new member; or one that was here before and still has connections, which count for it again.
    pub(super) fn member(&self, of: usize, found: &Found, twin: bool) -> Member {
        let mut member = Member::new(&self.terms().config, of, found, twin);
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let before = gone.iter().filter_map(Weak::upgrade);
        if let Some(before) = before.into_iter().find(|before| before.id() == member.server.id()) {
            before.returns();
            member.server = before;
        }
        member
    }

    pub(super) fn remember(&self, removed: &[Arc<Server>]) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is back, or has no connection any more, is nobody to be remembered.
        gone.retain(|server| server.upgrade().is_some_and(|server| server.is_gone()));
        gone.extend(removed.iter().map(Arc::downgrade));
    }
}

impl Change {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed == 0
    }
}

/// Makes the members of one of the configuration's servers those that were found, each of them once. A new one is a
/// twin where another name has led to the same address.
pub(super) fn replace(
    members: &mut Vec<Member>,
    of: usize,
    found: &[Found],
    mut member: impl FnMut(&Found, bool) -> Member,
) -> Change {
    let mut change = Change::default();
    members.retain_mut(|member| {
        if member.of != of {
            return true;
        }
        let Some(found) = found.iter().find(|found| found.peer == **member.server.peer()) else {
            change.removed.push(Arc::clone(&member.server));
            return false;
        };
        if (member.weight, member.backup) != (found.weight, found.backup) {
            (member.weight, member.backup) = (found.weight, found.backup);
            change.changed += 1;
        }
        true
    });
    for found in found {
        let same = |member: &&Member| **member.server.peer() == found.peer;
        if members.iter().filter(same).any(|member| member.of == of) {
            continue;
        }
        let twin = members.iter().any(|member| same(&member));
        let member = member(found, twin);
        change.added.push(Arc::clone(&member.server));
        members.push(member);
    }
    change
}

fn list(servers: &[Arc<Server>]) -> String {
    let told: Vec<_> = servers
        .iter()
        .take(TOLD)
        .map(|server| server.peer().to_string())
        .collect();
    match servers.len() - told.len() {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::roster::Life;
    use super::super::server::Place;
    use super::super::{Wish, health::Transition};
    use super::*;
    use crate::config::{Address, OnDown, Passive, ServerConfig, ServerPlace, UpstreamConfig, defaults};

    fn found(port: u16) -> Found {
        Found {
            host: None,
            peer: Peer::Tcp(([127, 0, 0, 1], port).into()),
            weight: 1,
            backup: false,
        }
    }

    fn config() -> UpstreamConfig {
        let named = || ServerConfig {
            place: ServerPlace::Srv("_x._tcp.example".to_owned()),
            weight: 1,
            max_connections: None,
            backup: false,
        };
        let fixed = Address::Socket(([127, 0, 0, 1], 9).into());
        UpstreamConfig::new("test", vec![fixed.into(), named(), named()])
    }

    fn upstream(config: &UpstreamConfig) -> Arc<Upstream> {
        let upstream = Arc::new(Upstream::new(config, Vec::new(), Vec::new(), None));
        upstream.replace(0, &"fixed", &[found(9)]);
        upstream
    }

    fn ports(upstream: &Upstream) -> Vec<u16> {
        let lineup = upstream.lineup.load();
        let mut ports: Vec<_> = lineup.seats().iter().map(|(server, _)| port(server)).collect();
        ports.sort_unstable();
        ports
    }

    fn port(server: &Server) -> u16 {
        match &**server.peer() {
            Peer::Tcp(address) => address.port(),
            Peer::Unix(_) => 0,
        }
    }

    fn take(upstream: &Arc<Upstream>, port: u16) -> Option<Place> {
        let server = super::super::balance::hash_key(found(port).peer.to_string().as_bytes());
        let wish = Wish {
            key: None,
            server: Some(server),
        };
        upstream
            .take_place(&wish, &[])
            .filter(|place| place.server().id() == server)
    }

    #[test]
    fn what_is_found_serves_and_what_is_gone_does_not() {
        let upstream = upstream(&config());
        upstream.replace(1, &"a", &[found(1), found(2)]);
        upstream.replace(2, &"b", &[found(5)]);
        assert_eq!(ports(&upstream), [1, 2, 5, 9]);
        let live = take(&upstream, 1).unwrap();
        upstream.replace(1, &"a", &[found(2), found(3)]);
        assert_eq!(ports(&upstream), [2, 3, 5, 9]);
        assert!(take(&upstream, 1).is_none());
        assert!(live.server().notice().given().is_none(), "its connections go on");
        assert!(live.server().is_gone(), "but nobody takes a spare one of it");
    }

    #[test]
    fn whoever_stays_keeps_what_is_known_of_it() {
        let upstream = upstream(&UpstreamConfig {
            passive: Some(Passive {
                failures: 1,
                ejection: Duration::from_secs(60),
                longest_ejection: Duration::from_secs(60),
            }),
            ..config()
        });
        upstream.replace(1, &"a", &[found(1), found(2)]);
        let server = Arc::clone(take(&upstream, 1).unwrap().server());
        upstream.failed(&server);
        let ejected = |upstream: &Upstream| {
            let roster = upstream.roster();
            let member = roster.iter().find(|member| port(&member.server) == 1).unwrap();
            member.ejected
        };
        let until = ejected(&upstream);
        assert!(until.is_some());
        upstream.replace(1, &"a", &[found(1), found(3)]);
        assert_eq!(ejected(&upstream), until);
    }

    #[test]
    fn nothing_is_published_where_nothing_has_changed() {
        let upstream = upstream(&config());
        upstream.replace(1, &"a", &[found(1), found(2)]);
        let before = upstream.lineup.load_full();
        upstream.replace(1, &"a", &[found(2), found(1)]);
        assert!(Arc::ptr_eq(&before, &upstream.lineup.load_full()));
        let heavier = Found { weight: 5, ..found(1) };
        upstream.replace(1, &"a", &[heavier, found(2)]);
        assert!(!Arc::ptr_eq(&before, &upstream.lineup.load_full()));
    }

    #[test]
    fn whoever_returns_still_has_its_connections() {
        let upstream = upstream(&UpstreamConfig {
            on_down: OnDown::Drain,
            ..config()
        });
        upstream.replace(1, &"a", &[found(1)]);
        let live = take(&upstream, 1).unwrap();
        upstream.replace(1, &"a", &[found(2)]);
        assert!(live.server().notice().given().is_some());
        upstream.replace(1, &"a", &[found(1), found(2)]);
        assert!(live.server().notice().given().is_none());
        assert!(!live.server().is_gone());
        assert!(Arc::ptr_eq(live.server(), take(&upstream, 1).unwrap().server()));
        assert_eq!(live.server().connections(), 1);
    }

    #[test]
    fn two_names_for_one_address_are_two_servers() {
        let upstream = upstream(&config());
        upstream.replace(1, &"a", &[found(1)]);
        upstream.replace(2, &"b", &[found(1)]);
        assert_eq!(ports(&upstream), [1, 1, 9]);
        let ids: Vec<_> = upstream
            .lineup
            .load()
            .seats()
            .iter()
            .map(|(server, _)| server.id())
            .collect();
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        upstream.replace(1, &"a", &[]);
        assert_eq!(ports(&upstream), [1, 9]);
    }

    #[test]
    fn who_is_to_be_asked_gets_nothing_before() {
        let upstream = upstream(&UpstreamConfig {
            health: Some(defaults::HEALTH),
            ..config()
        });
        upstream.replace(1, &"a", &[found(1)]);
        assert_eq!(ports(&upstream), [0; 0]);
        let server = Arc::clone(&upstream.roster()[1].server);
        assert_eq!(upstream.roster()[1].life, Life::Unknown);
        upstream.transition(&server, Transition::Up, None);
        assert_eq!(ports(&upstream), [1]);
    }

    #[test]
    fn a_log_line_does_not_grow_for_ever() {
        let servers: Vec<_> = (1..=20)
            .map(|port| Arc::new(Server::new(found(port).peer, None)))
            .collect();
        assert_eq!(list(&servers[..2]), "127.0.0.1:1, 127.0.0.1:2");
        assert!(list(&servers).ends_with("127.0.0.1:16 and 4 more"));
        assert_eq!(list(&[]), "");
    }
}

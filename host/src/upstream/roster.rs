//! What is known of an upstream's servers, and which of them get connections by that. Looks at no clock and no socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::health::{Eject, share};
use super::operator::Mode;
use super::replace::Found;
use super::server::Server;
use crate::config::UpstreamConfig;

/// A server, and its standing.
#[derive(Debug)]
pub(super) struct Member {
    pub server: Arc<Server>,
    /// Which of the configuration's servers it is an address of.
    pub of: usize,
    pub weight: u32,
    pub backup: bool,
    pub life: Life,
    /// Left alone until then, because connections to it failed.
    pub ejected: Option<Instant>,
    pub eject: Option<Eject>,
    /// Since when it is back, after a failure.
    pub back: Option<Instant>,
    /// How many times it went up or down.
    pub transitions: u64,
    /// What an operator wants of it, whatever its life.
    pub mode: Mode,
    /// The weight that an operator has given it.
    pub weight_wanted: Option<u32>,
    /// How many of these were ejections.
    pub ejections: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Nobody has asked yet, and nobody gets connections who was not asked.
    Unknown,
    Up,
    Down,
}

/// What an operator wants of a lineup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Where fewer of a hundred servers than this are up, all are used.
    pub panic: u8,
    pub slow_start: Duration,
}

impl Member {
    /// One that the configuration's server number `of` stands for; a `twin` where another server has the same address.
    pub(super) fn new(upstream: &UpstreamConfig, of: usize, found: &Found, twin: bool) -> Self {
        let asked = upstream.health.as_ref().is_some_and(|health| !health.starts_up);
        let most = upstream.servers[of].max_connections;
        let server = match twin {
            false => Server::new(found.peer.clone(), most),
            true => Server::twin(found.peer.clone(), most, of),
        };
        Self {
            server: Arc::new(server.found_by(found.host.clone())),
            of,
            weight: found.weight,
            backup: found.backup,
            life: if asked { Life::Unknown } else { Life::Up },
            ejected: None,
            eject: None,
            back: None,
            transitions: 0,
            mode: Mode::default(),
            weight_wanted: None,
            ejections: 0,
        }
    }

    /// Returns how many there were.
    pub(super) fn count_transition(&mut self) -> u64 {
        self.transitions += 1;
        self.transitions
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.mode == Mode::Enabled
    }

    pub(super) fn weight_in_force(&self) -> u32 {
        self.weight_wanted.unwrap_or(self.weight)
    }

    pub(super) fn is_up(&self, now: Instant) -> bool {
        self.life == Life::Up && self.ejected.is_none_or(|until| until <= now)
    }
}

/// Those that get connections now, with their weights in hundredths: the servers that are up; where none is, the backups
/// that are. Where too few are up, all servers, since those that are left would go down under what the others had.
pub(super) fn lineup(members: &[Member], rules: Rules, now: Instant) -> Vec<(Arc<Server>, u32)> {
    // Those that an operator has taken out are none of the upstream's until he brings them back.
    let wanted = || members.iter().filter(|member| member.is_wanted());
    let tier = |backup: bool| wanted().filter(move |member| member.backup == backup);
    let up = |backup: bool| tier(backup).filter(|member| member.is_up(now));
    let all = tier(false).count();
    // While nobody has been asked, nobody is known to be down: there is something to wait for.
    let known = tier(false).all(|member| member.life != Life::Unknown);
    let panics = known && up(false).count() * 100 < all * usize::from(rules.panic);
    let weighed = |member: &Member| {
        let share = member
            .back
            .map_or(100, |back| share(now.saturating_duration_since(back), rules.slow_start));
        (Arc::clone(&member.server), member.weight_in_force() * share)
    };
    if panics {
        return tier(false).map(weighed).collect();
    }
    let first: Vec<_> = up(false).map(weighed).collect();
    if first.is_empty() {
        up(true).map(weighed).collect()
    } else {
        first
    }
}

/// When the lineup changes by itself: somebody returns, or has a little more weight.
pub(super) fn changes_at(members: &[Member], rules: Rules, now: Instant) -> Option<Instant> {
    // A hundred steps would be made anew for one connection in a hundred.
    let step = rules.slow_start / 20;
    let slow = |member: &&Member| {
        let back = member.back.filter(|_| !step.is_zero());
        back.is_some_and(|back| now.saturating_duration_since(back) < rules.slow_start)
    };
    let returns = members.iter().filter_map(|member| member.ejected);
    let grows = members.iter().find(slow).map(|_| now + step);
    returns.chain(grows).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Peer;

    const RULES: Rules = Rules {
        panic: 0,
        slow_start: Duration::ZERO,
    };

    fn member(port: u16, life: Life) -> Member {
        Member {
            server: Arc::new(Server::new(Peer::Tcp(([127, 0, 0, 1], port).into()), None)),
            of: 0,
            weight: 1,
            backup: false,
            life,
            ejected: None,
            eject: None,
            back: None,
            transitions: 0,
            mode: Mode::default(),
            weight_wanted: None,
            ejections: 0,
        }
    }

    fn backup(port: u16, life: Life) -> Member {
        Member {
            backup: true,
            ..member(port, life)
        }
    }

    fn ports(members: &[Member], rules: Rules, now: Instant) -> Vec<(u16, u32)> {
        let port = |server: &Server| match &**server.peer() {
            Peer::Tcp(address) => address.port(),
            Peer::Unix(_) => 0,
        };
        let lineup = lineup(members, rules, now);
        lineup.iter().map(|(server, weight)| (port(server), *weight)).collect()
    }

    #[test]
    fn those_that_are_up_and_else_the_backups() {
        let now = Instant::now();
        let mut members = vec![member(1, Life::Up), member(2, Life::Down), backup(3, Life::Up)];
        assert_eq!(ports(&members, RULES, now), [(1, 100)]);
        members[0].life = Life::Unknown;
        assert_eq!(ports(&members, RULES, now), [(3, 100)]);
        members[2].life = Life::Down;
        assert_eq!(ports(&members, RULES, now), []);
    }

    #[test]
    fn who_is_ejected_returns_by_itself() {
        let now = Instant::now();
        let mut members = vec![member(1, Life::Up), member(2, Life::Up)];
        let until = now + Duration::from_secs(10);
        members[0].ejected = Some(until);
        assert_eq!(ports(&members, RULES, now), [(2, 100)]);
        assert_eq!(changes_at(&members, RULES, now), Some(until));
        assert_eq!(ports(&members, RULES, until), [(1, 100), (2, 100)]);
    }

    #[test]
    fn where_too_few_are_up_all_are_used() {
        let now = Instant::now();
        let rules = Rules { panic: 50, ..RULES };
        let mut members: Vec<_> = (1..=4).map(|port| member(port, Life::Down)).collect();
        members[0].life = Life::Up;
        members[1].life = Life::Up;
        assert_eq!(ports(&members, rules, now).len(), 2, "half of them are enough");
        members[1].life = Life::Down;
        assert_eq!(ports(&members, rules, now).len(), 4);
        members[1].life = Life::Unknown;
        assert_eq!(
            ports(&members, rules, now),
            [(1, 100)],
            "not while somebody is still to be asked"
        );
    }

    #[test]
    fn who_was_down_gets_more_by_and_by() {
        let now = Instant::now();
        let rules = Rules {
            slow_start: Duration::from_secs(20),
            ..RULES
        };
        let mut members = vec![member(1, Life::Up), member(2, Life::Up)];
        members[1].back = Some(now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(ports(&members, rules, now), [(1, 100), (2, 1)]);
        assert_eq!(changes_at(&members, rules, now), Some(later(1)));
        assert_eq!(ports(&members, rules, later(10)), [(1, 100), (2, 50)]);
        assert_eq!(ports(&members, rules, later(20)), [(1, 100), (2, 100)]);
        assert_eq!(changes_at(&members, rules, later(20)), None);
    }
}

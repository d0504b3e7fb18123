//! What an operator wants of an upstream's servers, beside what the configuration says.

use std::time::Duration;

use super::roster::{Life, Member};
use super::{ServerSeen, Upstream};
use crate::sys::Coarse;
use crate::worker::Draining;

/// Over how long connections of a server that is drained are told: not all of them come back at the same moment.
const SPREAD: Duration = Duration::from_secs(5);

/// What an operator wants of a server. It lasts until he wants something else, or the server leaves its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It gets connections while it is up.
    #[default]
    Enabled,
    /// It gets none, and those that it has end when they are idle.
    Draining,
    /// It gets none, as if it were down: `on-down` says what becomes of those that it has.
    Disabled,
}

/// A change of one server; what is left out stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Operation {
    pub mode: Option<Mode>,
    /// In the place of the configuration's.
    pub weight: Option<u32>,
}

impl Upstream {
    /// Changes the server at that address, or all of them where it is there several times. Health and counters stay. `None`:
    /// it has none there.
    pub fn operate(&self, address: &str, operation: Operation) -> Option<ServerSeen> {
        let mut roster = self.roster();
        let mut is_there = false;
        let members = roster.iter_mut();
        for member in members.filter(|member| member.server.peer().to_string() == address) {
            member.weight_wanted = operation.weight.or(member.weight_wanted);
            if let Some(mode) = operation.mode.filter(|mode| *mode != member.mode) {
                member.mode = mode;
                self.end_as_wanted(member);
            }
            is_there = true;
        }
        if !is_there {
            return None;
        }
        self.publish(&roster);
        self.changed.notify_one();
        drop(roster);
        let servers = self.seen().servers.into_iter();
        let changed = servers.rev().find(|server| server.address == address)?;
        tracing::info!(
            upstream = %self.name,
            server = address,
            mode = ?changed.state,
            weight = changed.weight,
            "server changed by an operator"
        );
        Some(changed)
    }

    fn end_as_wanted(&self, member: &Member) {
        match member.mode {
            Mode::Enabled if member.life == Life::Down => self.end_connections(&member.server),
            Mode::Enabled => member.server.notice().take_back(),
            Mode::Draining => member.server.notice().give(Draining {
                soft: Some(Coarse::now()),
                spread: SPREAD,
                hard: None,
            }),
            Mode::Disabled => self.end_connections(&member.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{State, Wish, resolve};
    use super::*;
    use crate::config::{Address, OnDown, ServerConfig, UpstreamConfig, defaults};

    fn upstream(on_down: OnDown) -> Arc<Upstream> {
        let server = |port: u16| ServerConfig::from(Address::Socket(([127, 0, 0, 1], port).into()));
        let config = UpstreamConfig {
            on_down,
            panic: 100,
            ..UpstreamConfig::new("test", vec![server(1), server(2)])
        };
        let resolved = resolve(std::slice::from_ref(&config), &defaults::RESOLVER).unwrap();
        resolved.find("test").unwrap()
    }

    fn mode(mode: Mode) -> Operation {
        Operation {
            mode: Some(mode),
            weight: None,
        }
    }

    fn turns(upstream: &Arc<Upstream>, count: usize) -> Vec<String> {
        let place = |_| upstream.take_place(&Wish::default(), &[]);
        let places = (0..count).filter_map(place);
        places.map(|place| place.server().peer().to_string()).collect()
    }

    #[test]
    fn a_server_that_is_not_wanted_gets_nothing_even_where_all_would_be_used() {
        let upstream = upstream(OnDown::Keep);
        for unwanted in [Mode::Draining, Mode::Disabled] {
            upstream.operate("127.0.0.1:1", mode(unwanted)).unwrap();
            assert_eq!(turns(&upstream, 4), ["127.0.0.1:2"; 4], "{unwanted:?}");
        }
        upstream.operate("127.0.0.1:2", mode(Mode::Disabled)).unwrap();
        assert!(turns(&upstream, 1).is_empty());
        upstream.operate("127.0.0.1:1", mode(Mode::Enabled)).unwrap();
        assert_eq!(turns(&upstream, 2), ["127.0.0.1:1"; 2]);
        assert!(upstream.operate("127.0.0.1:3", mode(Mode::Enabled)).is_none());
    }

    #[test]
    fn connections_end_as_the_mode_says() {
        for (on_down, disabled_ends) in [(OnDown::Keep, false), (OnDown::Drain, true), (OnDown::Kill, true)] {
            let upstream = upstream(on_down);
            let place = upstream.take_place(&Wish::default(), &[]).unwrap();
            let address = place.server().peer().to_string();
            upstream.operate(&address, mode(Mode::Disabled));
            assert_eq!(place.server().notice().given().is_some(), disabled_ends);
            upstream.operate(&address, mode(Mode::Draining));
            let draining = place.server().notice().given().unwrap();
            assert!(draining.soft.is_some() && draining.hard.is_none());
            upstream.operate(&address, mode(Mode::Enabled));
            assert!(place.server().notice().given().is_none());
        }
    }

    #[test]
    fn a_weight_is_kept_until_there_is_another() {
        let upstream = upstream(OnDown::Keep);
        let weight = |weight| Operation {
            mode: None,
            weight: Some(weight),
        };
        let seen = upstream.operate("127.0.0.1:1", weight(3)).unwrap();
        assert_eq!((seen.weight, seen.configured_weight, seen.state), (3, 1, State::Up));
        upstream.operate("127.0.0.1:1", mode(Mode::Draining));
        upstream.operate("127.0.0.1:1", mode(Mode::Enabled));
        let first = turns(&upstream, 8)
            .iter()
            .filter(|server| **server == "127.0.0.1:1")
            .count();
        assert_eq!(first, 6);
    }
}

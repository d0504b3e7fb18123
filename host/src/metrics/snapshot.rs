//! Everything that a page tells, read at one time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::ListenerConfig;
use crate::filter::{Filter, Reading, Totals};
use crate::in_force::{InForce, Listening};
use crate::observe::{Loads, Pulse, Seen, Sums, Vitals};
use crate::sys::{Usage, usage};
use crate::treatment::capture::{Recorded, recorded};
use crate::upstream::{ServerSeen, State, UpstreamSeen, Upstreams};

/// How many servers a page has. Each is 15 lines, and whoever looks at so many looks at their upstreams.
const MOST_SERVERS: usize = 4096;

#[derive(Debug, Default)]
pub struct Snapshot {
    pub listeners: Vec<ListenerSeen>,
    pub upstreams: Vec<UpstreamSeen>,
    /// Servers that `upstreams` has not.
    pub left_out: usize,
    pub filters: Vec<FilterSeen>,
    pub process: Option<ProcessSeen>,
}

#[derive(Debug)]
pub struct ListenerSeen {
    pub name: String,
    /// Connections that have begun.
    pub accepted: u64,
    /// Those that have ended.
    pub seen: Seen,
    /// Those that the configuration has, each name once.
    pub routes: BTreeMap<String, Sums>,
}

#[derive(Debug)]
pub struct ProcessSeen {
    pub at: Instant,
    pub started: SystemTime,
    pub loads: Loads,
    /// By their numbers.
    pub workers: Vec<(String, Pulse)>,
    /// What their connections have moved, those that are open among them.
    pub moved: Vec<Sums>,
    pub usage: Usage,
    /// By captures.
    pub recorded: Recorded,
}

#[derive(Debug)]
pub struct FilterSeen {
    pub name: String,
    /// What has happened to its generations, and how often.
    pub transitions: Vec<(&'static str, u64)>,
    /// Those that somebody still has.
    pub generations: Vec<GenerationSeen>,
    /// What it counts itself, across its generations.
    pub custom: Vec<Custom>,
}

#[derive(Debug)]
pub struct GenerationSeen {
    pub number: String,
    pub digest: String,
    pub state: &'static str,
    pub totals: Totals,
}

#[derive(Debug)]
pub struct Custom {
    pub family: String,
    pub help: String,
    pub reading: Reading,
}

impl Snapshot {
    pub fn of(in_force: &InForce) -> Self {
        let configs = in_force.config.listeners.iter();
        let configs: HashMap<&str, &ListenerConfig> = configs.map(|config| (&*config.name, config)).collect();
        let listeners = in_force
            .listeners
            .iter()
            .map(|listening| listen_to(listening, configs.get(&*listening.listener.name).copied()));
        let (upstreams, left_out) = look_around(&in_force.upstreams);
        Self {
            listeners: listeners.collect(),
            upstreams,
            left_out,
            filters: in_force.filters.iter().map(|filter| look_at(filter)).collect(),
            process: Some(ProcessSeen::of(&in_force.vitals)),
        }
    }
}

impl ProcessSeen {
    fn of(vitals: &Vitals) -> Self {
        let workers = vitals.pulses().enumerate();
        Self {
            at: Instant::now(),
            started: vitals.started(),
            loads: vitals.loads(),
            workers: workers.map(|(worker, pulse)| (worker.to_string(), pulse)).collect(),
            moved: vitals.moved().collect(),
            usage: usage(),
            recorded: recorded(),
        }
    }
}

fn listen_to(Listening { listener, .. }: &Listening, config: Option<&ListenerConfig>) -> ListenerSeen {
    let seen = listener.counters.seen();
    let routes = config.map_or(&[][..], |config| &config.routes).iter().map(|route| {
        let sums = seen.routes.get(&*route.name).copied().unwrap_or_default();
        (route.name.clone(), sums)
    });
    ListenerSeen {
        name: listener.name.to_string(),
        routes: routes.collect(),
        accepted: listener.counters.count_accepted(),
        seen,
    }
}

/// All upstreams, with as many of their servers as a page has, and how many servers that leaves out.
fn look_around(upstreams: &Arc<Upstreams>) -> (Vec<UpstreamSeen>, usize) {
    let mut upstreams: Vec<_> = upstreams.all().iter().map(|upstream| upstream.seen()).collect();
    let (mut room, mut left_out) = (MOST_SERVERS, 0);
    for upstream in &mut upstreams {
        let servers = by_address(std::mem::take(&mut upstream.servers));
        left_out += servers.len().saturating_sub(room);
        upstream.servers = servers.into_iter().take(room).collect();
        room -= upstream.servers.len();
    }
    (upstreams, left_out)
}

/// Where two servers of an upstream have the same address, they are one for whoever looks from outside.
fn by_address(servers: Vec<ServerSeen>) -> Vec<ServerSeen> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(servers.len());
    let mut each: Vec<ServerSeen> = Vec::with_capacity(servers.len());
    for server in servers {
        match places.get(&server.address) {
            Some(place) => add(&mut each[*place], server),
            None => {
                places.insert(server.address.clone(), each.len());
                each.push(server);
            }
        }
    }
    each
}

fn add(one: &mut ServerSeen, other: ServerSeen) {
    if other.state == State::Up {
        one.state = State::Up;
    }
    one.share += other.share;
    one.open += other.open;
    one.connected += other.connected;
    one.refused += other.refused;
    one.sums += other.sums;
    one.transitions += other.transitions;
    one.ejections += other.ejections;
}

fn look_at(filter: &Filter) -> FilterSeen {
    let generations = filter.generations().into_iter();
    let custom = filter.metrics().map(|metric| Custom {
        family: metric.family().to_owned(),
        help: metric.help.clone(),
        reading: metric.read(),
    });
    FilterSeen {
        name: filter.name().to_string(),
        transitions: filter.transitions().to_vec(),
        generations: generations
            .map(|(number, digest, state, tally)| GenerationSeen {
                number: number.to_string(),
                digest: digest.to_string(),
                state,
                totals: tally.totals(),
            })
            .collect(),
        custom: custom.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, UpstreamConfig, defaults};
    use crate::upstream::resolve;

    fn upstreams(names: &[&str], servers: u16) -> Arc<Upstreams> {
        let server = |port| Address::Socket(([127, 0, 0, 1], port).into()).into();
        let config = |name: &&str| UpstreamConfig::new(name, (1..=servers).map(server).collect());
        let configs: Vec<_> = names.iter().map(config).collect();
        Arc::new(resolve(&configs, &defaults::RESOLVER).unwrap())
    }

    #[test]
    fn a_page_has_a_bounded_number_of_servers_and_says_how_many_it_leaves_out() {
        let (seen, left_out) = look_around(&upstreams(&["first", "second"], 3_000));
        let servers: Vec<_> = seen.iter().map(|upstream| upstream.servers.len()).collect();
        assert_eq!((servers, left_out), (vec![3_000, 1_096], 1_904));
        let (_, none) = look_around(&upstreams(&["only"], 3));
        assert_eq!(none, 0);
    }

    #[test]
    fn servers_with_one_address_are_one() {
        let (seen, _) = look_around(&upstreams(&["only"], 2));
        let [first, second] = &seen[0].servers[..] else {
            panic!("{seen:?}")
        };
        let twin = ServerSeen {
            state: State::Up,
            open: 2,
            ..first.clone()
        };
        let down = ServerSeen {
            state: State::Down,
            open: 1,
            ..first.clone()
        };
        let merged = by_address(vec![down, second.clone(), twin]);
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].state, merged[0].open, merged[0].share), (State::Up, 3, 1.0));
        assert_eq!(&merged[1], second);
    }
}

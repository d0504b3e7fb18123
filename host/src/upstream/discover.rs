//! Names that stand for servers: what they stand for now, and when that is asked for again.
//!
//! [`Name::learn`] decides, and knows neither name servers nor clocks. Where no answer is to be had, or one that leaves no
//! server at all, what was known last stays: a name server that fails, or somebody who deletes a record too many, does
//! not end a service whose servers live.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Upstream;
use super::dns::{Addresses, Answer, Directory, MOST_RECORDS};
use super::replace::Found;
use super::services::{Service, servers};
use crate::config::{Discovery, ServerConfig, ServerPlace, UpstreamConfig};

/// One of a configuration's servers that is a name, and what is known of it.
#[derive(Debug)]
pub(super) struct Name {
    pub of: usize,
    config: ServerConfig,
    subject: Subject,
    discovery: Discovery,
    /// The last good answers, by host.
    known: HashMap<String, [Vec<IpAddr>; 2]>,
    /// Lookups that failed, one after the other.
    failures: u32,
    next: Instant,
}

#[derive(Debug, Clone)]
enum Subject {
    Host {
        host: String,
        port: u16,
    },
    /// SRV records.
    Service(String),
}

/// What was said when a name was looked up.
#[derive(Debug)]
pub(super) struct Said {
    services: Answer<Service>,
    /// Of every host of the services.
    hosts: HashMap<String, Addresses>,
}

/// What follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Learnt {
    /// `None`: what was known stays.
    pub found: Option<Vec<Found>>,
    pub trouble: Option<String>,
    /// Whether this is the first with trouble after one without, or the other way round.
    pub turns: bool,
}

/// Longer than this nobody should wait for a name server's return, whatever the times to live are.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// How many targets of SRV records are looked up at once, so that one name does not keep all others waiting.
const TARGETS_AT_ONCE: usize = 8;

impl Name {
    /// `None` where the server is an address.
    pub(super) fn of(upstream: &UpstreamConfig, of: usize, now: Instant) -> Option<Self> {
        let config = &upstream.servers[of];
        let subject = match &config.place {
            ServerPlace::Srv(name) => Subject::Service(name.clone()),
            ServerPlace::Address(crate::config::Address::Host { host, port }) => Subject::Host {
                host: host.clone(),
                port: *port,
            },
            ServerPlace::Address(_) => return None,
        };
        Some(Self {
            of,
            config: config.clone(),
            subject,
            discovery: upstream.discovery,
            known: HashMap::new(),
            failures: 0,
            next: now,
        })
    }

    /// Asks everything that there is to ask for. Ends at the deadline, with failures for what was not said until then.
    pub(super) async fn look_up(&self, directory: &Arc<Directory>, deadline: Option<Instant>) -> Said {
        let strict = !self.known.is_empty();
        let services = match &self.subject {
            Subject::Host { host, port } => Answer::Found {
                records: vec![Service {
                    priority: 0,
                    weight: None,
                    host: host.clone(),
                    port: *port,
                }],
                until: Instant::now() + self.discovery.longest,
            },
            Subject::Service(name) => directory.services(name, strict, deadline).await,
        };
        let mut waiting: HashSet<String> = HashSet::new();
        if let Answer::Found { records, .. } = &services {
            waiting.extend(records.iter().map(|service| service.host.clone()));
        }
        let mut waiting = waiting.into_iter();
        let mut asking = JoinSet::new();
        let mut hosts = HashMap::new();
        loop {
            for host in waiting.by_ref().take(TARGETS_AT_ONCE - asking.len()) {
                let directory = Arc::clone(directory);
                asking.spawn(async move {
                    let addresses = directory.addresses(&host, strict, deadline).await;
                    (host, addresses)
                });
            }
            match asking.join_next().await {
                Some(Ok((host, addresses))) => _ = hosts.insert(host, addresses),
                // A panic: its host has no answer.
                Some(Err(_)) => {}
                None => return Said { services, hosts },
            }
        }
    }

    /// Takes in what was said. `jitter` is from 0 to 1.
    pub(super) fn learn(&mut self, said: Said, now: Instant, jitter: f64) -> Learnt {
        let failed_before = self.failures > 0;
        let (found, trouble, until) = match said.services {
            Answer::Nothing(reason) | Answer::Failed(reason) => (None, Some(reason), now),
            Answer::Found { records, until } => self.learn_addresses(&records, said.hosts, until),
        };
        if trouble.is_some() {
            self.failures = self.failures.saturating_add(1);
            self.next = now + back_off(self.failures, self.discovery, jitter);
        } else {
            self.failures = 0;
            self.next = next_lookup(until, now, self.discovery, jitter);
        }
        Learnt {
            turns: trouble.is_some() != failed_before,
            found,
            trouble,
        }
    }

    fn learn_addresses(
        &mut self,
        services: &[Service],
        mut hosts: HashMap<String, Addresses>,
        mut until: Instant,
    ) -> (Option<Vec<Found>>, Option<String>, Instant) {
        let mut known = HashMap::new();
        let mut trouble = None;
        for service in services {
            let host = &service.host;
            if known.contains_key(host) {
                continue;
            }
            let before = self.known.get(host);
            let merged = match hosts.remove(host) {
                Some(said) => merge(said, before),
                None => Err("it could not be asked for".to_owned()),
            };
            match merged {
                Ok((addresses, valid)) => {
                    until = until.min(valid);
                    known.insert(host.clone(), addresses);
                }
                Err(reason) => {
                    let reason = match &self.subject {
                        Subject::Host { .. } => reason,
                        Subject::Service(_) => format!("{}: {reason}", host.trim_end_matches('.')),
                    };
                    trouble = trouble.or(Some(reason));
                    known.insert(host.clone(), before.cloned().unwrap_or_default());
                }
            }
        }
        let found = servers(services, &known, &self.config, MOST_RECORDS);
        if found.is_empty() {
            return (None, trouble.or_else(|| Some("no address is known".to_owned())), until);
        }
        self.known = known;
        (Some(found), trouble, until)
    }

    /// Whether it has ever stood for a server.
    pub(super) fn is_known(&self) -> bool {
        !self.known.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Host { host, port } => write!(f, "{host}:{port}"),
            Subject::Service(name) => name.fmt(f),
        }
    }
}

/// Keeps an upstream's servers what a name says, for as long as it is polled.
pub(super) async fn follow(mut name: Name, upstream: Arc<Upstream>, directory: Arc<Directory>) {
    loop {
        tokio::time::sleep_until(name.next.into()).await;
        let said = name.look_up(&directory, None).await;
        let learnt = name.learn(said, Instant::now(), fastrand::f64());
        if let Some(found) = &learnt.found {
            upstream.replace(name.of, &name, found);
        }
        tell(upstream.name(), &name, &learnt);
    }
}

/// Once for each turn.
pub(super) fn tell(upstream: &str, name: &Name, learnt: &Learnt) {
    match &learnt.trouble {
        _ if !learnt.turns => {}
        None => tracing::info!(upstream, %name, "name resolves again"),
        Some(error) if name.is_known() => tracing::warn!(
            upstream,
            %name,
            error,
            "name does not resolve: its servers stay as they were"
        ),
        Some(error) => tracing::warn!(
            upstream,
            %name,
            error,
            "name does not resolve: it has no servers yet"
        ),
    }
}

/// Both kinds of addresses, and the end of their time to live. One kind that cannot be asked for stays what it was, as
/// long as the other is there; an error where neither is.
fn merge(said: Addresses, before: Option<&[Vec<IpAddr>; 2]>) -> Result<([Vec<IpAddr>; 2], Instant), String> {
    let mut until: Option<Instant> = None;
    let (mut nothing, mut failure) = (None, None);
    let mut addresses = [Vec::new(), Vec::new()];
    for (kind, answer) in said.into_iter().enumerate() {
        match answer {
            Answer::Found { records, until: valid } => {
                until = Some(until.map_or(valid, |until| until.min(valid)));
                addresses[kind] = records;
            }
            Answer::Nothing(reason) => nothing = nothing.or(Some(reason)),
            Answer::Failed(reason) => {
                failure = failure.or(Some(reason));
                addresses[kind] = before.map(|before| before[kind].clone()).unwrap_or_default();
            }
        }
    }
    match until {
        Some(until) => Ok((addresses, until)),
        None => Err(failure.or(nothing).unwrap_or_default()),
    }
}

/// At the end of the time to live, between the shortest and the longest; and up to a tenth of that apart, so that names
/// that were looked up together are not for ever.
fn next_lookup(valid_until: Instant, now: Instant, discovery: Discovery, jitter: f64) -> Instant {
    let shortest = discovery.shortest;
    let longest = discovery.longest.max(shortest);
    let live = valid_until.saturating_duration_since(now).clamp(shortest, longest);
    // Later rather than sooner: a cache between has the old answer until its time is over.
    let latest = (live + live / 10).min(longest);
    let earliest = (latest - latest / 11).max(shortest);
    now + earliest + latest.saturating_sub(earliest).mul_f64(jitter)
}

/// Twice as long after each failure, between half of that and all of it.
fn back_off(failures: u32, discovery: Discovery, jitter: f64) -> Duration {
    let longest = discovery.longest.min(LONGEST_BACK_OFF).max(discovery.shortest);
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let whole = discovery.shortest.saturating_mul(doubled).min(longest);
    whole / 2 + (whole / 2).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, defaults};
    use crate::sys::Peer;

    const SECOND: Duration = Duration::from_secs(1);

    fn name() -> Name {
        let host = Address::Host {
            host: "db.example".to_owned(),
            port: 5,
        };
        Name::of(&UpstreamConfig::new("test", vec![host.into()]), 0, Instant::now()).unwrap()
    }

    fn service_name() -> Name {
        let mut config = UpstreamConfig::new("test", vec![Address::Unix("/x".into()).into()]);
        config.servers[0].place = ServerPlace::Srv("_x._tcp.example".to_owned());
        Name::of(&config, 0, Instant::now()).unwrap()
    }

    fn is(last: &[u8], seconds: u64, now: Instant) -> Answer<IpAddr> {
        Answer::Found {
            records: last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect(),
            until: now + Duration::from_secs(seconds),
        }
    }

    fn nothing() -> Answer<IpAddr> {
        Answer::Nothing("there is no such name".to_owned())
    }

    fn failed() -> Answer<IpAddr> {
        Answer::Failed("no name server has answered in time".to_owned())
    }

    fn services(hosts: &[&str]) -> Answer<Service> {
        let service = |host: &&str| Service {
            priority: 0,
            weight: None,
            host: (*host).to_owned(),
            port: 5,
        };
        Answer::Found {
            records: hosts.iter().map(service).collect(),
            until: Instant::now() + Duration::from_secs(1_000),
        }
    }

    fn said<const HOSTS: usize>(hosts: [(&str, Addresses); HOSTS]) -> Said {
        Said {
            services: services(&hosts.each_ref().map(|(host, _)| *host)),
            hosts: hosts.map(|(host, said)| (host.to_owned(), said)).into_iter().collect(),
        }
    }

    fn host(addresses: Addresses) -> Said {
        said([("db.example", addresses)])
    }

    fn found(learnt: &Learnt) -> Vec<String> {
        let peer = |found: &Found| match &found.peer {
            Peer::Tcp(address) => address.to_string(),
            Peer::Unix(_) => String::new(),
        };
        learnt.found.iter().flatten().map(peer).collect()
    }

    #[test]
    fn every_address_is_a_server() {
        let now = Instant::now();
        let mut name = name();
        let v6 = Answer::Found {
            records: vec!["::5".parse().unwrap()],
            until: now + 20 * SECOND,
        };
        let learnt = name.learn(host([is(&[1, 2], 60, now), v6]), now, 0.0);
        assert_eq!(found(&learnt), ["10.0.0.1:5", "10.0.0.2:5", "[::5]:5"]);
        assert_eq!((learnt.trouble, learnt.turns), (None, false));
        assert!(name.next.duration_since(now) >= 20 * SECOND, "{:?}", name.next - now);
        assert!(name.next.duration_since(now) < 21 * SECOND, "the sooner of the two");
    }

    #[test]
    fn the_last_good_answer_stays_and_each_turn_is_told_once() {
        let now = Instant::now();
        let mut name = name();
        name.learn(host([is(&[1], 60, now), nothing()]), now, 0.0);
        for (bad, why) in [
            ([failed(), failed()], "no name server has answered in time"),
            ([nothing(), nothing()], "there is no such name"),
            ([failed(), nothing()], "no name server has answered in time"),
        ] {
            let learnt = name.learn(host(bad), now, 0.0);
            assert_eq!(found(&learnt), ["10.0.0.1:5"]);
            assert_eq!(learnt.trouble.as_deref(), Some(why));
            assert_eq!(learnt.turns, name.failures == 1);
        }
        assert!(name.is_known());
        let learnt = name.learn(host([is(&[2], 60, now), nothing()]), now, 0.0);
        assert_eq!(found(&learnt), ["10.0.0.2:5"]);
        assert_eq!((learnt.trouble, learnt.turns), (None, true));
    }

    #[test]
    fn a_kind_of_address_that_cannot_be_asked_for_stays_as_it_was() {
        let now = Instant::now();
        let mut name = name();
        let v6 = || Answer::Found {
            records: vec!["::5".parse().unwrap()],
            until: now + SECOND,
        };
        name.learn(host([is(&[1], 60, now), v6()]), now, 0.0);
        let learnt = name.learn(host([failed(), v6()]), now, 0.0);
        assert_eq!(found(&learnt), ["10.0.0.1:5", "[::5]:5"]);
        assert_eq!(learnt.trouble, None);
        let learnt = name.learn(host([nothing(), v6()]), now, 0.0);
        assert_eq!(found(&learnt), ["[::5]:5"], "that one is known to be gone");
    }

    #[test]
    fn a_name_that_was_never_found_stands_for_nobody() {
        let now = Instant::now();
        let mut name = name();
        let learnt = name.learn(host([nothing(), nothing()]), now, 0.0);
        assert_eq!(learnt.found, None);
        assert!(learnt.turns && !name.is_known());
    }

    #[test]
    fn a_target_that_fails_keeps_its_addresses_and_the_others_move_on() {
        let now = Instant::now();
        let mut name = service_name();
        name.learn(
            said([
                ("a", [is(&[1], 60, now), nothing()]),
                ("b", [is(&[2], 60, now), nothing()]),
            ]),
            now,
            0.0,
        );
        let learnt = name.learn(
            said([("a", [failed(), failed()]), ("b", [is(&[3], 60, now), nothing()])]),
            now,
            0.0,
        );
        assert_eq!(found(&learnt), ["10.0.0.1:5", "10.0.0.3:5"]);
        assert_eq!(
            learnt.trouble.as_deref(),
            Some("a: no name server has answered in time")
        );
        let learnt = name.learn(said([("b", [is(&[3], 60, now), nothing()])]), now, 0.0);
        assert_eq!(found(&learnt), ["10.0.0.3:5"], "it is listed no more");
        assert_eq!((learnt.trouble, learnt.turns), (None, true));
        assert_eq!(name.known.len(), 1, "and forgotten");
    }

    #[test]
    fn a_service_that_is_listed_nowhere_stays_where_it_was() {
        let now = Instant::now();
        let mut name = service_name();
        name.learn(said([("a", [is(&[1], 60, now), nothing()])]), now, 0.0);
        let none = Said {
            services: Answer::Nothing("the name has no SRV record".to_owned()),
            hosts: HashMap::new(),
        };
        let learnt = name.learn(none, now, 0.0);
        assert_eq!(learnt.found, None);
        assert!(learnt.trouble.is_some() && name.is_known());
    }

    #[test]
    fn a_name_is_asked_for_when_its_time_to_live_is_over() {
        let now = Instant::now();
        let discovery = Discovery {
            shortest: 5 * SECOND,
            longest: 100 * SECOND,
            ..defaults::DISCOVERY
        };
        let within = |seconds: u64, least: f64, most: f64| {
            let next = |jitter| next_lookup(now + Duration::from_secs(seconds), now, discovery, jitter) - now;
            let near = |one: Duration, other: f64| (one.as_secs_f64() - other).abs() < 0.001;
            let (first, last) = (next(0.0), next(1.0));
            assert!(near(first, least) && near(last, most), "{first:?} {last:?}");
            assert!(next(0.5) >= first && next(0.5) <= last);
        };
        within(0, 5.0, 5.5);
        within(10, 10.0, 11.0);
        within(95, 90.909, 100.0);
        within(1_000_000, 90.909, 100.0);
        // What is over already.
        assert!(next_lookup(now, now + SECOND, discovery, 0.0) == now + 6 * SECOND);
        // An operator who leaves no room for it gets none.
        let exactly = Discovery {
            longest: 5 * SECOND,
            ..discovery
        };
        assert_eq!(next_lookup(now, now, exactly, 0.7), now + 5 * SECOND);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let discovery = Discovery {
            shortest: SECOND,
            longest: 3_600 * SECOND,
            ..defaults::DISCOVERY
        };
        let waits = [1, 2, 3, 6, 7, 1_000].map(|failures| back_off(failures, discovery, 1.0).as_secs());
        assert_eq!(waits, [1, 2, 4, 30, 30, 30]);
        assert_eq!(back_off(3, discovery, 0.0), 2 * SECOND);
        let slow = Discovery {
            shortest: 60 * SECOND,
            ..discovery
        };
        assert_eq!(
            back_off(9, slow, 1.0),
            60 * SECOND,
            "never more often than the operator wants"
        );
    }
}

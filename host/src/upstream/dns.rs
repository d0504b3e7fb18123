//! Questions to name servers, and the files that answer before them. What the answers mean is [`super::discover`]'s work.
//!
//! `/etc/hosts` and `/etc/resolv.conf` are read for each name anew: a name is looked up once in its time to live, which
//! makes a look at two files cheap, and what has changed in them counts from then on.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::services::Service;
use crate::config::Resolver;

/// What was asked for, or why there is nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Found {
        /// At least one.
        records: Vec<T>,
        /// The end of their time to live.
        until: Instant,
    },
    /// Somebody who knows says that there is nothing of the kind.
    Nothing(String),
    /// Nobody who knows could be asked.
    Failed(String),
}

/// The addresses of one host: IPv4, IPv6.
pub(super) type Addresses = [Answer<IpAddr>; 2];

/// Asks, for all names of the configuration.
#[derive(Debug)]
pub(super) struct Directory {
    config: Resolver,
    /// Packets that are sent at once are lost at once.
    at_once: Semaphore,
}

/// What the files said when a name was looked up.
struct Book {
    hosts: Hosts,
    /// Each alone, in order; or why there are none.
    servers: Result<Vec<TokioResolver>, String>,
    search: Vec<Name>,
    ndots: usize,
}

const AT_ONCE: usize = 32;

/// What resolv.conf(5) allows (MAXNS).
const SERVERS: usize = 3;

/// What one answer may cost us, in servers. A message of 64 KiB has room for 4 000 addresses.
pub(super) const MOST_RECORDS: usize = 256;

/// How long the next name server is spared while one thinks. Who has the answer has it within this, mostly.
const STAGGER: Duration = Duration::from_millis(300);

/// How soon files are looked at again. Nobody says when they change.
const FILE: Duration = Duration::from_secs(30);

impl Directory {
    pub(super) fn new(config: &Resolver) -> Self {
        Self {
            config: config.clone(),
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// The addresses of a host. With `strict`, a failure is the answer where one of several names that it may stand for
    /// cannot be asked: another one of them would be another host.
    pub(super) async fn addresses(&self, host: &str, strict: bool, deadline: Option<Instant>) -> Addresses {
        let name = match Name::from_utf8(host) {
            Ok(name) => name,
            Err(error) => return [Answer::Failed(error.to_string()), Answer::Failed(error.to_string())],
        };
        // Never closed, so this is no error.
        let _permit = self.at_once.acquire().await;
        let book = Book::open(&self.config);
        if let Some(found) = book.written(&name) {
            return found;
        }
        let until = self.until(deadline);
        let mut best: Option<Addresses> = None;
        for candidate in candidates(&name, &book.search, book.ndots) {
            let (v4, v6) = tokio::join!(
                book.ask(&candidate, RecordType::A, until),
                book.ask(&candidate, RecordType::AAAA, until),
            );
            let answers = [v4.of("no address", address), v6.of("no address", address)];
            let found = answers.iter().any(|answer| matches!(answer, Answer::Found { .. }));
            let failed = answers.iter().any(|answer| matches!(answer, Answer::Failed(_)));
            if found || (failed && strict) {
                return answers;
            }
            if failed || best.is_none() {
                best = Some(answers);
            }
        }
        best.unwrap_or_else(|| [Answer::Nothing(String::new()), Answer::Nothing(String::new())])
    }

    /// What the SRV records of a name list.
    pub(super) async fn services(&self, name: &str, strict: bool, deadline: Option<Instant>) -> Answer<Service> {
        let name = match Name::from_utf8(name) {
            Ok(name) => name,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        let _permit = self.at_once.acquire().await;
        let book = Book::open(&self.config);
        let until = self.until(deadline);
        let mut best = None;
        for candidate in candidates(&name, &book.search, book.ndots) {
            let answer = book.ask(&candidate, RecordType::SRV, until).await;
            match answer.of("no SRV record that names a server", service) {
                found @ Answer::Found { .. } => return found,
                failed @ Answer::Failed(_) if strict => return failed,
                failed @ Answer::Failed(_) => best = Some(failed),
                nothing @ Answer::Nothing(_) => best = best.or(Some(nothing)),
            }
        }
        best.unwrap_or_else(|| Answer::Nothing(String::new()))
    }

    fn until(&self, deadline: Option<Instant>) -> Instant {
        let until = Instant::now() + self.config.timeout;
        deadline.map_or(until, |deadline| deadline.min(until))
    }
}

impl Book {
    fn open(config: &Resolver) -> Self {
        let system = system_conf::read_system_conf();
        let (search, ndots) = match &system {
            // A domain beside a search list is the machine's own, which the list replaces.
            Ok((system, options)) if system.search().is_empty() => {
                (system.domain().into_iter().cloned().collect(), options.ndots)
            }
            Ok((system, options)) => (system.search().to_vec(), options.ndots),
            Err(_) => (Vec::new(), 1),
        };
        let servers = match (&config.nameservers[..], system) {
            ([], Ok((system, _))) => Ok(system.name_servers().iter().take(SERVERS).cloned().collect()),
            ([], Err(error)) => Err(format!("no name server is known: /etc/resolv.conf: {error}")),
            (configured, _) => Ok(configured.iter().map(name_server).collect()),
        };
        let servers = servers.and_then(|servers: Vec<_>| {
            let resolvers = servers.into_iter().map(|server| resolver(server, config.timeout));
            resolvers.collect::<Result<_, _>>().map_err(|error| error.to_string())
        });
        Self {
            // Whoever has no such file has no such names.
            hosts: Hosts::from_system().unwrap_or_default(),
            servers,
            search,
            ndots,
        }
    }

    /// What needs no name server: names in the machine's file, and the machine itself (RFC 6761, section 6.3).
    fn written(&self, name: &Name) -> Option<Addresses> {
        let until = Instant::now() + FILE;
        let answer = |addresses: Vec<IpAddr>| match addresses.is_empty() {
            true => Answer::Nothing("no such address in /etc/hosts".to_owned()),
            false => Answer::Found {
                records: addresses,
                until,
            },
        };
        let listed = |kind| -> Vec<IpAddr> {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.to_lowercase(), kind));
            let records = lookup.iter().flat_map(Lookup::answers);
            records
                .filter_map(|record| address(&record.data))
                .take(MOST_RECORDS)
                .collect()
        };
        let (v4, v6) = (listed(RecordType::A), listed(RecordType::AAAA));
        if !v4.is_empty() || !v6.is_empty() {
            return Some([answer(v4), answer(v6)]);
        }
        let itself = name
            .iter()
            .next_back()
            .is_some_and(|label| label.eq_ignore_ascii_case(b"localhost"));
        itself.then(|| {
            [
                answer(vec![std::net::Ipv4Addr::LOCALHOST.into()]),
                answer(vec![std::net::Ipv6Addr::LOCALHOST.into()]),
            ]
        })
    }

    /// Asks one name server after the other, without waiting for long for any: the first that knows is believed.
    async fn ask(&self, name: &Name, kind: RecordType, deadline: Instant) -> Answer<RData> {
        let servers = match &self.servers {
            Ok(servers) => servers,
            Err(reason) => return Answer::Failed(reason.clone()),
        };
        let mut waiting = servers.iter();
        let mut asked = JoinSet::new();
        let mut reason = None;
        loop {
            match waiting.next() {
                Some(server) => _ = asked.spawn(ask_one(server.clone(), name.clone(), kind)),
                None if asked.is_empty() => break,
                None => {}
            }
            let until = match waiting.len() {
                0 => deadline,
                _ => deadline.min(Instant::now() + STAGGER),
            };
            match timeout_at(until.into(), asked.join_next()).await {
                Ok(Some(Ok(Answer::Failed(said)))) => reason = reason.or(Some(said)),
                Ok(Some(Ok(answer))) => return answer,
                Ok(Some(Err(error))) => reason = reason.or_else(|| Some(error.to_string())),
                Ok(None) => {}
                Err(_) if Instant::now() >= deadline => break,
                Err(_) => {}
            }
        }
        Answer::Failed(reason.unwrap_or_else(|| "no name server has answered in time".to_owned()))
    }
}

async fn ask_one(server: TokioResolver, name: Name, kind: RecordType) -> Answer<RData> {
    match server.lookup(name, kind).await {
        Ok(lookup) => Answer::Found {
            until: lookup.valid_until(),
            records: lookup.answers().iter().map(|record| record.data.clone()).collect(),
        },
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Answer::Nothing("there is no such name".to_owned()),
            _ => Answer::Nothing(format!("the name has no {kind} record")),
        },
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Answer::Failed(format!("the name server says: {code}")),
        Err(NetError::Timeout) => Answer::Failed("no name server has answered in time".to_owned()),
        Err(error) => Answer::Failed(format!("the name server cannot be asked: {error}")),
    }
}

impl Answer<RData> {
    /// The useful ones of the records, in an order of their own: name servers like to give another one each time.
    fn of<T: Ord>(self, none: &str, useful: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        match self {
            Self::Found { records, until } => {
                let mut records: Vec<_> = records.iter().filter_map(useful).collect();
                records.sort_unstable();
                records.dedup();
                records.truncate(MOST_RECORDS);
                match records.is_empty() {
                    true => Answer::Nothing(format!("the name has {none}")),
                    false => Answer::Found { records, until },
                }
            }
            Self::Nothing(reason) => Answer::Nothing(reason),
            Self::Failed(reason) => Answer::Failed(reason),
        }
    }
}

/// `None` for what is no server's address: connecting to 0.0.0.0 would reach ourselves.
fn address(data: &RData) -> Option<IpAddr> {
    let address = data.ip_addr()?.to_canonical();
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// `None` where it says that there is no server.
fn service(data: &RData) -> Option<Service> {
    let RData::SRV(srv) = data else { return None };
    (srv.port != 0 && !srv.target.is_root()).then(|| Service {
        priority: srv.priority,
        weight: Some(srv.weight),
        host: srv.target.to_lowercase().to_ascii(),
        port: srv.port,
    })
}

/// The names that one may stand for, in the order of resolv.conf(5): one with as many dots as that at first itself.
fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if name.is_fqdn() {
        return vec![itself];
    }
    // What is too long together is no name.
    let longer = search.iter().filter_map(|domain| {
        let mut longer = name.clone().append_domain(domain).ok()?;
        longer.set_fqdn(true);
        Some(longer)
    });
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut all: Vec<_> = longer.collect();
    all.insert(if dots >= ndots { 0 } else { all.len() }, itself);
    all
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// Asks one name server, twice where a packet seems lost.
fn resolver(server: NameServerConfig, patience: Duration) -> Result<TokioResolver, NetError> {
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = patience / 2;
    options.attempts = 1;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // That is read already, and the answers are kept by whoever asks.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_utf8(text).unwrap()
    }

    fn texts(typed: &str, search: &[&str], ndots: usize) -> Vec<String> {
        let search: Vec<_> = search.iter().map(|domain| name(domain)).collect();
        let candidates = candidates(&name(typed), &search, ndots);
        candidates.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_name_is_searched_for_as_resolv_conf_says() {
        let search = ["a.example", "b.example."];
        assert_eq!(texts("db", &search, 1), ["db.a.example.", "db.b.example.", "db."]);
        assert_eq!(
            texts("db.x", &search, 1),
            ["db.x.", "db.x.a.example.", "db.x.b.example."]
        );
        assert_eq!(
            texts("db.x", &search, 2),
            ["db.x.a.example.", "db.x.b.example.", "db.x."]
        );
        assert_eq!(texts("db.", &search, 1), ["db."]);
        assert_eq!(texts("db", &[], 1), ["db."]);
    }

    #[test]
    fn what_is_no_servers_address_is_left_out() {
        let found = |text: &str| address(&RData::from(text.parse::<IpAddr>().unwrap()));
        assert_eq!(found("0.0.0.0"), None);
        assert_eq!(found("::"), None);
        assert_eq!(found("224.0.0.1"), None);
        assert_eq!(found("::ffff:10.0.0.1"), Some([10, 0, 0, 1].into()));
        assert_eq!(found("127.0.0.1"), Some([127, 0, 0, 1].into()));
    }

    fn book(hosts: &str) -> Book {
        let mut read = Hosts::default();
        read.read_hosts_conf(hosts.as_bytes()).unwrap();
        Book {
            hosts: read,
            servers: Err("nobody is asked".to_owned()),
            search: Vec::new(),
            ndots: 1,
        }
    }

    fn written(book: &Book, typed: &str) -> Option<[Vec<IpAddr>; 2]> {
        let records = |answer| match answer {
            Answer::Found { records, .. } => records,
            _ => Vec::new(),
        };
        book.written(&name(typed)).map(|answers| answers.map(records))
    }

    #[test]
    fn names_of_the_machines_file_need_no_name_server() {
        let book = book("10.0.0.1 DB db.example\n10.0.0.2 db\n::5 db.example\n");
        let v4 = |last| IpAddr::from([10, 0, 0, last]);
        assert_eq!(written(&book, "db"), Some([vec![v4(1), v4(2)], vec![]]));
        assert_eq!(
            written(&book, "db.example."),
            Some([vec![v4(1)], vec!["::5".parse().unwrap()]])
        );
        assert_eq!(written(&book, "other"), None);
    }

    #[test]
    fn nor_does_the_machine_itself() {
        let both = [vec!["127.0.0.1".parse().unwrap()], vec!["::1".parse().unwrap()]];
        assert_eq!(written(&book(""), "localhost"), Some(both.clone()));
        assert_eq!(written(&book(""), "app.LOCALHOST."), Some(both));
        assert_eq!(written(&book(""), "localhost.example"), None);
        let changed = book("127.0.0.3 localhost");
        assert_eq!(
            written(&changed, "localhost"),
            Some([vec!["127.0.0.3".parse().unwrap()], vec![]])
        );
    }

    #[test]
    fn a_service_without_a_server_is_none() {
        use hickory_resolver::proto::rr::rdata::SRV;
        let srv = |port, target: &str| service(&RData::SRV(SRV::new(1, 2, port, name(target))));
        assert_eq!(srv(80, "."), None);
        assert_eq!(srv(0, "a.example."), None);
        let listed = Service {
            priority: 1,
            weight: Some(2),
            host: "a.example.".to_owned(),
            port: 80,
        };
        assert_eq!(srv(80, "A.example."), Some(listed));
    }
}

//! A group of servers that do the same, as it is meant.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{
    Address, Destination, OnChange, ProxyOut, TimeoutChanges, TlsOut, TreatmentConfig, UpstreamSocket, Vigilance,
    defaults,
};

#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    pub name: String,
    pub balance: Balance,
    /// At least one, unless there is an `original_destination`.
    pub servers: Vec<ServerConfig>,
    /// Connections go to where they were on their way: the ones that may be, none is any. `None`: to the servers.
    pub original_destination: Option<Vec<Destination>>,
    /// What it changes of the listener's.
    pub timeouts: TimeoutChanges,
    /// Of the proxy's connections to the servers.
    pub vigilance: Vigilance,
    /// What the sockets that lead to them are given; `None`: nothing.
    pub socket: Option<UpstreamSocket>,
    /// Whether servers are told who the clients are.
    pub proxy_protocol: Option<ProxyOut>,
    /// Whether they are spoken to in TLS.
    pub tls: Option<TlsOut>,
    pub connect: Connect,
    pub retries: Retries,
    pub queue: Queue,
    /// How many connections are made before they are asked for; 0 to 1 024.
    pub preconnect: u32,
    /// The addresses to connect from, in turn; none is: as the system says.
    pub source: Vec<IpAddr>,
    /// Whether they come from their clients' addresses.
    pub as_client: bool,
    /// `None`: servers are not asked whether they live.
    pub health: Option<Health>,
    /// `None`: what becomes of connections says nothing of a server.
    pub passive: Option<Passive>,
    /// How long a server's weight takes to grow to all of it after a failure; zero is at once.
    pub slow_start: Duration,
    /// Where fewer of a hundred servers than this are up, all are used; 0: never.
    pub panic: u8,
    /// What becomes of a server's connections when it goes down.
    pub on_down: OnDown,
    pub discovery: Discovery,
    /// Of the bytes of its connections.
    pub treatment: TreatmentConfig,
    pub on_change: OnChange,
}

impl UpstreamConfig {
    /// Every default.
    pub fn new(name: &str, servers: Vec<ServerConfig>) -> Self {
        Self {
            name: name.to_owned(),
            balance: Balance::default(),
            servers,
            original_destination: None,
            timeouts: TimeoutChanges::default(),
            vigilance: defaults::VIGILANCE,
            socket: None,
            proxy_protocol: None,
            tls: None,
            connect: Connect::default(),
            retries: defaults::RETRIES,
            queue: defaults::QUEUE,
            preconnect: 0,
            source: Vec::new(),
            as_client: false,
            health: None,
            passive: None,
            slow_start: Duration::ZERO,
            panic: 0,
            on_down: OnDown::default(),
            discovery: defaults::DISCOVERY,
            treatment: TreatmentConfig::default(),
            on_change: OnChange::default(),
        }
    }
}

/// How connections are shared among servers, in proportion to their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest.
    LeastConnections,
    /// The one with fewer, of two that were drawn.
    TwoChoices,
    /// The same one for the same client; a server that leaves moves its own clients and nobody else's.
    SourceHash,
    /// The same one for the same key (a client's address, or what a filter says), by Maglev's table.
    Maglev,
    /// One that was drawn.
    Random,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    pub place: ServerPlace,
    /// Its share, in proportion to the others' weights, 1 to 256.
    pub weight: u32,
    /// How many connections it may have at once; `None` is: any number.
    pub max_connections: Option<u32>,
    /// It gets connections only where none of the others is up.
    pub backup: bool,
}

impl From<Address> for ServerConfig {
    /// With every default.
    fn from(address: Address) -> Self {
        Self {
            place: ServerPlace::Address(address),
            weight: 1,
            max_connections: None,
            backup: false,
        }
    }
}

/// Where servers are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerPlace {
    /// One server, or one for each address that the name has.
    Address(Address),
    /// Those that the SRV records of this name list (RFC 2782), with their ports, weights, and priorities: the lowest
    /// priority is used, the others are backups.
    Srv(String),
}

impl fmt::Display for ServerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Srv(name) => write!(f, "SRV {name}"),
        }
    }
}

/// When a server is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connect {
    #[default]
    AtOnce,
    /// When the client has sent something: what never speaks costs the server nothing.
    FirstByte,
}

/// What is done when a server cannot be connected to. Another one is tried where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How many more times a connection may try, 0 to 16.
    pub count: u32,
    /// How many retries there may be for a hundred connections, over the last seconds; 0 to 1 000.
    pub budget: u32,
}

/// Connections that wait because every server has as many as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait; 0 to 1 000 000.
    pub length: u32,
    /// How long.
    pub timeout: Duration,
}

/// How servers are asked whether they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub interval: Duration,
    /// While a server is between up and down.
    pub fast_interval: Duration,
    /// For the connection and the answer together; shorter than the intervals.
    pub timeout: Duration,
    /// So many good answers in a row, and a server is up; 1 to 100.
    pub rise: u32,
    /// So many bad ones, and it is down; 1 to 100.
    pub fall: u32,
    /// What is sent; nothing is: that it can be connected to is enough, unless something is expected.
    pub send: Vec<u8>,
    /// What the answer has to contain; up to 4 KiB of it are looked at.
    pub expect: Vec<u8>,
    /// Another port than the connections'.
    pub port: Option<u16>,
    /// Whether a server is up before it was first asked.
    pub starts_up: bool,
}

/// How a server's connections tell that it is to be left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passive {
    /// So many failures in a row: connections that failed, or were reset before the first byte; 1 to 1 000.
    pub failures: u32,
    /// How long the first time; twice as long each time that it fails again soon.
    pub ejection: Duration,
    pub longest_ejection: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDown {
    /// They go on for as long as they can.
    #[default]
    Keep,
    /// They end when they are idle.
    Drain,
    /// They end at once.
    Kill,
}

/// How names become addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// Whether a name that cannot be resolved at start is an error.
    pub must_resolve: bool,
    /// Shorter and longer times to live are taken for these.
    pub shortest: Duration,
    pub longest: Duration,
}

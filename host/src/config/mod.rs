//! The configuration as it is meant: checked, complete, with every default filled in.
//!
//! `load` goes from a path to these types: `file` reads what a person typed, `validate` turns it into what is meant, and
//! both report everything that is wrong to `diagnostics`. `defaults` and `ranges` hold the numbers and their reasons.
//! Nothing else in the proxy sees a configuration file.

mod address;
mod alpn_name;
mod at_limit;
mod capture;
pub mod defaults;
mod destination;
mod diagnostics;
mod dscp;
mod faults;
mod file;
mod filter_source;
mod in_force;
mod json;
mod load;
mod log_field;
mod log_format;
mod mirror;
mod name;
mod name_server;
mod named;
mod network;
mod octets;
mod on_change;
pub mod part;
mod pattern;
mod percentage;
mod process;
mod proxy_protocol;
mod ranges;
mod rate;
mod reader;
mod reference;
mod route;
mod server_name;
mod shown;
mod socket;
mod source_address;
mod srv_name;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod tls;
mod tlv_type;
mod treatment;
mod trust;
mod units;
mod upstream;
mod validate;
mod word;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;
pub use address::{Address, AddressError, ListenAddress};
pub use capture::{CaptureConfig, CaptureFiles, CaptureFormat, CaptureLegs, CaptureOnly};
pub use destination::{Destination, may_be};
pub use diagnostics::Problems;
pub use faults::{Distribution, FaultConfig, FaultKind, WHOLE};
pub use file::schema;
pub use filter_source::{Pull, Source};
pub use load::{LoadError, load, parse};
pub use log_field::LogField;
pub use log_format::TemplatePart;
pub use mirror::MirrorConfig;
pub use on_change::OnChange;
pub use process::{Account, ProcessConfig, UpgradeSocket};
pub use proxy_protocol::{ProxyIn, ProxyOut, ProxyVersion, SentTlv, Trusted};
pub use ranges::WEIGHT as WEIGHTS;
pub use reference::{Reference, ReferenceError, Repository, SCHEME, Version};
pub use route::{Detection, Pattern, Refusal, RouteConfig, RouteTarget, TlvCondition};
pub use shown::shown_treatment;
pub use socket::{ListenerSocket, SocketOptions, UpstreamSocket};
pub use tls::{CertificateFiles, ClientAuth, TlsIn, TlsOut, TlsStart, TlsVersion};
pub use treatment::{Bandwidth, Directions, Per, Quota, TreatmentConfig};
pub use trust::{KeySource, Scope, TrustConfig};
pub use units::{parse_period, period};
pub use upstream::{
    Balance, Connect, Discovery, Health, OnDown, Passive, Queue, Retries, ServerConfig, ServerPlace, UpstreamConfig,
};

/// Everything that one process serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Worker threads; `None` is one for each CPU that this process may run on.
    pub workers: Option<NonZeroUsize>,
    pub filters: Vec<FilterConfig>,
    pub upstreams: Vec<UpstreamConfig>,
    pub listeners: Vec<ListenerConfig>,
    /// Of all listeners together.
    pub limits: Limits,
    pub drain: Drain,
    pub access_log: Option<AccessLogConfig>,
    pub resolver: Resolver,
    /// Where the page of metrics is; `None`: nowhere.
    pub metrics: Option<ListenAddress>,
    /// `None`: no collector is told anything.
    pub telemetry: Option<TelemetryConfig>,
    /// `None`: nobody asks anything, and nobody gives orders but by signals.
    pub admin: Option<AdminConfig>,
    /// Where the clients of Toxiproxy ask and give orders; `None`: nowhere.
    pub toxiproxy: Option<ListenAddress>,
    pub process: ProcessConfig,
    pub registries: Registries,
    /// Whether the file is read again whenever it changes.
    pub watch: bool,
    /// Where filters need a signature. Elsewhere they need none.
    pub trust: Vec<TrustConfig>,
}

impl Config {
    /// Whether somebody may ask about connections, and have something done to them, while the process runs.
    pub fn is_asked(&self) -> bool {
        self.admin.is_some() || self.toxiproxy.is_some()
    }
}

impl Default for Config {
    /// Nothing is served, by every default.
    fn default() -> Self {
        Self {
            workers: None,
            filters: Vec::new(),
            upstreams: Vec::new(),
            listeners: Vec::new(),
            limits: defaults::LIMITS,
            drain: defaults::DRAIN,
            access_log: None,
            resolver: defaults::RESOLVER,
            metrics: None,
            telemetry: None,
            admin: None,
            toxiproxy: None,
            process: ProcessConfig::default(),
            registries: Registries::default(),
            watch: false,
            trust: Vec::new(),
        }
    }
}

/// One filter: a component, its configuration, and what it may use.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterConfig {
    pub name: String,
    /// The component's file, or where it is pulled from. A relative path in a configuration file starts at that file's
    /// directory.
    pub source: Source,
    /// What its source has to have; `None`: whatever it has. No file says so.
    pub digest: Option<Digest>,
    /// When a registry is asked for it.
    pub pull: Pull,
    /// Given to the filter's `init` as JSON; `Null` where the file has none.
    pub config: serde_json::Value,
    pub on_error: OnError,
    pub limits: FilterLimits,
    /// How many connections share one instance of an inspector or a transformer: 1 isolates each of them from the others.
    pub sessions_per_instance: u32,
    /// Where the machine affords no more instances.
    pub at_budget: AtBudget,
    /// When an instance that connections share gets no new ones.
    pub retire: Retire,
    /// What it may import.
    pub grants: Vec<Grant>,
    /// `None`: a new generation gets all new connections at once.
    pub canary: Option<Canary>,
    /// `None`: a generation that keeps failing goes on serving.
    pub quarantine: Option<Quarantine>,
}

impl FilterConfig {
    /// With every default.
    pub fn new(name: &str, source: impl Into<Source>) -> Self {
        Self {
            name: name.to_owned(),
            source: source.into(),
            digest: None,
            pull: Pull::default(),
            config: serde_json::Value::Null,
            on_error: OnError::default(),
            limits: defaults::FILTER_LIMITS,
            sessions_per_instance: defaults::SESSIONS_PER_INSTANCE,
            at_budget: AtBudget::default(),
            retire: defaults::RETIRE,
            grants: defaults::GRANTS.to_vec(),
            canary: None,
            quarantine: Some(defaults::QUARANTINE),
        }
    }
}

/// How filters are pulled from registries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registries {
    /// Where they are kept; `None` is wherever the environment says.
    pub cache: Option<PathBuf>,
    /// `HOST` or `HOST:PORT`: spoken to without TLS.
    pub insecure: Vec<String>,
    /// A PEM file with authorities beside the system's.
    pub authorities: Option<PathBuf>,
}

/// What becomes of a connection whose filter trapped, overran a limit or gave an answer that the contract forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The connection is closed.
    #[default]
    Close,
    /// The connection goes on as if the filter were not there.
    Pass,
    /// The connection goes on with the generation before, where the one that failed has not been shown anything of it; it is
    /// closed where there is none.
    Previous,
}

/// What becomes of a session for which there is no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtBudget {
    /// It shares one with others.
    #[default]
    Share,
    /// The filter has failed for its connection.
    Refuse,
}

/// When an instance that connections share gets no new ones: it is gone with the last that it has. `None`: never for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retire {
    pub age: Option<Duration>,
    /// Connections that it has served.
    pub sessions: Option<u64>,
    /// Bytes that its memory has grown to; `None` is three quarters of what it may have.
    pub memory: Option<u64>,
}

impl Retire {
    /// Bytes that the memory of an instance may have grown to, of so many that it may have.
    pub fn watermark(&self, memory: u64) -> u64 {
        self.memory.unwrap_or(memory / 4 * 3)
    }
}

/// What a filter may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    Connection,
    Environment,
    Log,
    Metrics,
    Store,
    Upstreams,
    /// WASI's clocks tell the time. Without it they stand still.
    WasiClocks,
    /// WASI's random numbers are random. Without it they are the same in each instance.
    WasiRandom,
}

impl Grant {
    pub const ALL: [Self; 8] = [
        Self::Connection,
        Self::Environment,
        Self::Log,
        Self::Metrics,
        Self::Store,
        Self::Upstreams,
        Self::WasiClocks,
        Self::WasiRandom,
    ];

    /// As it is typed in a file. What is ours is called like its interface.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Environment => "environment",
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Store => "store",
            Self::Upstreams => "upstreams",
            Self::WasiClocks => "wasi-clocks",
            Self::WasiRandom => "wasi-random",
        }
    }
}

/// How a new generation of a filter is tried before it gets all connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// Of new connections, in hundredths: 1 to 100.
    pub share: u32,
    /// The clients whose connections it gets, in the place of a share of all.
    pub clients: Vec<ipnet::IpNet>,
    /// It serves all after at least so long, and so many connections.
    pub time: Duration,
    pub connections: u64,
    /// So many failures (traps, missed deadlines, broken contract) and it is rolled back.
    pub failures: u64,
    /// It is rolled back when its rate of refused or early closed connections is so much above the old one's, in hundredths.
    pub margin: u32,
}

/// When a generation that keeps failing makes room for the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    pub failures: u64,
    /// So many of them within this time.
    pub within: Duration,
    /// When it is tried again, as a canary; twice as long each time that it fails again.
    pub retry_after: Duration,
}

/// What one filter may use. Nothing here is shared between filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Bytes of linear memory for one instance, 64 KiB to 64 MiB.
    pub memory: u64,
    /// CPU time of one call, 1 ms to 1 s.
    pub call: Duration,
    /// CPU time of `init`, 1 ms to 60 s.
    pub init: Duration,
    /// Bytes that a transformer may give in one call, to both peers together, and a router in one exchange: 1 KiB to 4 MiB.
    pub output: u64,
    /// Records in the log a second; an observer may make as many besides as it is told of connections.
    pub log_lines: u32,
    /// Metrics that it may define.
    pub metrics: u32,
    /// What its store may hold.
    pub store_entries: u64,
    pub store_bytes: u64,
}

/// One place where clients connect.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerConfig {
    pub name: String,
    pub address: ListenAddress,
    /// Names of `Config::filters`, in the order in which they are asked.
    pub filters: Vec<String>,
    /// The name of one of `Config::upstreams`, where no filter decides otherwise.
    pub upstream: Option<String>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub accept: Accept,
    /// Of the clients' connections.
    pub vigilance: Vigilance,
    /// Whether clients were on their way to somebody else, and how they were led here.
    pub transparent: Option<Transparent>,
    /// What the sockets that clients come to are given.
    pub socket: ListenerSocket,
    /// Of a unix socket.
    pub socket_file: SocketFile,
    /// Whether clients come through a proxy that says who they are.
    pub proxy_protocol: Option<ProxyIn>,
    /// The first one that matches decides, where no filter decides otherwise.
    pub routes: Vec<RouteConfig>,
    pub detection: Detection,
    /// Whether it decrypts.
    pub tls: Option<TlsIn>,
    /// Of the bytes of all its connections.
    pub treatment: TreatmentConfig,
    pub on_change: OnChange,
}

impl ListenerConfig {
    /// No filter, no upstream, and every default.
    pub fn new(name: &str, address: ListenAddress) -> Self {
        Self {
            name: name.to_owned(),
            address,
            filters: Vec::new(),
            upstream: None,
            timeouts: defaults::TIMEOUTS,
            limits: defaults::LIMITS,
            accept: Accept::default(),
            vigilance: defaults::VIGILANCE,
            transparent: None,
            socket: ListenerSocket::default(),
            socket_file: SocketFile::default(),
            proxy_protocol: None,
            routes: Vec::new(),
            detection: defaults::DETECTION,
            tls: None,
            treatment: TreatmentConfig::default(),
            on_change: OnChange::default(),
        }
    }
}

/// Who may connect to a unix socket; `None` is as the process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketFile {
    /// Permissions.
    pub mode: Option<u32>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

/// How long a connection may take, per stage. `None` is: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the choice of an upstream until one of its servers has answered.
    pub connect: Option<Duration>,
    /// How long router filters may wait for bytes of the client's, all of them together.
    pub route: Option<Duration>,
    /// From being connected until the upstream's first byte.
    pub first_byte: Option<Duration>,
    /// How long both directions together may be silent.
    pub idle: Option<Duration>,
    /// The same once one side has finished.
    pub half_closed: Option<Duration>,
    /// How long a peer that is owed bytes may take none.
    pub stall: Option<Duration>,
    /// From being connected to the end; each connection's own is up to a tenth shorter, so that many that began together do
    /// not end together.
    pub lifetime: Option<Duration>,
}

/// Timeouts that differ from the listener's; `None` is: the listener's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeoutChanges {
    pub connect: Option<Option<Duration>>,
    pub first_byte: Option<Option<Duration>>,
    pub idle: Option<Option<Duration>>,
    pub half_closed: Option<Option<Duration>>,
    pub stall: Option<Option<Duration>>,
    pub lifetime: Option<Option<Duration>>,
}

impl Timeouts {
    pub fn with(self, changes: &TimeoutChanges) -> Self {
        Self {
            connect: changes.connect.unwrap_or(self.connect),
            route: self.route,
            first_byte: changes.first_byte.unwrap_or(self.first_byte),
            idle: changes.idle.unwrap_or(self.idle),
            half_closed: changes.half_closed.unwrap_or(self.half_closed),
            stall: changes.stall.unwrap_or(self.stall),
            lifetime: changes.lifetime.unwrap_or(self.lifetime),
        }
    }
}

/// How the kernel notices that a peer is gone without a word (tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vigilance {
    /// `None`: a silent peer is not asked whether it is still there.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged, or a window closed. `None`: as the system says.
    pub user_timeout: Option<Duration>,
}

/// In whole seconds, 1 to 32 767 (TCP_KEEPIDLE, TCP_KEEPINTVL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered probes after which the peer is given up, 1 to 127 (TCP_KEEPCNT).
    pub count: u32,
}

/// How clients that were on their way to somebody else are led here by netfilter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transparent {
    /// Their packets are sent here (REDIRECT, DNAT), and the kernel remembers where they were to go (SO_ORIGINAL_DST).
    Redirect,
    /// Their packets are given to our socket as they are (TPROXY): its address is where they were to go.
    Tproxy,
}

/// How workers share a listener's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accept {
    /// A socket for every four of them.
    #[default]
    Groups,
    /// A socket for each, among which the kernel spreads connections (SO_REUSEPORT).
    PerWorker,
    /// One socket for all of them.
    Shared,
}

/// What clients may have, of one listener or of all together. `None` is: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: Option<u32>,
    pub connections_per_client: Option<u32>,
    /// New connections per second.
    pub rate: Option<u32>,
    pub rate_per_client: Option<u32>,
    /// How many leading bits of an IPv6 address are one client, 1 to 128.
    pub ipv6_prefix: u8,
    pub at_limit: AtLimit,
}

/// What becomes of a new connection at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    /// It waits its turn, but no longer than this; then it is closed with FIN.
    Queue(Duration),
    /// It waits its turn.
    Delay,
    /// It is closed, with FIN.
    Fin,
    /// It is closed, with RST.
    Rst,
}

/// How the process ends when it is told to, counted from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// When connections that are idle begin to be ended; `None`: never.
    pub soft: Option<Duration>,
    /// Over which time their ends are spread.
    pub spread: Duration,
    /// When all others are ended; `None`: never.
    pub hard: Option<Duration>,
}

/// Where the proxy is asked what it does, and told what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    pub address: ListenAddress,
    /// Of a unix socket.
    pub socket_file: SocketFile,
    /// Where the token is that whoever asks has to know. There is one wherever others can reach the address.
    pub token_file: Option<PathBuf>,
}

/// Who is asked for the addresses of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// In the order in which they are asked, up to 8; none is: those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
    /// For a whole lookup, 100 ms to a minute.
    pub timeout: Duration,
}

/// One line for each connection.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLogConfig {
    /// `None` is standard output.
    pub file: Option<PathBuf>,
    pub format: LogFormat,
    /// A line when a connection begins, too.
    pub open: bool,
    /// A line each time that a connection has lived for as long again.
    pub every: Option<Duration>,
}

/// A collector of OpenTelemetry's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// A URL without a slash at its end: what is sent goes to `/v1/traces` and `/v1/logs` behind it.
    pub endpoint: String,
    /// Of how many of a hundred connections it gets a span.
    pub traces: u32,
    pub logs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// An object with every `LogField` that is known.
    #[default]
    Json,
    /// Text with `{placeholders}`, at least one.
    Template(Vec<TemplatePart>),
}

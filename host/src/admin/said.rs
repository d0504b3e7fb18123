//! What is said over the admin interface, both ways.

mod measures;
mod overview;
mod trace;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use measures::{Measure, Measures, NewMeasure, Scope};
pub use overview::{Ended, LogLine, Overview, Servers, Traffic, Worker};
pub use trace::{Step, StepKind, StepResult, Trace, Way};

/// Why something is not answered, or not done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

/// The process.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Since it was ready.
    pub uptime_ms: u64,
    pub workers: u64,
    /// It accepts no more connections, and ends with its last one.
    pub draining: bool,
    /// That are open now.
    pub connections: u64,
    /// What is logged, as it was said last.
    pub log_level: String,
    /// The number of the generation of each filter that serves.
    pub generations: BTreeMap<String, u64>,
}

/// The places where clients connect.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Listeners {
    pub listeners: Vec<Listener>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    pub name: String,
    /// With the port that the kernel chose for port 0.
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    pub filters: Vec<String>,
    pub routes: Vec<String>,
    /// Whether it decrypts.
    pub tls: bool,
    /// That have ended.
    pub connections: u64,
    /// How they ended: stage, cause, side.
    pub outcomes: BTreeMap<String, u64>,
    /// Of connections that have ended.
    pub up: Bytes,
    pub down: Bytes,
}

/// Bytes of one direction, by the way they went.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Bytes {
    /// Through the worker's buffer.
    pub copied: u64,
    /// Through a pipe in the kernel.
    pub spliced: u64,
    /// Shown to a filter.
    pub filtered: u64,
}

impl Bytes {
    /// By all ways together.
    pub fn total(&self) -> u64 {
        self.copied.saturating_add(self.spliced).saturating_add(self.filtered)
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Upstreams {
    pub upstreams: Vec<Upstream>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    pub name: String,
    /// Open now.
    pub connections: u64,
    pub servers: Vec<Server>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Server {
    pub address: String,
    /// The name that it was found by, or its IP address; empty for a unix socket.
    pub host: String,
    pub origin: ServerOrigin,
    /// Whether it gets connections, and if not, why.
    pub state: ServerState,
    /// What is known of it by asking it, and by how its connections fared.
    pub health: ServerState,
    pub weight: u32,
    /// Where nobody has changed it, the same.
    pub configured_weight: u32,
    /// It gets connections only where none of the others is up.
    pub backup: bool,
    /// Open now.
    pub connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// How often it went up or down.
    pub transitions: u64,
    /// How much longer it is left alone because connections to it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    Up,
    Down,
    /// Nobody has asked it yet.
    Unknown,
    /// Connections to it failed.
    Ejected,
    /// An operator wants it to get none, and those that it has to end when they are idle.
    Draining,
    /// An operator wants it to get none, as if it were down.
    Disabled,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        })
    }
}

/// Who has said that it is a server of its upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerOrigin {
    /// The configuration's file, by its address.
    File,
    /// An operator, while the process runs.
    Operator,
    /// A name, of the file's or of an operator's.
    Dns,
}

/// A server that is to be one more of an upstream's, as in a file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// `IP:PORT`, `HOST:PORT` or `unix:/PATH`.
    #[schema(example = "10.0.0.7:5432")]
    pub address: String,
    /// Its share in proportion to the weights of the others; 1 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 256)]
    pub weight: Option<i64>,
    /// Whether it gets connections only where none of the others is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// Connections that it may have at once; any number unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub max_connections: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// What becomes of its connections: `keep`, `kill`, or `drain:TIME`; as its upstream's `on-change` says, unless said.
    #[serde(default, rename = "on-change", skip_serializing_if = "Option::is_none")]
    #[param(example = "drain:5m", pattern = "^(keep|kill|drain:.+)$")]
    pub on_change: Option<String>,
}

/// What is wanted of a server: one of the keys at least.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct ServerChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ServerMode>,
    /// In the place of the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 256)]
    pub weight: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerMode {
    /// It gets connections while it is up.
    Enabled,
    /// It gets none, and those that it has end when they are idle.
    Draining,
    /// It gets none, as if it were down: `on-down` says what becomes of those that it has.
    Disabled,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Filters {
    pub filters: Vec<Filter>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Filter {
    pub name: String,
    pub source: String,
    /// Of the stable generation.
    pub generation: u64,
    /// Those that somebody still has.
    pub generations: Vec<Generation>,
    /// How often each has happened to its generations.
    pub transitions: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    pub number: u64,
    pub digest: String,
    /// `stable`, `canary`, `previous`, `quarantined`, or `old`: of living connections alone.
    pub state: String,
    pub calls: u64,
    /// How long those have taken, as one in eight of them has.
    pub busy_us: u64,
    pub failures: u64,
    /// That began with it and have ended.
    pub connections: u64,
    pub shown_bytes: u64,
    pub skipped_bytes: u64,
    pub instances: u64,
    pub memory_bytes: u64,
}

/// What came of changing a filter's generations.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FilterChanged {
    /// New connections get another generation than before.
    pub changed: bool,
    pub filter: Filter,
}

/// Which connections are asked for.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConnectionsAsked {
    /// Of this listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// To this upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Of this address, or of this network: `10.0.0.1`, `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// With higher numbers than this: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// How many, 100 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}

/// A page of the connections that are open now, in the order of their numbers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Connections {
    pub connections: Vec<Connection>,
    /// Where the next page begins: its `after`. There is none where this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    pub id: u64,
    pub listener: String,
    /// Not on a unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    pub age_ms: u64,
    /// `accept`, `detect`, `route`, `connect`, `relay`.
    pub stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// From the choice of its upstream until a server had answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// The filters that it began with.
    pub filters: Vec<FilterGeneration>,
    /// From the client to the server, so far.
    pub up: Bytes,
    pub down: Bytes,
    /// Why it goes as it does, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FilterGeneration {
    pub filter: String,
    pub generation: u64,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// For the log and the access log: up to 256 characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub reason: Option<String>,
}

/// What clients may have, of one listener or of all together. What is left out is not limited.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub connections: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub connections_per_client: Option<i64>,
    /// New connections per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub rate: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4_294_967_295_i64)]
    pub rate_per_client: Option<i64>,
    /// How many leading bits of an IPv6 address are one client; 64 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 128)]
    pub ipv6_prefix: Option<i64>,
    /// What becomes of a new connection at a limit: `queue(TIME)`, `delay`, `fin` or `rst`; as in a file without it, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "queue(5s)", pattern = r"^(queue\(.+\)|delay|fin|rst)$")]
    pub at_limit: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitsInForce {
    pub limits: Limits,
    /// Where nobody has changed them, the same.
    pub configured: Limits,
}

/// Where a filter is to be loaded from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The absolute path of a file that the process may read, or `oci://HOST/REPOSITORY:TAG`.
    #[schema(example = "/etc/spliceway/filters/guard-2.wasm")]
    pub source: String,
    /// `sha256:` and 64 digits: what it has to have, and nothing else is loaded from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// error, warn, info, debug, trace, off, or directives such as `info,filter=debug`.
    #[schema(example = "info")]
    pub level: String,
}

#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReloadAsked {
    /// Whether to do nothing, and to say what would be done.
    #[serde(default, rename = "dry-run", skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// A configuration that lies in somebody's file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Its absolute path: relative paths in it start at its directory. It is not read.
    #[schema(example = "/etc/spliceway/new.toml", max_length = 4096)]
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What a reload has changed, or would change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// A line for each thing that is not as it was.
    pub changed: Vec<String>,
    /// What operators have changed, and stays as they have it.
    pub kept: Vec<String>,
    pub unchanged: Unchanged,
}

/// How many things stay as they are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Unchanged {
    pub filters: u64,
    pub upstreams: u64,
    pub listeners: u64,
}

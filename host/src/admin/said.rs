//! What is said over the admin interface, both ways.

mod overview;
mod trace;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use overview::{Ended, LogLine, Overview, Traffic, Worker};
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

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// error, warn, info, debug, trace, off, or directives such as `info,filter=debug`.
    #[schema(example = "info")]
    pub level: String,
}

/// What a reload has changed, a line for each.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    pub changed: Vec<String>,
}

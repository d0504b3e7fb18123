//! Everything at a glance, as the page and `spliceway top` show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Bytes, Connection, Filter, Listener, Status, Upstream};

/// The proxy at one moment. Counts only grow: who compares two of these has the rates between them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Since 1970.
    pub at_ms: u64,
    pub status: Status,
    pub traffic: Traffic,
    pub workers: Vec<Worker>,
    pub listeners: Vec<Listener>,
    /// With up to a thousand of their servers, those that are not up before the others.
    pub upstreams: Vec<Upstream>,
    pub servers: Servers,
    pub filters: Vec<Filter>,
    /// Of the connections that are open now, up to ten that have moved the most.
    pub biggest: Vec<Connection>,
    /// Of the connections that are open now, up to ten that have waited the longest for what they wait for, or did for their server.
    pub slowest: Vec<Connection>,
    /// Connections that have ended, the newest first: up to fifty.
    pub recent: Vec<Ended>,
    /// Lines of the log at `warn` and `error`, the newest first: up to fifty.
    pub errors: Vec<LogLine>,
}

/// Of all connections of the process, those that are open among them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    pub accepted: u64,
    pub up: Bytes,
    pub down: Bytes,
}

/// How many there are, of all upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Servers {
    pub all: u64,
    pub up: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// How late its timer came at the most in 99 of 100 seconds: it was busy, or had no processor.
    pub delay_us: u64,
    /// How long ago it was seen.
    pub silent_ms: u64,
    /// Pipes that it has lent to connections.
    pub pipes: u64,
}

/// A connection that is no more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    pub id: u64,
    /// Since 1970.
    pub at_ms: u64,
    pub listener: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    pub duration_ms: u64,
    /// Stage, cause, side.
    pub outcome: String,
    /// Both ends have said that they were done.
    pub ok: bool,
    pub up: Bytes,
    pub down: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Since 1970.
    pub at_ms: u64,
    /// `warn` or `error`.
    pub level: String,
    /// The message and its fields, as the log has them.
    pub text: String,
}

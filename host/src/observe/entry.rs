//! What the access log and the observers are told of a connection: plain data, made on a worker in no time and put into
//! words elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Moved;
use crate::config::LogField;
use crate::outcome::Outcome;
use crate::sys::{Peer, TcpInfo};

#[derive(Debug, Clone)]
pub struct Entry {
    pub event: Event,
    pub time: SystemTime,
    pub connection: u64,
    pub listener: Arc<str>,
    /// `None` on a unix socket.
    pub client: Option<SocketAddr>,
    pub upstream: Option<Arc<str>>,
    pub server: Option<Arc<Peer>>,
    pub up: Moved,
    pub down: Moved,
    /// From the choice of an upstream until a server had answered.
    pub connect: Option<Duration>,
    /// From then until the server's first byte.
    pub first_byte: Option<Duration>,
    /// Since the connection was accepted.
    pub duration: Duration,
    pub client_tcp: Option<TcpInfo>,
    pub upstream_tcp: Option<TcpInfo>,
    /// The route that it took.
    pub route: Option<String>,
    /// Why an operator ended it, where one did; empty where he has not said why.
    pub kill_reason: Option<String>,
    /// What has been found out of it.
    pub known: Vec<(LogField, String)>,
    /// What filters had to say: pairs of a key and a value as JSON.
    pub annotations: Vec<(String, serde_json::Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has been connected to its upstream.
    Open,
    /// It is still there.
    Alive,
    Close(Outcome),
}

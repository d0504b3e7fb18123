use std::net::SocketAddr;
use std::time::Duration;

use crate::{Attribute, Config, Value};

/// Hears how connections ended, in batches, off the data path. The configuration itself does: an observer has no state
/// that belongs to a connection.
pub trait Observer: Config {
    /// These have ended since the last call.
    fn on_closed(&self, batch: &[Closed]);
}

/// The bytes of one direction, by the way they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Through the proxy's buffer, seen by nobody.
    pub copied: u64,
    /// Through a pipe in the kernel.
    pub spliced: u64,
    /// Shown to a filter.
    pub filtered: u64,
}

impl Moved {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.copied + self.spliced + self.filtered
    }
}

/// A connection that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// [`Connection::id`](crate::Connection::id).
    pub connection: u64,
    /// The listener's name.
    pub listener: String,
    /// None on a unix socket.
    pub client: Option<SocketAddr>,
    /// None where none was chosen.
    pub upstream: Option<String>,
    /// None where none was reached.
    pub server: Option<SocketAddr>,
    /// Bytes from the client to the upstream.
    pub up: Moved,
    /// Bytes from the upstream to the client.
    pub down: Moved,
    /// From accept to close.
    pub duration: Duration,
    /// Stage, cause and side, as in the access log: "relay.idle-timeout.client", ...
    pub outcome: String,
    /// The filters' annotations.
    pub attributes: Vec<Attribute>,
}

impl Closed {
    /// The first attribute with this key.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .map(|attribute| &attribute.value)
    }
}

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Attribute, Config, Value};

/// Hears how connections ended, in batches, off the data path. The configuration itself does: an observer has no state
/// that belongs to a connection.
pub trait Observer: Config {
    /// These have ended since the last call.
    fn on_closed(&self, batch: &[Closed]);
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
    pub bytes_up: u64,
    /// Bytes from the upstream to the client.
    pub bytes_down: u64,
    /// From accept to close.
    pub duration: Duration,
    /// Stage, cause and side, as in the access log: "relay.idle-timeout.client", ...
    pub outcome: String,
    /// The filters' annotations, then the proxy's own: "copied-up", "spliced-up", ...
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

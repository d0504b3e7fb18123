use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Value;

/// A file of cases.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transcript {
    /// As it was named.
    pub file: PathBuf,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// One connection, and what should come of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Where in the file it begins, counted from 1.
    pub line: usize,
    /// Before anything is sent.
    pub given: Given,
    /// Who sends what, in order.
    pub play: Vec<Step>,
    /// What should come of it.
    pub expect: Expect,
    /// Whether it is played in pieces, too.
    pub cut: bool,
}

/// What a filter finds when a connection begins.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Given {
    /// The filter's configuration. Null where there is none.
    pub config: serde_json::Value,
    /// The client's address. None on a unix socket.
    pub client: Option<SocketAddr>,
    /// The address that the client connected to. None on a unix socket.
    pub local: Option<SocketAddr>,
    /// The listener's name.
    pub listener: String,
    /// What the proxy, or an earlier filter, knows of the connection.
    pub attributes: BTreeMap<String, Value>,
    /// Upstreams by their names. Where there are none, a router may choose any name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// The listener has certificates, so that a router can have TLS begin.
    pub tls: bool,
    /// How many entries the filter's store has room for.
    pub store: usize,
}

/// An upstream, as a filter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upstream {
    /// How many servers it has.
    pub servers: u32,
    /// How many of them are healthy.
    pub healthy: u32,
}

/// Something that happens to the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Bytes arrive.
    Bytes(Direction, Vec<u8>),
    /// The peer that sends in this direction has finished.
    Finish(Direction),
    /// The time for choosing an upstream is over.
    TimeOut,
    /// The proxy holds no more bytes for the choice of an upstream.
    Full,
    /// Time passes.
    Wait(Duration),
    /// An observer hears of these.
    Closed(Vec<Closed>),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// A connection that has ended, as an observer hears of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Closed {
    /// Its number.
    pub connection: u64,
    /// The listener's name: the given one, unless the step names another.
    pub listener: String,
    /// The client's address: the given one, unless the step names another.
    pub client: Option<SocketAddr>,
    /// None where none was chosen.
    pub upstream: Option<String>,
    /// None where none was reached.
    pub server: Option<SocketAddr>,
    /// From the client to the upstream.
    pub up: Moved,
    /// From the upstream to the client.
    pub down: Moved,
    /// From accept to close.
    pub duration: Duration,
    /// As in the access log: "relay.finished.client".
    pub outcome: String,
    /// None where the step names none: then they are what the filter has annotated in this case.
    pub attributes: Option<BTreeMap<String, Value>>,
}

/// The bytes of one direction, by the way they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Through the proxy's buffer.
    pub copied: u64,
    /// Through the kernel.
    pub spliced: u64,
    /// Shown to a filter.
    pub filtered: u64,
}

/// What should come of a case. What is `None` or empty is not checked, except that a connection that should not be refused
/// must not be.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Expect {
    /// A router chooses this one.
    pub upstream: Option<String>,
    /// With these options, and perhaps others.
    pub options: BTreeMap<String, Value>,
    /// The router leaves the choice to the configuration.
    pub passes: bool,
    /// The router still needs bytes when the play is over.
    pub waits: bool,
    /// The connection is refused, with this in the reason.
    pub refused: Option<String>,
    /// How a refused connection is closed.
    pub ending: Option<Ending>,
    /// What a refused client is told: all of it.
    pub reply: Option<Vec<u8>>,
    /// All that the upstream receives. Of a connection that is refused: the most that goes on before, over all the ways in
    /// which the bytes may come. With other cuts it may be less, from the beginning of the same.
    pub upstream_receives: Option<Vec<u8>>,
    /// Likewise, all that the client receives, without the reply of a refusal.
    pub client_receives: Option<Vec<u8>>,
    /// These, and perhaps others.
    pub annotations: BTreeMap<String, Value>,
    /// By how much these have changed.
    pub metrics: BTreeMap<String, f64>,
    /// Each stands in a record, or in one of its fields as "key=value".
    pub logs: Vec<String>,
    /// At the most so many bytes are shown to inspectors and transformers.
    pub sees: PerDirection<Option<u64>>,
    /// In these directions the filter no longer watches.
    pub detached: Vec<Direction>,
    /// The filter refuses its configuration, with this in the reason.
    pub config_refused: Option<String>,
}

/// How a refused connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN, after what was already forwarded.
    Graceful,
    /// RST.
    Reset,
}

/// One for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerDirection<T> {
    /// From the client to the upstream.
    pub up: T,
    /// From the upstream to the client.
    pub down: T,
}

impl<T> PerDirection<T> {
    /// The one of this direction.
    pub fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The one of this direction, to change it.
    pub fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Up, Self::Down];

    /// As transcripts write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Default for Given {
    fn default() -> Self {
        Self {
            config: serde_json::Value::Null,
            client: Some(SocketAddr::from(([192, 0, 2, 1], 40000))),
            local: Some(SocketAddr::from(([198, 51, 100, 1], 443))),
            listener: "test".to_owned(),
            attributes: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            tls: false,
            store: 1024,
        }
    }
}

//! What is noted of a connection on its way, for who asks later why it went as it did: as little as cannot be found out then.

use std::sync::Arc;
use std::time::Instant;

use crate::protocol::Protocol;
use crate::proxy_header::Proxied;
use crate::sys::Peer;
use crate::tls::Established;

/// The most that is noted of one connection: more limits, routers and servers than are on any one's way.
pub(super) const MOST: usize = 32;

/// What is kept of what a server that did not answer, or the kernel, has said.
const LONGEST_ERROR: usize = 160;

/// Names that a client offers of ALPN: browsers offer two, and a stranger may offer thousands.
const MOST_OFFERED: usize = 16;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doing {
    /// For nothing that would be told.
    #[default]
    Nothing,
    /// For one of its listener's limits.
    Limit(u8),
    /// For its client's first bytes, of which there are so many.
    FirstBytes(u32),
    /// For its client, in the handshake of TLS.
    Handshake,
    /// For what one of its filters, a router, wants to see; so many bytes are there.
    Router { filter: u8, seen: u32 },
    /// For its client to say something, before a server is connected to.
    Client,
    /// For a place at a server.
    Place,
    /// For a server's answer; the how manieth that is tried.
    Server(u8),
}

/// By what its server was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// As the upstream balances.
    #[default]
    Balance,
    /// Where it was to go before it was led here.
    Destination,
    /// By its client's address.
    Client,
    /// By a key that a filter has given.
    Key,
    /// By its name, which a filter has given.
    Named,
}

#[derive(Debug, Clone)]
pub enum Note {
    /// It waited for one of its listener's limits.
    Waited {
        limit: u8,
        micros: u32,
    },
    Looked(Box<Looked>),
    Asked(Asked),
    Tried(Box<Tried>),
}

/// What was found out before its route was chosen: what its routes were asked with.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Bytes of the client's.
    pub seen: u32,
    /// From when something was waited for until the route was known.
    pub micros: u32,
    /// The same of the handshake, where there was one.
    pub handshake: Option<u32>,
    pub protocol: Option<Protocol>,
    pub tls: Began,
    /// Where routes ask for what the PROXY header says.
    pub proxied: Option<Arc<Proxied>>,
    /// The route that matched.
    pub route: Option<u32>,
    /// There would have been no more bytes...
    pub over: bool,
    /// ... because the client's time was over.
    pub late: bool,
}

/// Whether it began with TLS.
#[derive(Debug, Clone)]
pub enum Began {
    /// That cannot be told of what was seen.
    Unknown,
    Absent,
    /// It did, and it was not decrypted.
    Hello {
        name: Option<Box<str>>,
        offered: Box<[String]>,
    },
    Established(Arc<Established>),
}

/// What a router answered at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its place among the connection's filters.
    pub filter: u8,
    pub answer: Answer,
    /// Exchanges that it had with the client.
    pub exchanges: u8,
    /// With what was waited for.
    pub micros: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has no opinion.
    Passed,
    /// It wanted to see more than came.
    TooLittle,
    /// It chose the upstream.
    Chose,
    /// It failed, and the connection went on.
    Failed,
}

/// A server that did not answer.
#[derive(Debug, Clone)]
pub struct Tried {
    pub server: Arc<Peer>,
    pub micros: u32,
    pub error: Box<str>,
}

impl Began {
    pub fn with_hello(name: Option<&str>, offered: &[String]) -> Self {
        Self::Hello {
            name: name.map(Into::into),
            offered: offered.iter().take(MOST_OFFERED).cloned().collect(),
        }
    }
}

impl Tried {
    pub fn new(server: &Arc<Peer>, began: Option<Instant>, error: &std::io::Error) -> Self {
        let mut error = error.to_string();
        error.truncate(error.floor_char_boundary(LONGEST_ERROR));
        Self {
            server: Arc::clone(server),
            micros: micros_since(began),
            error: error.into(),
        }
    }
}

/// More than an hour is an hour.
pub fn micros_since(began: Option<Instant>) -> u32 {
    began.map_or(0, |began| began.elapsed().as_micros().try_into().unwrap_or(u32::MAX))
}

//! What a worker tells a recorder of a connection, in the order in which it happened.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::CaptureLegs;
use crate::flow::Side;

/// The bytes that one of both channels receives, or sends: what its peer means, where TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    FromClient,
    ToClient,
    FromUpstream,
    ToUpstream,
}

/// Something has happened to a connection that is captured.
#[derive(Debug)]
pub struct Event {
    /// Of the capture of one connection: no two of a process have the same.
    pub flow: u64,
    /// Since 1970.
    pub time: Duration,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    Began(Box<Began>),
    Bytes {
        stream: Stream,
        /// So many bytes of the stream were before them, since it began to be recorded.
        at: u64,
        /// How many there were.
        length: usize,
        /// Those that are kept of them, the first ones.
        kept: Box<[u8]>,
    },
    /// FIN, or what TLS has in its place.
    Finished(Stream),
    Reset(Stream),
    /// The capture of the connection is over: how that came about, and how many bytes each stream had by then, as far as that is
    /// known.
    Over {
        how: Box<str>,
        at: [u64; 4],
    },
}

/// How the capture of a connection begins.
#[derive(Debug, Clone)]
pub struct Began {
    pub connection: u64,
    pub legs: CaptureLegs,
    pub client: Leg,
    /// `None` where it never had a server.
    pub upstream: Option<Leg>,
    /// So many bytes of each stream were before it, in the order of [`Stream`].
    pub at: [u64; 4],
    /// What is known of the connection, for people.
    pub about: Box<str>,
}

/// One of a connection's sockets.
#[derive(Debug, Clone)]
pub struct Leg {
    /// When it was there, since 1970; or when the capture began, where that was later.
    pub time: Duration,
    /// Who has connected, and to whom. `None` on a unix socket.
    pub addresses: [Option<SocketAddr>; 2],
}

impl Stream {
    pub const ALL: [Self; 4] = [Self::FromClient, Self::ToClient, Self::FromUpstream, Self::ToUpstream];

    pub fn received_from(side: Side) -> Self {
        match side {
            Side::Client => Self::FromClient,
            Side::Upstream => Self::FromUpstream,
        }
    }

    pub fn sent_to(side: Side) -> Self {
        match side {
            Side::Client => Self::ToClient,
            Side::Upstream => Self::ToUpstream,
        }
    }

    pub fn side(self) -> Side {
        match self {
            Self::FromClient | Self::ToClient => Side::Client,
            Self::FromUpstream | Self::ToUpstream => Side::Upstream,
        }
    }

    pub fn is_received(self) -> bool {
        matches!(self, Self::FromClient | Self::FromUpstream)
    }

    /// Whether a capture of these legs has it.
    pub fn is_of(self, legs: CaptureLegs) -> bool {
        match legs {
            CaptureLegs::Both => true,
            CaptureLegs::Client => self.side() == Side::Client,
            CaptureLegs::Upstream => self.side() == Side::Upstream,
            CaptureLegs::Filtered => !self.is_received(),
        }
    }
}

impl Event {
    /// What it takes of memory, about.
    pub fn weight(&self) -> usize {
        const ITSELF: usize = 160;
        ITSELF
            + match &self.what {
                What::Began(began) => began.about.len() + size_of::<Began>(),
                What::Bytes { kept, .. } => kept.len(),
                What::Over { how, .. } => how.len(),
                What::Finished(_) | What::Reset(_) => 0,
            }
    }
}

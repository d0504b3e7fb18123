/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// Which directions a session wants to see. The others are never shown to it, and may be spliced from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// What the client sends.
    Up,
    /// What the upstream sends.
    Down,
    /// Everything.
    Both,
    /// Nothing: the connection goes its way unseen.
    Neither,
}

impl Directions {
    /// Whether this direction is one of them.
    pub fn contains(self, direction: Direction) -> bool {
        match direction {
            Direction::Up => matches!(self, Self::Up | Self::Both),
            Direction::Down => matches!(self, Self::Down | Self::Both),
        }
    }
}

/// Bytes of one direction, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk {
    /// The way they go.
    pub direction: Direction,
    /// At most 16 KiB, or what an inspector held and what came after.
    pub bytes: Vec<u8>,
    /// True once, in the last chunk of a direction, which may be empty.
    pub finished: bool,
}

impl Chunk {
    pub(crate) fn new(direction: Direction, bytes: Vec<u8>, finished: bool) -> Self {
        Self {
            direction,
            bytes,
            finished,
        }
    }
}

/// Why, and how, a filter closes a connection. A plain string makes a graceful one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the access log, not for the peer. The host keeps the first 256 bytes.
    pub reason: String,
    /// How the peers see it.
    pub ending: Ending,
    /// For the client, in its own protocol, behind what was forwarded to it already. Up to 4 KiB; none goes with a reset.
    pub reply: Vec<u8>,
}

impl Refusal {
    /// Closes with a FIN, after what was already forwarded.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ending: Ending::Graceful,
            reply: Vec::new(),
        }
    }

    /// Tells the client before the FIN, in its own protocol.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Vec<u8>>) -> Self {
        self.reply = reply.into();
        self
    }

    /// Closes with an RST.
    pub fn reset(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ending: Ending::Reset,
            reply: Vec::new(),
        }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

/// How a refused connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// FIN, after what was already forwarded.
    Graceful,
    /// RST.
    Reset,
}

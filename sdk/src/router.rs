use crate::{Attribute, Config, Connection, Refusal, Value};

/// Chooses an upstream. The configuration itself does: a router has no other state, and what it needs to know about a
/// connection is in the window. After its decision the proxy moves the bytes without it.
pub trait Router: Config {
    /// Asked before an upstream is chosen, again when the bytes that it needs have come, and after each exchange.
    fn route(&self, window: &Window, connection: &Connection) -> Decision;
}

/// What the client has sent, and what is known about more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// Not yet forwarded. Looking consumes nothing; only an exchange does.
    pub bytes: Vec<u8>,
    /// How many exchanges this router has had with the client.
    pub round: u32,
    /// The client has finished sending.
    pub finished: bool,
    /// The time for choosing is over.
    pub timed_out: bool,
    /// The proxy holds no more bytes than these.
    pub full: bool,
}

impl Window {
    /// There will be no more bytes: asking for more is taken as [`Decision::Pass`].
    pub fn is_last(&self) -> bool {
        self.finished || self.timed_out || self.full
    }
}

/// What a router answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No opinion: the next router decides, or the configuration.
    Pass,
    /// Ask again when so many more bytes came, or when there will be no more.
    Need(usize),
    /// Talk to the client before there is an upstream, and be asked again. The proxy allows 16 of these.
    Exchange {
        /// Drop so many bytes from the front of the window.
        consume: usize,
        /// Send these.
        reply: Vec<u8>,
    },
    /// Go there.
    Route(Choice),
    /// Close the connection.
    Refuse(Refusal),
}

impl Decision {
    /// Goes to the upstream of this name, without options.
    pub fn route(upstream: impl Into<String>) -> Self {
        Self::Route(Choice::new(upstream))
    }

    /// Drops `consume` bytes from the front of the window and sends `reply`.
    pub fn exchange(consume: usize, reply: impl Into<Vec<u8>>) -> Self {
        Self::Exchange {
            consume,
            reply: reply.into(),
        }
    }

    /// Closes the connection. The reason is for the access log.
    pub fn refuse(refusal: impl Into<Refusal>) -> Self {
        Self::Refuse(refusal.into())
    }
}

impl From<Choice> for Decision {
    fn from(choice: Choice) -> Self {
        Self::Route(choice)
    }
}

/// An upstream, and how to go there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The name of an upstream of the configuration. Any other is an error of the filter.
    pub upstream: String,
    /// What [`option`](Self::option) added.
    pub options: Vec<Attribute>,
}

impl Choice {
    /// Without options.
    pub fn new(upstream: impl Into<String>) -> Self {
        Self {
            upstream: upstream.into(),
            options: Vec::new(),
        }
    }

    /// What this connection is to have otherwise than its listener and its upstream say.
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `connect-timeout-ms`, `first-byte-timeout-ms`, `idle-timeout-ms`, `half-closed-timeout-ms`, `stall-timeout-ms`, `lifetime-ms` | whole milliseconds; 0 is none |
    /// | `hash-key` | any: connections with the same value go to the same server, where the upstream balances by hashing |
    /// | `treatment` | text: what is done to its bytes, as a configuration file has it: `{ bandwidth = { down = "1MiB/s", per = "key" } }` |
    /// | `mirror` | the name of an upstream that is sent a copy of what goes up |
    /// | `treatment-key` | any: connections with the same value share what is `per = "key"` |
    /// | `server` | the address of a server, which is taken while it is up and has room |
    ///
    /// The proxy ignores a key that it does not know.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.options.push(Attribute::new(key, value));
        self
    }
}

//! How a connection ended.

use std::fmt;
use std::io;

use crate::flow::Side;

/// Where, why and through whom: `relay.finished.client`, `connect.refused.upstream`. The same words everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    pub stage: Stage,
    pub cause: Cause,
    /// `None` is the proxy itself: a timeout of both, a shutdown.
    pub side: Option<Side>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Accept,
    ProxyHeader,
    /// While it was found out what it is.
    Detect,
    /// In the handshake with the client.
    Tls,
    Route,
    Connect,
    Relay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// There were too many connections.
    Limited,
    /// Both peers finished, and everything was delivered. The side is the one that finished first.
    Finished,
    Reset,
    Refused,
    Timeout,
    /// The upstream said nothing for too long.
    FirstByteTimeout,
    IdleTimeout,
    /// One side had finished, and the other was silent.
    HalfClosedTimeout,
    /// The side took nothing of what it was owed.
    Stalled,
    LifetimeOver,
    /// It was idle while the process was about to end.
    Drained,
    /// It was still there when the process had to end.
    DrainOver,
    Unreachable,
    /// Who sent it may not say who the client is.
    Untrusted,
    /// It began with something else than the protocol wants.
    Malformed,
    /// What it began with is longer than is looked at.
    TooLong,
    /// There is no certificate for the name that it asked for.
    UnknownName,
    /// It could not be spoken to in TLS, or broke its rules.
    TlsFailed,
    /// It ended in the middle: without the `close_notify` that TLS wants (RFC 8446, section 6.1), or of a handshake.
    Truncated,
    /// A route refused it.
    RouteRefused,
    /// A filter refused it.
    FilterRefused,
    /// A filter failed, and its policy is to close.
    FilterFailed,
    /// Neither a filter nor a route chose an upstream, and the listener names none.
    NoUpstream,
    /// It goes to where it was on its way, and that is not known: it was not led here.
    NoDestination,
    /// It goes to where it was on its way, and its upstream does not allow that.
    NotAllowed,
    /// It comes from ourselves, or would come back to us.
    Loop,
    /// There is no address to connect from: the client has none, or one of another family than the server's; or no port is left.
    NoSource,
    /// None of the upstream's servers is up.
    NoServer,
    /// Its server went down, and the upstream's connections do not stay then.
    ServerDown,
    /// Its listener or its route was changed or removed by a reload, and the connections do not stay then.
    Reconfigured,
    /// It had as many bytes as it may have, or there were as many connections, for now.
    QuotaOver,
    /// An operator asked for a fault, which ended it.
    Fault,
    /// An operator ended it.
    Killed,
    /// The process stopped.
    Interrupted,
    /// A mistake of ours: its task panicked.
    Panicked,
    /// Anything else that the kernel says.
    Error,
}

impl Cause {
    /// What the kernel says of a peer that failed.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            // EPIPE is what is left of a reset that an earlier call has reported.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            // Records that cannot be decrypted, and alerts.
            io::ErrorKind::InvalidData => Self::TlsFailed,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            _ => Self::Error,
        }
    }
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::ProxyHeader => "proxy-header",
            Self::Detect => "detect",
            Self::Tls => "tls",
            Self::Route => "route",
            Self::Connect => "connect",
            Self::Relay => "relay",
        }
    }
}

impl Outcome {
    pub fn new(stage: Stage, cause: Cause, side: impl Into<Option<Side>>) -> Self {
        Self {
            stage,
            cause,
            side: side.into(),
        }
    }

    /// Whether both peers had finished, and everything was delivered.
    pub fn is_finished(self) -> bool {
        self.cause == Cause::Finished
    }

    /// Whether it was the end of the process that ended the connection, and the connection was not idle.
    pub fn is_cut_off(self) -> bool {
        matches!(self.cause, Cause::DrainOver | Cause::Interrupted)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.stage.name();
        let cause = match self.cause {
            Cause::Limited => "limited",
            Cause::Finished => "finished",
            Cause::Reset => "reset",
            Cause::Refused => "refused",
            Cause::Timeout => "timeout",
            Cause::FirstByteTimeout => "first-byte-timeout",
            Cause::IdleTimeout => "idle-timeout",
            Cause::HalfClosedTimeout => "half-closed-timeout",
            Cause::Stalled => "stalled",
            Cause::LifetimeOver => "lifetime-over",
            Cause::Drained => "drained",
            Cause::DrainOver => "drain-over",
            Cause::Unreachable => "unreachable",
            Cause::Untrusted => "untrusted",
            Cause::Malformed => "malformed",
            Cause::TooLong => "too-long",
            Cause::UnknownName => "unknown-name",
            Cause::TlsFailed => "tls-failed",
            Cause::Truncated => "truncated",
            Cause::RouteRefused => "route-refused",
            Cause::FilterRefused => "filter-refused",
            Cause::FilterFailed => "filter-failed",
            Cause::NoUpstream => "no-upstream",
            Cause::NoDestination => "no-destination",
            Cause::NotAllowed => "not-allowed",
            Cause::Loop => "loop",
            Cause::NoSource => "no-source",
            Cause::NoServer => "no-server",
            Cause::ServerDown => "server-down",
            Cause::Reconfigured => "reconfigured",
            Cause::QuotaOver => "quota-over",
            Cause::Fault => "fault",
            Cause::Killed => "killed",
            Cause::Interrupted => "interrupted",
            Cause::Panicked => "panicked",
            Cause::Error => "error",
        };
        match self.side {
            Some(side) => write!(f, "{stage}.{cause}.{side}"),
            None => write!(f, "{stage}.{cause}.proxy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_names_stage_cause_and_side() {
        let finished = Outcome::new(Stage::Relay, Cause::Finished, Side::Client);
        assert_eq!(finished.to_string(), "relay.finished.client");
        let idle = Outcome::new(Stage::Relay, Cause::IdleTimeout, None);
        assert_eq!(idle.to_string(), "relay.idle-timeout.proxy");
    }
}

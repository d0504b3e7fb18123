//! How a connection ended, and the one place where that is recorded.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Accepted, Routed};
use crate::filter::{Attribute, Closed, Facts, Value};
use crate::flow::Side;
use crate::listener::Listener;
use crate::observe::Moved;
use crate::relay::Transfer;
use crate::sys::Peer;
use crate::upstream::Connected;

/// Where, why and through whom: `relay.finished.client`, `connect.refused.upstream`. The same words everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub stage: Stage,
    pub cause: Cause,
    /// `None` is the proxy itself: a timeout of both, a shutdown.
    pub side: Option<Side>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Route,
    Connect,
    Relay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Both peers finished, and everything was delivered. The side is the one that finished first.
    Finished,
    Reset,
    Refused,
    Timeout,
    IdleTimeout,
    Unreachable,
    /// A filter refused it.
    FilterRefused,
    /// A filter failed, and its policy is to close.
    FilterFailed,
    /// No filter chose an upstream, and the listener names none.
    NoUpstream,
    /// The process stopped, or the connection's task did.
    Interrupted,
    /// Anything else that the kernel says.
    Error,
}

impl Outcome {
    pub fn new(stage: Stage, cause: Cause, side: impl Into<Option<Side>>) -> Self {
        Self {
            stage,
            cause,
            side: side.into(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Route => "route",
            Stage::Connect => "connect",
            Stage::Relay => "relay",
        };
        let cause = match self.cause {
            Cause::Finished => "finished",
            Cause::Reset => "reset",
            Cause::Refused => "refused",
            Cause::Timeout => "timeout",
            Cause::IdleTimeout => "idle-timeout",
            Cause::Unreachable => "unreachable",
            Cause::FilterRefused => "filter-refused",
            Cause::FilterFailed => "filter-failed",
            Cause::NoUpstream => "no-upstream",
            Cause::Interrupted => "interrupted",
            Cause::Error => "error",
        };
        match self.side {
            Some(side) => write!(f, "{stage}.{cause}.{side}"),
            None => write!(f, "{stage}.{cause}.proxy"),
        }
    }
}

/// What is known of a connection so far. It is recorded when this is dropped, so exactly once, whatever happens.
pub(super) struct Record {
    id: u64,
    listener: Arc<Listener>,
    client: Option<SocketAddr>,
    started: Instant,
    observed: bool,
    facts: Option<Arc<Facts>>,
    upstream: Option<Arc<str>>,
    server: Option<Arc<Peer>>,
    up: Moved,
    down: Moved,
    outcome: Outcome,
}

impl Record {
    pub(super) fn of(accepted: &Accepted) -> Self {
        Self {
            id: accepted.id,
            listener: Arc::clone(&accepted.listener),
            client: accepted.client,
            started: accepted.started,
            observed: accepted.generations.iter().any(|generation| generation.is_observer()),
            facts: accepted.facts.clone(),
            upstream: None,
            server: None,
            up: Moved::default(),
            down: Moved::default(),
            outcome: Outcome::new(Stage::Route, Cause::Interrupted, None),
        }
    }

    pub(super) fn routed(&mut self, routed: &Routed) {
        self.outcome.stage = Stage::Connect;
        self.upstream = Some(Arc::clone(routed.upstream.name()));
    }

    pub(super) fn connected(&mut self, connected: &Connected) {
        self.outcome.stage = Stage::Relay;
        self.server = Some(Arc::clone(&connected.server));
    }

    pub(super) fn transferred(&mut self, transfer: &Transfer) {
        self.up = transfer.up;
        self.down = transfer.down;
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    fn log(&self) {
        tracing::debug!(
            connection = self.id,
            listener = %self.listener.name,
            client = self.client.map(tracing::field::display),
            upstream = self.upstream.as_deref(),
            server = self.server.as_ref().map(tracing::field::display),
            outcome = %self.outcome,
            duration_us = self.started.elapsed().as_micros(),
            up_copied = self.up.copied,
            up_spliced = self.up.spliced,
            up_filtered = self.up.filtered,
            down_copied = self.down.copied,
            down_spliced = self.down.spliced,
            down_filtered = self.down.filtered,
            "connection ended"
        );
    }

    fn closed(&self) -> Closed {
        let server = match self.server.as_deref() {
            Some(Peer::Tcp(address)) => Some(*address),
            Some(Peer::Unix(_)) | None => None,
        };
        let annotations = self.facts.as_ref().map(|facts| facts.annotations());
        let mut attributes = annotations.unwrap_or_default();
        let ways = [
            ("copied-up", self.up.copied),
            ("spliced-up", self.up.spliced),
            ("filtered-up", self.up.filtered),
            ("copied-down", self.down.copied),
            ("spliced-down", self.down.spliced),
            ("filtered-down", self.down.filtered),
        ];
        let used = ways.into_iter().filter(|(_, bytes)| *bytes > 0);
        attributes.extend(used.map(|(key, bytes)| Attribute {
            key: key.to_owned(),
            value: Value::Integer(bytes as i64),
        }));
        Closed {
            connection: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client,
            upstream: self.upstream.clone(),
            server,
            bytes_up: self.up.total(),
            bytes_down: self.down.total(),
            duration: self.started.elapsed(),
            outcome: self.outcome.to_string(),
            attributes,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.log();
        self.listener.counters.ended(self.up, self.down);
        if let (true, Some(observers)) = (self.observed, &self.listener.observers) {
            observers.closed(&self.listener.filters, self.closed());
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

//! Dials the servers of an upstream until one answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Counted, Upstream};
use crate::connection::{Cause, Outcome, Routed, Stage};
use crate::flow::Side;
use crate::sys::{self, Peer, Stream};

/// A connection with both of its sockets, made from [`Routed`] alone.
pub struct Connected {
    pub routed: Routed,
    pub socket: Stream,
    pub server: Arc<Peer>,
    _counted: Counted,
}

/// Connects to the server whose turn it is, and to the next where it does not answer: no byte of the client's has been
/// written yet, so nothing can arrive twice. One timeout covers all of it.
///
/// # Errors
/// The outcome of the connection: no server answered.
pub async fn connect(routed: Routed) -> Result<Connected, Outcome> {
    let upstream = &routed.upstream;
    let counted = upstream.count();
    let dialled = within(routed.timeouts.connect, dial(upstream)).await;
    match dialled {
        Ok((socket, server)) => Ok(Connected {
            routed,
            socket,
            server,
            _counted: counted,
        }),
        Err(error) => {
            tracing::debug!(upstream = %upstream.name(), %error, "no server answered");
            Err(Outcome::new(Stage::Connect, cause(&error), Side::Upstream))
        }
    }
}

async fn dial(upstream: &Upstream) -> io::Result<(Stream, Arc<Peer>)> {
    let mut last = None;
    for address in upstream.in_turn().flat_map(|server| &server.addresses) {
        match sys::connect(address).await {
            Ok(socket) => return Ok((socket, Arc::clone(address))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::TimedOut => Cause::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Cause::Unreachable,
        io::ErrorKind::ConnectionReset => Cause::Reset,
        _ => Cause::Error,
    }
}

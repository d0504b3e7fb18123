//! Dials the servers of an upstream until one answers.

use std::io;
use std::sync::Arc;

use super::{Counted, Upstream};
use crate::connection::{Cause, Outcome, Routed, Stage};
use crate::flow::Side;
use crate::linger;
use crate::sys::{self, Peer, Stream};
use crate::worker::{Elapsed, Worker};

/// A connection with both of its sockets, made from [`Routed`] alone.
pub struct Connected {
    pub routed: Routed,
    pub socket: Stream,
    pub server: Arc<Peer>,
    _counted: Counted,
}

/// Connects to the server whose turn it is, and to the next where it does not answer: no byte of the client's has been
/// written yet, so nothing can arrive twice. One timeout covers all of it. A client that finishes meanwhile may have sent all
/// that it has to say; one that resets the connection wants none any more.
///
/// # Errors
/// The outcome of the connection: no server answered, or the client is gone.
pub async fn connect(worker: &Worker, routed: Routed) -> Result<Connected, Outcome> {
    let upstream = &routed.upstream;
    let counted = upstream.count();
    let dialled = tokio::select! {
        dialled = worker.timers().within(routed.timeouts.connect, dial(upstream)) => dialled,
        error = routed.client.failed() => {
            return Err(Outcome::new(Stage::Connect, Cause::of(&error), Side::Client));
        }
    };
    match dialled.unwrap_or_else(|Elapsed| Err(io::ErrorKind::TimedOut.into())) {
        Ok((socket, server)) => Ok(Connected {
            routed,
            socket,
            server,
            _counted: counted,
        }),
        Err(error) => {
            tracing::debug!(upstream = %upstream.name(), %error, "no server answered");
            let cause = Cause::of(&error);
            match cause {
                // It had accepted, and took that back before we saw it: an empty answer would be another story.
                Cause::Reset => routed.client.reset_on_close(),
                _ => linger::end(worker, &routed.client).await,
            }
            Err(Outcome::new(Stage::Connect, cause, Side::Upstream))
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

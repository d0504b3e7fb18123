//! The stage of a connection's journey at which its client becomes known.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{Ends, Header, Parsed, Proxied, parse};
use crate::connection::{Accepted, Cause, Outcome, Stage};
use crate::filter::Attributes;
use crate::flow::Side;
use crate::sys::{Stream, canonical};
use crate::worker::{Elapsed, Worker};

/// A client of which is known who it is: that it is the one who has connected, or the one for whom a proxy came. Made here
/// alone, from [`Accepted`].
pub struct Identified(pub Box<Accepted>);

impl Identified {
    /// On a listener where nobody comes for others.
    pub fn as_accepted(accepted: Box<Accepted>) -> Self {
        Self(accepted)
    }

    fn by(header: Header, mut accepted: Box<Accepted>) -> Self {
        let peer = accepted.client;
        let local = match header.ends {
            Ends::OfTheSockets if header.tlvs.is_empty() => return Self(accepted),
            Ends::OfTheSockets => accepted.socket.local(),
            Ends::Tcp { source, destination } => {
                accepted.client = Some(canonical(source));
                Some(canonical(destination))
            }
            Ends::Unix => {
                accepted.client = None;
                None
            }
        };
        let proxied = Arc::new(Proxied {
            peer,
            local,
            tlvs: header.tlvs,
        });
        if let Some(facts) = &mut accepted.facts {
            let known = Arc::clone(&proxied) as Arc<dyn Attributes>;
            *facts = Arc::new(facts.of_client(accepted.client, local, known));
        }
        accepted.proxied = Some(proxied);
        Self(accepted)
    }
}

/// Finds out who the client is, on a listener that expects a header. A header is read from those alone who are trusted; where
/// it is required, all others are turned away.
///
/// # Errors
/// The outcome of the connection: there was no header, or none that can be believed. It ends with RST, so that whoever
/// configured the sender notices.
pub async fn identify(worker: &Worker, accepted: Box<Accepted>) -> Result<Identified, Outcome> {
    let listener = Arc::clone(&accepted.listener);
    let Some(protocol) = &listener.proxy_protocol else {
        return Ok(Identified::as_accepted(accepted));
    };
    if !protocol.trusted.contains(accepted.client.map(|client| client.ip())) {
        return match protocol.required {
            true => Err(turn_away(&accepted, Cause::Untrusted)),
            false => Ok(Identified::as_accepted(accepted)),
        };
    }
    let mut looked_at = 0;
    let looking = poll_fn(|cx| poll_look(cx, worker, accepted.socket.stream(), protocol.longest, &mut looked_at));
    let look = worker.timers().within(Some(protocol.timeout), looking).await;
    let said_nothing = looked_at == 0;
    match look {
        Ok(Ok(Look::Header(header))) => Ok(Identified::by(header, accepted)),
        // Where no header is needed, one that does not come is none: a client may wait for the server to speak first.
        Ok(Ok(Look::End)) | Err(Elapsed) if !protocol.required && said_nothing => Ok(Identified::as_accepted(accepted)),
        Ok(Ok(Look::Absent)) if !protocol.required => Ok(Identified::as_accepted(accepted)),
        Ok(Ok(Look::Absent)) => Err(malformed(&accepted, "it is none")),
        // Somebody looked whether the port is open.
        Ok(Ok(Look::End)) if said_nothing => Err(outcome(Cause::Finished)),
        Ok(Ok(Look::End)) => Err(malformed(&accepted, "it is cut off")),
        Ok(Ok(Look::Bad(reason))) => Err(malformed(&accepted, reason)),
        Ok(Err(error)) => Err(outcome(Cause::of(&error))),
        Err(Elapsed) => Err(turn_away(&accepted, Cause::Timeout)),
    }
}

/// What the first bytes of a connection have turned out to be.
enum Look {
    Header(Header),
    Absent,
    /// There will be no more bytes than those that were looked at.
    End,
    Bad(&'static str),
}

/// Looks at what has come, and takes it if it is a header. Bytes behind it are left where they are.
fn poll_look(
    cx: &mut Context<'_>,
    worker: &Worker,
    socket: &Stream,
    longest: usize,
    looked_at: &mut usize,
) -> Poll<io::Result<Look>> {
    let mut buffer = worker.buffer();
    let room = longest.min(buffer.len());
    loop {
        let (there, is_all) = ready!(socket.poll_peek(cx, &mut buffer[..room], *looked_at))?;
        *looked_at = there;
        let look = match parse(&buffer[..there], longest) {
            Parsed::NeedMore if is_all => Look::End,
            Parsed::NeedMore => continue,
            Parsed::Header { header, length } => {
                socket.take(&mut buffer[..length])?;
                Look::Header(header)
            }
            Parsed::Absent => Look::Absent,
            Parsed::Bad(reason) => Look::Bad(reason),
        };
        return Poll::Ready(Ok(look));
    }
}

fn malformed(accepted: &Accepted, reason: &'static str) -> Outcome {
    let client = accepted.client.map(|client| client.to_string());
    tracing::debug!(connection = accepted.id, client, reason, "malformed PROXY header");
    turn_away(accepted, Cause::Malformed)
}

fn turn_away(accepted: &Accepted, cause: Cause) -> Outcome {
    accepted.socket.reset_on_close();
    outcome(cause)
}

fn outcome(cause: Cause) -> Outcome {
    Outcome::new(Stage::ProxyHeader, cause, Side::Client)
}

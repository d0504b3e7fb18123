//! Dials the servers of an upstream until one answers.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::balance::Seat;
use super::greet::greet;
use super::queue::{NoPlace, place};
use super::{Aim, Counted, Place, Upstream, Wish};
use crate::channel::Channel;
use crate::config::Connect;
use crate::connection::{Cause, Doing, Here, Note, Outcome, Routed, Stage, Tried};
use crate::flow::Side;
use crate::linger;
use crate::relay::{Ending, Transfer};
use crate::sys::{self, Coarse, Manner, Peer, Source, Stream};
use crate::transparent::Through;
use crate::treatment::capture;
use crate::worker::{Elapsed, Worker};

/// A connection with both of its sockets, made from [`Routed`] alone.
pub struct Connected {
    pub routed: Routed,
    pub socket: Channel,
    pub place: Place,
    _counted: Counted,
}

/// Connects to the server that is chosen, and to another one where it does not answer: no byte of the client's has been
/// written yet, so nothing can arrive twice. One timeout covers all of it. A client that finishes meanwhile may have sent all
/// that it has to say; one that resets the connection wants none any more.
///
/// # Errors
/// The outcome of the connection: no server answered, or the client is gone.
pub async fn connect(worker: &Worker, mut routed: Routed, here: &Here) -> Result<Connected, Outcome> {
    let upstream = &routed.upstream;
    let counted = upstream.count();
    let connecting = async {
        if upstream.terms().config.connect == Connect::FirstByte && routed.seen.is_empty() {
            here.does(Doing::Client);
            wait_for_client(worker, &routed).await?;
        }
        dial(worker, &Call::of(&routed), here).await
    };
    let dialled = tokio::select! {
        dialled = connecting => dialled,
        error = routed.client.stream().failed() => {
            return Err(Outcome::new(Stage::Connect, Cause::of(&error), Side::Client));
        }
    };
    let failure = match dialled {
        Ok((socket, place)) => {
            // Said in front of TLS.
            if let Some(header) = routed.header.take_if(|_| socket.session().is_some())
                && let Some(recording) = routed.client.recording()
            {
                recording.bytes(capture::Stream::ToUpstream, &header);
            }
            return Ok(Connected {
                routed,
                socket,
                place,
                _counted: counted,
            });
        }
        Err(failure) => failure,
    };
    let (cause, side) = match failure {
        Failure::Server(error) if error.kind() == io::ErrorKind::AddrNotAvailable => (Cause::NoSource, None),
        Failure::Loop => (Cause::Loop, None),
        Failure::Server(error) => {
            tracing::debug!(upstream = %upstream.name(), %error, "no server answered");
            (Cause::of(&error), Side::Upstream.into())
        }
        Failure::NoPlace(NoPlace::NoServer) => (Cause::NoServer, None),
        Failure::NoPlace(NoPlace::QueueFull | NoPlace::Late) => (Cause::Limited, Side::Upstream.into()),
        Failure::SilentClient => (Cause::IdleTimeout, Side::Client.into()),
    };
    match cause {
        // It had accepted, and took that back before we saw it: an empty answer would be another story.
        Cause::Reset => routed.client.reset_on_close(),
        _ => linger::end(worker, &routed.client).await,
    }
    Err(Outcome::new(Stage::Connect, cause, side))
}

impl Connected {
    /// What became of it is told to those who judge the server.
    pub fn judge(&self, transfer: &Transfer) {
        let upstream = &self.routed.upstream;
        match transfer.ending {
            _ if transfer.down.total() > 0 => upstream.succeeded(self.place.server()),
            // It may complain of what its client has cut off.
            Ending::Failed {
                side: Side::Upstream, ..
            } if !self.routed.client.is_truncated() => upstream.failed(self.place.server()),
            // It said nothing, and need not have: that is neither.
            _ => {}
        }
    }
}

enum Failure {
    NoPlace(NoPlace),
    /// What the last server that was tried has said.
    Server(io::Error),
    SilentClient,
    /// The server is we.
    Loop,
}

/// Until it has sent something, or has finished.
async fn wait_for_client(worker: &Worker, routed: &Routed) -> Result<(), Failure> {
    let spoke = worker
        .timers()
        .within(routed.timeouts.idle, routed.client.readable())
        .await;
    spoke.map_err(|Elapsed| Failure::SilentClient)
}

/// A connection to one of an upstream's servers, as it is to be.
pub struct Call<'a> {
    pub upstream: &'a Arc<Upstream>,
    pub wish: Wish,
    /// Present where it was led here, or is to be seen as its client's.
    pub through: Option<&'a Through>,
    /// Said in front of TLS, where that is spoken.
    pub header: Option<&'a [u8]>,
    /// What has been negotiated with the client.
    pub alpn: Option<&'a str>,
    /// How long all attempts may take together.
    pub limit: Option<Duration>,
}

impl<'a> Call<'a> {
    fn of(routed: &'a Routed) -> Self {
        let aim: Option<&Aim> = routed.aim.as_deref();
        Self {
            upstream: &routed.upstream,
            wish: aim.map(|aim| aim.wish).unwrap_or_default(),
            through: aim.and_then(|aim| aim.through.as_ref()),
            header: routed.header.as_deref(),
            alpn: routed.client.session().and_then(|session| session.established().alpn()),
            limit: routed.timeouts.connect,
        }
    }
}

/// Connects for nobody who waits: a server that is sent a copy.
///
/// # Errors
/// No server answered, or there is none to ask.
pub async fn call(worker: &Worker, call: &Call<'_>) -> io::Result<Called> {
    let counted = call.upstream.count();
    match dial(worker, call, &Here::default()).await {
        Ok((channel, place)) => {
            place.server().count_connected();
            Ok(Called {
                channel,
                place,
                counted,
            })
        }
        Err(Failure::Server(error)) => Err(error),
        Err(Failure::NoPlace(_) | Failure::SilentClient | Failure::Loop) => {
            Err(io::Error::other("no server has a place"))
        }
    }
}

/// A connection that nobody has waited for.
pub struct Called {
    pub channel: Channel,
    pub place: Place,
    counted: Counted,
}

impl Called {
    /// What became of it is told to those who judge the server: it has said something, or else its connection failed.
    pub fn judge(&self, heard: bool, failed: bool) {
        let Counted(upstream) = &self.counted;
        match (heard, failed) {
            (true, _) => upstream.succeeded(self.place.server()),
            (false, true) => upstream.failed(self.place.server()),
            (false, false) => {}
        }
    }
}

async fn dial(worker: &Worker, call: &Call<'_>, here: &Here) -> Result<(Channel, Place), Failure> {
    let Call {
        upstream,
        wish,
        through,
        header,
        alpn,
        limit,
    } = call;
    let through = *through;
    let greet = async |place: &Place, socket| greet(upstream, place.server(), socket, *header, *alpn).await;
    let deadline = limit.map(|limit| Coarse::now() + limit);
    let left = |shares| deadline.map(|deadline| deadline.since(Coarse::now()) / shares);
    // Who wants a certain server does not want any connection that happens to be there.
    let is_any = *wish == Wish::default() && through.is_none_or(|through| !through.is_for_one());
    let spare = is_any.then(|| worker.spares().take(upstream));
    if let Some((socket, place)) = spare.flatten() {
        here.tries(place.server().peer(), 1);
        let began = here.clock();
        // What goes wrong with it may be due to its age: it is as if it had not been there.
        if let Ok(Ok(channel)) = worker.timers().within(left(2), greet(&place, socket)).await {
            here.was_answered(began, true);
            return Ok((channel, place));
        }
    }
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        here.does(Doing::Place);
        let destination = through.and_then(|through| through.destination);
        let found = match destination {
            Some(destination) => Ok(Place::at(upstream, destination)),
            None => place(worker, upstream, wish, &tried).await,
        };
        let place = match found {
            Ok(place) => place,
            Err(why) => return Err(last.map_or(Failure::NoPlace(why), Failure::Server)),
        };
        if through.is_some_and(|through| through.comes_back(place.server().peer())) {
            return Err(Failure::Loop);
        }
        tried.push(place.server().id());
        here.tries(place.server().peer(), tried.len());
        let began = here.clock();
        // Those that may come after this one get their part of the time: a server that drops what comes to it would have all.
        let retries_left = (upstream.terms().config.retries.count as usize).saturating_sub(tried.len() - 1);
        let share = 1 + retries_left.min(upstream.untried(&tried));
        let left = left(u32::try_from(share).unwrap_or(u32::MAX));
        let dialling = async { greet(&place, from_a_source(upstream, &place, through).await?).await };
        let error = match worker.timers().within(left, dialling).await {
            Ok(Ok(channel)) => {
                here.was_answered(began, false);
                return Ok((channel, place));
            }
            Ok(Err(error)) => error,
            Err(Elapsed) => io::ErrorKind::TimedOut.into(),
        };
        here.note(|| Note::Tried(Box::new(Tried::new(place.server().peer(), began, &error))));
        if !sys::is_our_own(&error) {
            place.server().count_refused();
            upstream.failed(place.server());
        }
        tracing::debug!(upstream = %upstream.name(), server = %place.server().peer(), %error, "a server did not answer");
        if share == 1 || !upstream.budget.withdraw() {
            return Err(Failure::Server(error));
        }
        last = Some(error);
    }
}

/// From the client's address, where that is wanted, or else from the one whose turn it is; from the next one where the first has
/// no port left.
pub(super) async fn from_a_source(upstream: &Upstream, place: &Place, through: Option<&Through>) -> io::Result<Stream> {
    let peer = &**place.server().peer();
    let terms = upstream.terms.load_full();
    let options = terms.config.socket.as_ref();
    let dial = async |source| {
        let manner = Manner { source, options };
        let begun = match through {
            Some(through) => through.begin(peer, manner)?,
            None => sys::begin(peer, manner)?,
        };
        begun.answered().await
    };
    if let Some(client) = through.and_then(|through| through.client) {
        return match is_of_family(peer, client) {
            true => dial(Some(Source::Clients(client))).await,
            false => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
    }
    let sources = upstream.sources_for(peer);
    if sources.is_empty() {
        return dial(None).await;
    }
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for source in sources {
        match dial(Some(Source::Ours(source))).await {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => last = error,
            connected => return connected,
        }
    }
    Err(last)
}

fn is_of_family(peer: &Peer, client: IpAddr) -> bool {
    peer.address()
        .is_some_and(|server| server.is_ipv4() == client.is_ipv4())
}

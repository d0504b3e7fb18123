//! The stage of a connection's journey at which it becomes known what it is: its client's first bytes are read as far as
//! somebody asks for them, and looked at; where the listener decrypts, they are decrypted first.

use std::sync::Arc;
use std::time::Instant;

use super::{Found, Hello, Reading, Sight, speaks};
use crate::config::TlsStart;
use crate::connection::{Accepted, Began, Cause, Doing, Here, Looked, Note, Outcome, Stage, micros_since};
use crate::filter::Attributes;
use crate::flow::Side;
use crate::linger;
use crate::listener::Listener;
use crate::proxy_header::Identified;
use crate::route::rules::{Decided, First, Known, Tls};
use crate::sys::Coarse;
use crate::tls::{self, Established, Subject, Terminator};
use crate::worker::Worker;

/// A connection of which is known what its listener's routes ask. Made here alone, from [`Identified`].
pub struct Inspected {
    pub accepted: Box<Accepted>,
    /// What was read of the client, and looked at, and not passed on.
    pub seen: Vec<u8>,
    /// The client has finished.
    pub finished: bool,
    /// The route that it takes, unless a filter decides otherwise.
    pub route: Option<usize>,
}

impl Inspected {
    /// On a listener that does not ask.
    pub fn unseen(identified: Identified) -> Self {
        let Identified(accepted) = identified;
        Self {
            accepted,
            seen: Vec::new(),
            finished: false,
            route: None,
        }
    }
}

/// Finds out what the listener's routes ask, and decrypts where it is to be decrypted.
///
/// # Errors
/// The outcome of the connection: its client failed, or would not or could not be spoken to in TLS.
pub async fn inspect(worker: &Worker, identified: Identified, here: &Here) -> Result<Inspected, Outcome> {
    let Identified(accepted) = identified;
    let listener = Arc::clone(&accepted.listener);
    let mut inspecting = Inspecting {
        worker,
        here,
        sight: listener.sight(),
        accepted,
        seen: Vec::new(),
        finished: false,
        late: false,
        handshake: None,
    };
    if let Some(terminator) = listener
        .tls
        .as_ref()
        .filter(|tls| tls.config().start != TlsStart::OnRequest)
    {
        inspecting.decrypt(terminator).await?;
    }
    let began = Instant::now();
    let route = inspecting.find_route(&listener).await?;
    if listener.rules.asks_for().is_anything() {
        listener.counters.detected(began.elapsed(), inspecting.late);
    }
    if inspecting.has_something_to_tell() {
        here.note(|| Note::Looked(Box::new(inspecting.looked(began, route))));
    }
    let Inspecting {
        accepted,
        seen,
        finished,
        sight,
        ..
    } = inspecting;
    if let Some(facts) = &accepted.facts
        && let Some(found) = sight.found(&seen)
    {
        facts.learn(Arc::new(found));
    }
    Ok(Inspected {
        accepted,
        seen,
        finished,
        route,
    })
}

struct Inspecting<'a> {
    worker: &'a Worker,
    here: &'a Here,
    accepted: Box<Accepted>,
    seen: Vec<u8>,
    sight: Sight,
    finished: bool,
    /// It was waited for, and in vain.
    late: bool,
    /// How long the client took to have its handshake, in microseconds.
    handshake: Option<u32>,
}

impl Inspecting<'_> {
    /// Reads the ClientHello, and does as it says. A client that is to be passed on as it is, and one that does not begin with
    /// TLS where it need not, leave everything as it was.
    async fn decrypt(&mut self, terminator: &Arc<Terminator>) -> Result<(), Outcome> {
        let config = terminator.config();
        let must = config.start == TlsStart::AtOnce;
        let limit = match must {
            true => config.timeout,
            false => self.accepted.listener.detection.timeout,
        };
        let deadline = Coarse::now() + limit;
        while matches!(self.sight.look(&self.seen), Reading::NeedMore) && !self.is_over() {
            self.read(deadline).await?;
        }
        let hello = match self.sight.look(&self.seen) {
            Reading::Hello(hello) => Some((**hello).clone()),
            Reading::NeedMore | Reading::NotTls if !must => return Ok(()),
            Reading::NeedMore if self.late => return Err(self.end(Cause::Timeout).await),
            Reading::NeedMore if self.seen.is_empty() => return Err(self.end(Cause::Finished).await),
            Reading::TooLong => return Err(self.end(Cause::TooLong).await),
            // rustls says to the client what is wrong with it.
            Reading::NeedMore | Reading::NotTls | Reading::Malformed(_) => None,
        };
        if let Some(hello) = hello {
            let name = hello.server_name.as_deref();
            if terminator.passes_through(name) {
                return Ok(());
            }
            let is_served = terminator.serves(name);
            if let Some(facts) = &self.accepted.facts {
                // Which protocol is spoken inside is found out later, and by ALPN it counts what is negotiated.
                let alpn = Vec::new();
                let hello = Some(Hello { alpn, ..hello });
                facts.learn(Arc::new(Found { protocol: None, hello }));
            }
            if !is_served {
                linger::end_with(self.worker, &self.accepted.socket, &tls::unrecognized_name()).await;
                return Err(Outcome::new(Stage::Tls, Cause::UnknownName, Side::Client));
            }
        }
        let seen = std::mem::take(&mut self.seen);
        let deadline = match must {
            true => deadline,
            // The time for finding out is short, and over with the hello.
            false => Coarse::now() + config.timeout,
        };
        self.here.does(Doing::Handshake);
        let began = self.here.clock();
        secure(self.worker, &mut self.accepted, terminator, seen, deadline).await?;
        self.handshake = Some(micros_since(began));
        learn(&self.accepted);
        self.sight = self.accepted.listener.sight();
        self.finished = false;
        Ok(())
    }

    /// Looks at what there is, and reads on for as long as a route that may still match wants to know more.
    async fn find_route(&mut self, listener: &Listener) -> Result<Option<usize>, Outcome> {
        let mut deadline = None;
        loop {
            match listener.rules.decide(&self.known()) {
                Decided::Route(route) => return Ok(Some(route)),
                Decided::NoMatch => return Ok(None),
                Decided::NeedMore => {
                    let deadline = *deadline.get_or_insert_with(|| Coarse::now() + listener.detection.timeout);
                    self.read(deadline).await?;
                    if !self.is_decrypted() {
                        self.sight.look(&self.seen);
                    }
                }
            }
        }
    }

    fn known(&self) -> Known<'_> {
        let session = self.accepted.socket.session();
        let established = session.map(|session| &**session.established());
        Known {
            client: self.accepted.client.map(|client| client.ip()),
            destination: self.accepted.destination,
            tlvs: self.accepted.proxied.as_ref().map(|proxied| proxied.tlvs()),
            subject: established.and_then(Established::subject).map(Subject::name),
            first: First::Bytes(&self.seen),
            tls: match established {
                None => self.sight.tls(),
                Some(established) => Tls::Established {
                    name: established.sni(),
                    alpn: established.alpn(),
                },
            },
            over: self.is_over(),
        }
    }

    /// Where routes ask for nothing but the address, and nobody decrypts, all of it can be told later.
    fn has_something_to_tell(&self) -> bool {
        let listener = &self.accepted.listener;
        listener.tls.is_some() || listener.rules.asks_for().is_anything() || listener.rules.asks_for_tlvs()
    }

    /// What is told of it to who asks later, when the bytes are gone.
    fn looked(&self, began: Instant, route: Option<usize>) -> Looked {
        let session = self.accepted.socket.session();
        Looked {
            seen: self.seen.len().try_into().unwrap_or(u32::MAX),
            micros: micros_since(Some(began)),
            handshake: self.handshake,
            protocol: speaks(&self.seen),
            tls: match (session, self.sight.tls()) {
                (Some(session), _) => Began::Established(Arc::clone(session.established())),
                (None, Tls::Hello { name, offered }) => Began::with_hello(name, offered),
                (None, Tls::Absent) => Began::Absent,
                (None, _) => Began::Unknown,
            },
            proxied: self
                .accepted
                .proxied
                .as_ref()
                .filter(|_| self.accepted.listener.rules.asks_for_tlvs())
                .cloned(),
            route: route.and_then(|route| route.try_into().ok()),
            over: self.is_over(),
            late: self.late,
        }
    }

    fn is_decrypted(&self) -> bool {
        self.accepted.socket.session().is_some()
    }

    /// There will be no more bytes than there are.
    fn is_over(&self) -> bool {
        self.finished || self.late || self.seen.len() >= self.most()
    }

    /// Bytes that are looked at, with the headers of the records that they may be cut into.
    fn most(&self) -> usize {
        const RECORD_HEADER: usize = 5;
        let detection = &self.accepted.listener.detection;
        match self.sight.tls() {
            Tls::Unknown if !self.is_decrypted() => detection.longest + RECORD_HEADER * (detection.records as usize),
            _ => detection.longest,
        }
    }

    async fn read(&mut self, deadline: Coarse) -> Result<(), Outcome> {
        let most = self.most();
        self.here.does(Doing::FirstBytes(0));
        self.here.has_seen(self.seen.len());
        let reading = self.accepted.socket.read_into(self.worker, &mut self.seen, most);
        match self.worker.timers().before(deadline, reading).await {
            Err(_) => self.late = true,
            Ok(Ok(0)) => self.finished = true,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Outcome::new(Stage::Detect, Cause::of(&error), Side::Client)),
        }
        Ok(())
    }

    async fn end(&self, cause: Cause) -> Outcome {
        linger::end(self.worker, &self.accepted.socket).await;
        Outcome::new(Stage::Tls, cause, Side::Client)
    }
}

/// Has the handshake with the client, which began with `seen`.
///
/// # Errors
/// The outcome of the connection, which has ended.
pub async fn secure(
    worker: &Worker,
    accepted: &mut Accepted,
    terminator: &Arc<Terminator>,
    seen: Vec<u8>,
    deadline: Coarse,
) -> Result<(), Outcome> {
    let ended = |cause| Outcome::new(Stage::Tls, cause, Side::Client);
    let Some(_handshaking) = terminator.begin() else {
        linger::end(worker, &accepted.socket).await;
        return Err(ended(Cause::Limited));
    };
    accepted.socket.take_back(seen.len());
    let handshake = tls::accept(accepted.socket.stream(), seen, terminator.current());
    let cause = match worker.timers().before(deadline, handshake).await {
        Ok(Ok(session)) => {
            accepted.socket.secure(session);
            return Ok(());
        }
        Ok(Err(error)) => {
            tracing::debug!(connection = accepted.id, %error, "no TLS with the client");
            error.cause()
        }
        Err(_) => Cause::Timeout,
    };
    if cause != Cause::Reset {
        linger::end(worker, &accepted.socket).await;
    }
    Err(ended(cause))
}

/// Tells the filters of a connection what its handshake has shown.
pub fn learn(accepted: &Accepted) {
    if let Some((facts, session)) = accepted.facts.as_ref().zip(accepted.socket.session()) {
        facts.learn(Arc::clone(session.established()) as Arc<dyn Attributes>);
    }
}

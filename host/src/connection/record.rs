//! The one place where it is recorded how a connection ended.

use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{Accepted, Cause, Here, Outcome, Past, Routed, Stage};
use crate::config::LogField;
use crate::filter::{Closed, End, Facts, Generation, Tally, Value};
use crate::listener::Listener;
use crate::observe::{AccessLog, Ended, Entry, Event, Moved};
use crate::proxy_header::Identified;
use crate::relay::{Standing, Transfer, Watched};
use crate::route::rules::Target;
use crate::sys::{Peer, TcpInfo, tcp_info};
use crate::transparent;
use crate::treatment::Subject;
use crate::treatment::capture::{Capture, Recording};
use crate::upstream::{Connected, Server, Upstream};

/// What is known of a connection so far. It is recorded when this is dropped, so exactly once, whatever happens.
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) listener: Arc<Listener>,
    pub(super) client: Option<SocketAddr>,
    started: Instant,
    observed: bool,
    pub(super) facts: Option<Arc<Facts>>,
    /// Present where it has filters.
    filtered: Option<Box<Filtered>>,
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) server: Option<Arc<Server>>,
    /// Its number, from 1, and shorter than it may be: no file has as many, and every connection keeps this.
    pub(super) route: Option<NonZeroU32>,
    pub(super) up: Moved,
    pub(super) down: Moved,
    pub(super) outcome: Outcome,
    /// From the choice of an upstream until a server had answered; before that, when it was chosen, since the beginning.
    connect: Took,
    /// From then until its first byte.
    first_byte: Took,
    /// Present where there is an access log to tell it to.
    details: Option<Box<Details>>,
    here: Here,
    /// Present where it is captured, or was, or may be.
    pub(super) recording: Option<Rc<Recording>>,
}

/// In whole microseconds, as the access log says it, so that what is counted is what is told; or nothing. Half the size of an
/// `Option<Duration>`, and every connection keeps two.
#[derive(Clone, Copy)]
struct Took(u64);

#[derive(Default)]
struct Details {
    client_tcp: Option<TcpInfo>,
    upstream_tcp: Option<TcpInfo>,
}

/// Who counts how a connection with filters ended.
struct Filtered {
    /// Of the generations that it began with: these may be gone first.
    tallies: Box<[Arc<Tally>]>,
    /// Its filters may have had a say: it was neither turned away before, nor refused by a route.
    asked: bool,
}

/// Fields of the access log that are attributes of a connection.
const KNOWN: &[(LogField, &str)] = &[
    (LogField::OriginalDestination, transparent::ATTRIBUTE),
    (LogField::Protocol, "protocol"),
    (LogField::Sni, "tls.sni"),
    (LogField::Alpn, "tls.alpn"),
    (LogField::Ja4, "tls.ja4"),
    (LogField::TlsVersion, "tls.version"),
    (LogField::ClientSubject, "tls.client.subject"),
];

impl Record {
    pub(super) fn of(accepted: &mut Accepted) -> Self {
        accepted.listener.counters.accepted();
        let stage = match accepted.listener.proxy_protocol {
            Some(_) => Stage::ProxyHeader,
            None => Stage::Accept,
        };
        Self {
            id: accepted.id,
            listener: Arc::clone(&accepted.listener),
            client: accepted.client,
            started: accepted.started,
            observed: accepted.generations.iter().any(|generation| generation.is_observer()),
            facts: accepted.facts.clone(),
            filtered: Filtered::by(&accepted.generations),
            upstream: None,
            server: None,
            route: None,
            up: Moved::default(),
            down: Moved::default(),
            outcome: Outcome::new(stage, Cause::Interrupted, None),
            connect: Took::NOTHING,
            first_byte: Took::NOTHING,
            details: accepted.listener.access_log.as_ref().map(|_| Box::default()),
            here: mem::take(&mut accepted.here),
            recording: None,
        }
    }

    /// From here on, the client is the one for whom a proxy came.
    pub(super) fn identified(&mut self, identified: &Identified) {
        let Identified(accepted) = identified;
        self.outcome.stage = Stage::Accept;
        self.client = accepted.client;
        if accepted.proxied.is_some() {
            self.facts.clone_from(&accepted.facts);
        }
    }

    pub(super) fn admitted(&mut self) {
        self.outcome.stage = Stage::Route;
    }

    /// A route that refuses is taken, whatever filters would say; any other one is, or is not, when the upstream is chosen.
    /// Then nobody else is asked.
    pub(super) fn inspected(&mut self, route: Option<usize>) {
        let refuses = |route: &usize| matches!(self.listener.rules.target(*route, 0), Target::Refuse(_));
        self.route = route.filter(refuses).and_then(short);
        if let Some(filtered) = &mut self.filtered {
            filtered.asked = self.route.is_none();
        }
    }

    pub(super) fn routed(&mut self, routed: &Routed) {
        self.outcome.stage = Stage::Connect;
        self.upstream = Some(Arc::clone(&routed.upstream));
        self.route = routed.route.and_then(short);
        self.connect = Took::of(self.started.elapsed());
    }

    pub(super) fn connected(&mut self, connected: &Connected) {
        self.outcome.stage = Stage::Relay;
        let chosen = self.connect.get().unwrap_or_default();
        self.connect = Took::of(self.started.elapsed().saturating_sub(chosen));
        let server = connected.place.server();
        server.count_connected();
        self.server = Some(Arc::clone(server));
        if let Some(log) = self.listener.access_log.as_ref().filter(|log| log.wants_open()) {
            log.write(self.entry(Event::Open, self.started.elapsed()));
        }
    }

    /// How often it is to be told that the connection is still there.
    pub(super) fn every(&self) -> Option<Duration> {
        self.listener.access_log.as_ref().and_then(AccessLog::every)
    }

    pub(super) fn transferred(&mut self, connected: &Connected, transfer: &Transfer) {
        self.up = transfer.up;
        self.down = transfer.down;
        self.first_byte = transfer.first_byte.map_or(Took::NOTHING, Took::of);
        if let Some(details) = &mut self.details {
            details.client_tcp = tcp_info(connected.routed.client.stream());
            details.upstream_tcp = tcp_info(connected.socket.stream());
        }
    }

    /// What may be meant by a treatment.
    pub(super) fn subject<'a>(&'a self, routed: &'a Routed) -> Subject<'a> {
        Subject {
            id: self.id,
            listener: &self.listener,
            route: routed.route,
            upstream: &routed.upstream,
            client: self.client,
            facts: self.facts.as_deref(),
            prescribed: routed.treatment.as_ref().map(|treatment| &treatment.prescription),
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    fn log(&self, duration: Duration) {
        tracing::debug!(
            connection = self.id,
            listener = %self.listener.name,
            client = self.client.map(tracing::field::display),
            upstream = self.upstream.as_ref().map(|upstream| &**upstream.name()),
            server = self.server.as_ref().map(|server| tracing::field::display(server.peer())),
            outcome = %self.outcome,
            duration_us = duration.as_micros(),
            up_copied = self.up.copied,
            up_spliced = self.up.spliced,
            up_filtered = self.up.filtered,
            down_copied = self.down.copied,
            down_spliced = self.down.spliced,
            down_filtered = self.down.filtered,
            "connection ended"
        );
    }

    /// Counts it where connections are counted: with its listener and route, its upstream and its server.
    fn count(&self, duration: Duration) {
        let ended = Ended {
            outcome: self.outcome,
            route: self.route(),
            up: self.up,
            down: self.down,
            connect: self.connect(),
            first_byte: self.first_byte.get(),
            duration,
        };
        self.listener.counters.count(&ended);
        if let Some(upstream) = &self.upstream {
            upstream.ledger().count(&ended);
        }
        if let Some(server) = &self.server {
            server.ledger().count(&ended);
        }
    }

    pub(super) fn route(&self) -> Option<&str> {
        self.route
            .map(|route| self.listener.rules.name(route.get() as usize - 1))
    }

    /// How long it took until a server had answered, where one has.
    pub(super) fn connect(&self) -> Option<Duration> {
        self.connect.get().filter(|_| self.server.is_some())
    }

    fn peer(&self) -> Option<&Arc<Peer>> {
        self.server.as_ref().map(|server| server.peer())
    }

    fn entry(&self, event: Event, duration: Duration) -> Box<Entry> {
        let unknown = Details::default();
        let details = self.details.as_deref().unwrap_or(&unknown);
        let annotations = self.facts.as_ref().map(|facts| facts.annotations());
        let annotations = annotations.unwrap_or_default().into_iter();
        Box::new(Entry {
            event,
            time: SystemTime::now(),
            connection: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client,
            upstream: self.upstream.as_ref().map(|upstream| Arc::clone(upstream.name())),
            server: self.peer().cloned(),
            up: self.up,
            down: self.down,
            connect: self.connect(),
            first_byte: self.first_byte.get(),
            duration,
            client_tcp: details.client_tcp,
            upstream_tcp: details.upstream_tcp,
            route: self.route().map(str::to_owned),
            kill_reason: match event {
                Event::Close(outcome) if outcome.cause == Cause::Killed => self.here.killed().map(str::to_owned),
                _ => None,
            },
            known: self.known(),
            annotations: annotations.map(|known| (known.key, known.value.into())).collect(),
        })
    }

    /// What has been found out of it, as the access log says it.
    fn known(&self) -> Vec<(LogField, String)> {
        let Some(facts) = &self.facts else { return Vec::new() };
        let known = KNOWN.iter().filter_map(|(field, key)| match facts.known_as(key)? {
            Value::Text(text) => Some((*field, text)),
            Value::Address(address) => Some((*field, address.to_string())),
            _ => None,
        });
        known.collect()
    }

    /// What is remembered of it, where somebody asks.
    fn past(&self, duration: Duration) -> Past {
        Past {
            id: self.id,
            at: SystemTime::now(),
            listener: Arc::clone(&self.listener.name),
            client: self.client,
            upstream: self.upstream.as_ref().map(|upstream| Arc::clone(upstream.name())),
            server: self.peer().cloned(),
            duration,
            outcome: self.outcome,
            up: self.up,
            down: self.down,
        }
    }

    /// The last thing that is told: what need not be copied for it is taken.
    fn closed(&self, duration: Duration) -> Closed {
        let server = self.peer().and_then(|peer| peer.address());
        let annotations = self.facts.as_ref().map(|facts| facts.take_annotations());
        Closed {
            connection: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client,
            upstream: self.upstream.as_ref().map(|upstream| Arc::clone(upstream.name())),
            server,
            up: self.up,
            down: self.down,
            duration,
            outcome: self.outcome,
            attributes: annotations.unwrap_or_default(),
        }
    }
}

impl Filtered {
    fn by(generations: &[Arc<Generation>]) -> Option<Box<Self>> {
        let tallies = generations.iter().map(|generation| Arc::clone(generation.tally()));
        (!generations.is_empty()).then(|| {
            Box::new(Self {
                tallies: tallies.collect(),
                asked: false,
            })
        })
    }

    fn ended(&self, end: End) {
        if self.asked {
            self.tallies.iter().for_each(|tally| tally.ended(end));
        }
    }
}

impl Took {
    const NOTHING: Self = Self(u64::MAX);

    fn of(time: Duration) -> Self {
        Self(time.as_micros().try_into().unwrap_or(u64::MAX))
    }

    fn get(self) -> Option<Duration> {
        (self.0 != u64::MAX).then(|| Duration::from_micros(self.0))
    }
}

fn short(route: usize) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(route).ok()?.checked_add(1)?)
}

/// How a connection ended, as far as it may be its filters' doing; `answered` says that the upstream's first byte had come.
/// Where there are several filters, all of them are told the same: it is a generation that is compared with the one before,
/// with the same neighbours.
///
/// | | |
/// | --- | --- |
/// | refused | a filter refused it |
/// | early | a filter failed; or a peer reset it, could not be reached, or broke the rules of TLS; or there was no upstream for it; or it ended for whatever reason before the upstream had answered |
/// | usual | all else, and whatever ended because the process or the server did, or because an operator wanted it |
fn end(outcome: Outcome, answered: bool) -> End {
    match outcome.cause {
        Cause::FilterRefused => End::Refused,
        Cause::Drained
        | Cause::DrainOver
        | Cause::Interrupted
        | Cause::Killed
        | Cause::QuotaOver
        | Cause::Fault
        | Cause::Reconfigured
        | Cause::ServerDown => End::Usual,
        Cause::Finished | Cause::IdleTimeout | Cause::HalfClosedTimeout | Cause::LifetimeOver | Cause::Stalled
            if answered =>
        {
            End::Usual
        }
        _ => End::Early,
    }
}

impl Watched for Record {
    fn alive(&mut self, up: Moved, down: Moved) {
        self.up = up;
        self.down = down;
        if let Some(log) = self.listener.access_log.as_ref().filter(|log| log.wants(self.id)) {
            log.write(self.entry(Event::Alive, self.started.elapsed()));
        }
    }

    fn is_to_end(&mut self, standing: &Standing<'_>) -> bool {
        self.here.is_to_end(standing, self.facts.as_ref())
    }

    fn subject<'a>(&'a self, connected: &'a Connected) -> Subject<'a> {
        Self::subject(self, &connected.routed)
    }

    fn is_captured_by(&mut self, connected: &Connected, captures: &[Arc<Capture>]) {
        self.capture(connected, captures);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.outcome.cause == Cause::Interrupted && self.here.killed().is_some() {
            self.outcome.cause = Cause::Killed;
        }
        if std::thread::panicking() {
            self.outcome.cause = Cause::Panicked;
        }
        // One time for all who are told of it, in whole microseconds for those who add it up.
        let duration = Took::of(self.started.elapsed()).get().unwrap_or_default();
        self.log(duration);
        self.count(duration);
        self.here.ended(|| self.past(duration));
        self.end_capture(duration);
        if let Some(filtered) = &self.filtered {
            filtered.ended(end(self.outcome, self.down.total() > 0));
        }
        if let Some(log) = self.listener.access_log.as_ref().filter(|log| log.wants(self.id)) {
            log.write(self.entry(Event::Close(self.outcome), duration));
        }
        if self.observed {
            let closed = self.closed(duration);
            if let Some(observers) = &self.listener.observers {
                observers.closed(&self.listener.filters, closed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Side;

    #[test]
    fn an_end_is_usual_unless_a_filter_may_have_brought_it_about() {
        let relayed = |cause| Outcome::new(Stage::Relay, cause, Side::Client);
        for (cause, answered, meant) in [
            (Cause::Finished, true, End::Usual),
            (Cause::Finished, false, End::Early),
            (Cause::IdleTimeout, true, End::Usual),
            (Cause::FirstByteTimeout, false, End::Early),
            (Cause::Reset, true, End::Early),
            (Cause::FilterFailed, true, End::Early),
            (Cause::FilterRefused, false, End::Refused),
            (Cause::FilterRefused, true, End::Refused),
            (Cause::Interrupted, false, End::Usual),
            (Cause::ServerDown, true, End::Usual),
        ] {
            assert_eq!(end(relayed(cause), answered), meant, "{cause:?}, {answered}");
        }
    }
}

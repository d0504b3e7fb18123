//! Chooses a connection's upstream: routers in their order, until one of them decides; then the route that it takes; then the
//! listener's own. A route that refuses does so before anybody is asked.

mod dialogue;
mod options;
pub mod rules;

use std::mem;
use std::sync::Arc;

use crate::config::{Refusal, TimeoutChanges, Timeouts};
use crate::connection::{Accepted, Cause, Choice, Here, Outcome, Routed, Stage};
use crate::detect::{Answer, Inspected, begins};
use crate::filter::{Chain, Stop};
use crate::flow::Side;
use crate::linger;
use crate::listener::Listener;
use crate::protocol::Protocol;
use crate::proxy_header::outgoing;
use crate::tls::unrecognized_name;
use crate::transparent::{self, Through};
use crate::treatment::{Subject, Treatment, mirror};
use crate::upstream::{Aim, Upstream, Wish, key_of};
use crate::worker::Worker;
use dialogue::{Chosen, Dialogue, End};
pub use dialogue::{MOST_EXCHANGES, WINDOW};
use options::Asked;
pub use options::check as check_options;
use rules::Target;

/// # Errors
/// The outcome of the connection: it was refused, it failed before an upstream was chosen, or there is none for it.
pub async fn choose(worker: &Worker, inspected: Inspected, here: &Here) -> Result<Routed, Outcome> {
    let Inspected {
        accepted,
        seen,
        finished,
        route,
    } = inspected;
    let default = match default(&accepted.listener, route) {
        Ok(default) => default,
        Err(refusal) => {
            turn_away(worker, &accepted, &seen, refusal).await;
            return Err(Outcome::new(Stage::Route, Cause::RouteRefused, None));
        }
    };
    if let Some(pause) = worker.instances().pause(&accepted.generations) {
        let _ = worker.timers().within(Some(pause), std::future::pending::<()>()).await;
    }
    let mut dialogue = Dialogue::new(worker, here, accepted, seen, finished);
    let asked = dialogue.ask_routers().await;
    let (accepted, seen) = dialogue.into_parts();
    let (chosen, route) = match asked {
        Ok(None) => (default, route),
        Ok(by_filter) => (by_filter, None),
        Err(end) => return Err(close(worker, &accepted, end).await),
    };
    let Some(mut chosen) = chosen else {
        turn_away(worker, &accepted, &seen, Refusal::default()).await;
        return Err(Outcome::new(Stage::Route, Cause::NoUpstream, None));
    };
    let chain = match watchers(worker, &accepted) {
        Ok(chain) => chain,
        Err(stop) => return Err(close(worker, &accepted, End::Stopped(stop)).await),
    };
    let through = match transparent::through(&accepted, &chosen.upstream) {
        Ok(through) => through,
        Err(cause) => {
            transparent::complain(&accepted, cause);
            accepted.socket.reset_on_close();
            return Err(Outcome::new(Stage::Route, cause, None));
        }
    };
    let has_destination = through.as_ref().is_some_and(|through| through.destination.is_some());
    here.chooses(|| match has_destination {
        true => Choice::Destination,
        false => choice(&accepted, &chosen),
    });
    let terms = chosen.upstream.terms();
    let header = terms.config.proxy_protocol.as_ref();
    let header = header.map(|protocol| outgoing(protocol, &accepted));
    drop(terms);
    let mirrors = mirror::plan(worker, &subject(&accepted, route, &chosen), |protocol| {
        outgoing(protocol, &accepted)
    });
    let treatment = Treatment::of(mem::take(&mut chosen.asked.prescription), mirrors);
    Ok(Routed {
        id: accepted.id,
        timeouts: timeouts(&accepted.listener, &chosen),
        aim: aim(wish(&accepted, &chosen), through),
        client: accepted.socket,
        upstream: chosen.upstream,
        unknown: accepted
            .facts
            .filter(|facts| seen.is_empty() && facts.known_as("protocol").is_none()),
        treatment,
        notice: Arc::clone(accepted.listener.notice(route)),
        route,
        seen,
        chain,
        header,
    })
}

/// Where no router has an opinion: the route's, or else the listener's own. An error where the route refuses.
fn default(listener: &Listener, route: Option<usize>) -> Result<Option<Chosen>, Refusal> {
    let upstream = match route.map(|route| listener.rules.target(route, fastrand::u64(..))) {
        Some(Target::Refuse(refusal)) => return Err(refusal),
        Some(Target::Upstream(place)) => listener.targets.get(place).cloned(),
        None => listener.upstream.clone(),
    };
    Ok(upstream.map(|upstream| Chosen {
        upstream,
        asked: Asked::default(),
    }))
}

/// Closes a connection that goes nowhere. A client that has begun with TLS, which is not decrypted, is told in its own words.
async fn turn_away(worker: &Worker, accepted: &Accepted, seen: &[u8], refusal: Refusal) {
    let in_clear = accepted.socket.session().is_none();
    match refusal {
        Refusal::Rst => accepted.socket.reset_on_close(),
        Refusal::Alert if in_clear && begins(Protocol::Tls, seen) == Answer::Yes => {
            linger::end_with(worker, &accepted.socket, &unrecognized_name()).await;
        }
        Refusal::Alert | Refusal::Fin => linger::end(worker, &accepted.socket).await,
    }
}

/// The listener's, as the upstream changes them, as the router changes those: shared where nothing is changed.
fn timeouts(listener: &Listener, chosen: &Chosen) -> Arc<Timeouts> {
    let changes = [chosen.upstream.timeouts(), chosen.asked.timeouts];
    if changes.iter().all(|changes| *changes == TimeoutChanges::default()) {
        return Arc::clone(&listener.timeouts);
    }
    Arc::new(changes.iter().fold(*listener.timeouts, Timeouts::with))
}

/// A client's connections go to the same server where the upstream hashes, whatever ports they come from, unless a router
/// has a key of its own.
fn wish(accepted: &Accepted, chosen: &Chosen) -> Wish {
    let Wish { key, server } = chosen.asked.wish;
    let of_client = || Some(key_of(accepted.client.filter(|_| chosen.upstream.hashes())?.ip()));
    let key = key.or_else(of_client);
    Wish { key, server }
}

/// Boxed: few have one, and every connection keeps what it was routed by.
fn aim(wish: Wish, through: Option<Through>) -> Option<Box<Aim>> {
    (wish != Wish::default() || through.is_some()).then(|| Box::new(Aim { wish, through }))
}

/// By what it is found out who is sent a copy.
fn subject<'a>(accepted: &'a Accepted, route: Option<usize>, chosen: &'a Chosen) -> Subject<'a> {
    Subject {
        id: accepted.id,
        listener: &accepted.listener,
        route,
        upstream: &chosen.upstream,
        client: accepted.client,
        facts: accepted.facts.as_deref(),
        prescribed: Some(&chosen.asked.prescription),
    }
}

/// The same in a word, for who asks.
fn choice(accepted: &Accepted, chosen: &Chosen) -> Choice {
    match chosen.asked.wish {
        Wish { server: Some(_), .. } => Choice::Named,
        Wish { key: Some(_), .. } => Choice::Key,
        Wish { .. } if chosen.upstream.hashes() && accepted.client.is_some() => Choice::Client,
        Wish { .. } => Choice::Balance,
    }
}

fn watchers(worker: &Worker, accepted: &Accepted) -> Result<Option<Box<Chain>>, Stop> {
    match &accepted.facts {
        Some(facts) => Chain::open(worker.instances(), &accepted.generations, facts),
        None => Ok(None),
    }
}

/// Without an upstream there is one socket to close: with RST where that was asked for or where something is cut off, with
/// FIN otherwise.
async fn close(worker: &Worker, accepted: &Accepted, end: End) -> Outcome {
    let outcome = |cause, side: Option<Side>| Outcome::new(Stage::Route, cause, side);
    match end {
        End::Failed => outcome(Cause::Reset, Some(Side::Client)),
        End::Over(outcome) => outcome,
        End::Stopped(Stop::Refused(refused)) => {
            tracing::debug!(connection = accepted.id, filter = %refused.filter, reason = refused.reason, "refused by a filter");
            if refused.reset {
                accepted.socket.reset_on_close();
            } else {
                linger::end_with(worker, &accepted.socket, &refused.reply).await;
            }
            outcome(Cause::FilterRefused, None)
        }
        End::Stopped(Stop::Failed { .. }) => {
            accepted.socket.reset_on_close();
            outcome(Cause::FilterFailed, None)
        }
    }
}

/// The upstream that a filter named, if the listener may use it.
fn find(listener: &Listener, name: &str) -> Option<Arc<Upstream>> {
    listener.upstreams.find(name)
}

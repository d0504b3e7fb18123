//! Chooses a connection's upstream: routers in their order, until one of them decides; then the listener's own.

mod dialogue;
mod options;

use std::sync::Arc;

use crate::config::{TimeoutChanges, Timeouts};
use crate::connection::{Accepted, Cause, Outcome, Routed, Stage};
use crate::filter::{Chain, Stop};
use crate::flow::Side;
use crate::linger;
use crate::listener::Listener;
use crate::upstream::Upstream;
use crate::worker::Worker;
use dialogue::{Chosen, Dialogue, End};

/// # Errors
/// The outcome of the connection: it was refused, it failed before an upstream was chosen, or there is none for it.
pub async fn choose(worker: &Worker, accepted: Box<Accepted>) -> Result<Routed, Outcome> {
    let mut dialogue = Dialogue::new(worker, &accepted);
    let asked = dialogue.ask_routers().await;
    let seen = dialogue.into_seen();
    let chosen = match asked {
        Ok(chosen) => chosen.or_else(|| default(&accepted.listener)),
        Err(end) => return Err(close(worker, &accepted, end).await),
    };
    let Some(chosen) = chosen else {
        linger::end(worker, &accepted.socket).await;
        return Err(Outcome::new(Stage::Route, Cause::NoUpstream, None));
    };
    let chain = match watchers(worker, &accepted) {
        Ok(chain) => chain,
        Err(stop) => return Err(close(worker, &accepted, End::Stopped(stop)).await),
    };
    Ok(Routed {
        id: accepted.id,
        timeouts: timeouts(&accepted.listener, &chosen),
        client: accepted.socket,
        upstream: chosen.upstream,
        seen,
        chain,
    })
}

/// The listener's own, where no router had an opinion.
fn default(listener: &Listener) -> Option<Chosen> {
    let upstream = listener.upstream.clone()?;
    Some(Chosen {
        upstream,
        timeouts: TimeoutChanges::default(),
    })
}

/// The listener's, as the upstream changes them, as the router changes those: shared where nothing is changed.
fn timeouts(listener: &Listener, chosen: &Chosen) -> Arc<Timeouts> {
    let changes = [chosen.upstream.timeouts(), &chosen.timeouts];
    if changes.iter().all(|changes| **changes == TimeoutChanges::default()) {
        return Arc::clone(&listener.timeouts);
    }
    Arc::new(changes.into_iter().fold(*listener.timeouts, Timeouts::with))
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
        End::Stopped(Stop::Refused { filter, reset, reason }) => {
            tracing::debug!(connection = accepted.id, %filter, reason, "refused by a filter");
            if reset {
                accepted.socket.reset_on_close();
            } else {
                linger::end(worker, &accepted.socket).await;
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
    listener.upstreams.find(name).cloned()
}

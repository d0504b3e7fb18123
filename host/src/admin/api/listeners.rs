//! Where clients connect.

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::super::said::{Bytes, Listener, Listeners};
use super::Any;
use crate::in_force::{InForce, Listening};
use crate::observe::Moved;

/// The listeners, and what they have seen.
#[utoipa::path(
    get,
    path = "/v1/listeners",
    responses((status = 200, description = "All of them.", body = Listeners), Any)
)]
pub async fn listeners(Given(state): Given<State>) -> Json<Listeners> {
    Json(Listeners {
        listeners: all(&state.present.load()),
    })
}

pub fn all(in_force: &InForce) -> Vec<Listener> {
    let listeners = in_force.listeners.iter();
    listeners.map(|listening| listener(in_force, listening)).collect()
}

fn listener(in_force: &InForce, listening: &Listening) -> Listener {
    let mut configs = in_force.config.listeners.iter();
    let config = configs.find(|config| *config.name == *listening.name);
    let seen = listening.counters.seen();
    let outcomes = seen.outcomes.iter();
    Listener {
        name: listening.name.to_string(),
        address: listening.address.to_string(),
        upstream: config.and_then(|config| config.upstream.clone()),
        filters: config.map(|config| config.filters.clone()).unwrap_or_default(),
        routes: config
            .map(|config| config.routes.iter().map(|route| route.name.clone()).collect())
            .unwrap_or_default(),
        tls: listening.tls.is_some(),
        connections: seen.connections,
        outcomes: outcomes.map(|(outcome, count)| (outcome.to_string(), *count)).collect(),
        up: seen.up.into(),
        down: seen.down.into(),
    }
}

impl From<Moved> for Bytes {
    fn from(moved: Moved) -> Self {
        Self {
            copied: moved.copied,
            spliced: moved.spliced,
            filtered: moved.filtered,
        }
    }
}

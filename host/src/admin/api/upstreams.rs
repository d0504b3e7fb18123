//! Groups of servers, and what is wanted of a server.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, Server, ServerChange, ServerMode, ServerOrigin, ServerState, Upstream, Upstreams};
use super::super::take::{Body, Named};
use super::{Any, OfBody, milliseconds};
use crate::config::WEIGHTS;
use crate::in_force::InForce;
use crate::upstream::{self, Mode, Operation, ServerSeen};

/// The upstreams and their servers.
#[utoipa::path(
    get,
    path = "/v1/upstreams",
    responses((status = 200, description = "All of them.", body = Upstreams), Any)
)]
pub async fn upstreams(Given(state): Given<State>) -> Json<Upstreams> {
    Json(Upstreams {
        upstreams: all(&state.present.load()),
    })
}

pub fn all(in_force: &InForce) -> Vec<Upstream> {
    let upstreams = in_force.upstreams.all();
    upstreams.iter().map(|upstream| seen(in_force, upstream)).collect()
}

/// Changes what a server gets, until that is changed again. Its health and its counters stay.
#[utoipa::path(
    post,
    path = "/v1/upstreams/{upstream}/servers/{address}",
    params(
        ("upstream" = String, Path, description = "Its name."),
        ("address" = String, Path, description = "As `GET /v1/upstreams` has it, percent-encoded."),
    ),
    request_body = ServerChange,
    responses(
        (status = 200, description = "The server from now on.", body = Server),
        (status = 404, description = "There is no such upstream, or it has no such server.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn change(
    Given(state): Given<State>,
    Named((name, address)): Named<(String, String)>,
    Body(change): Body<ServerChange>,
) -> Result<Json<Server>, Refused> {
    let in_force = state.present.load_full();
    let upstream = in_force
        .upstreams
        .find(&name)
        .ok_or_else(|| Refused::missing("upstream", &name, "/v1/upstreams"))?;
    if change.mode.is_none() && change.weight.is_none() {
        let hint = "`{\"mode\": \"draining\"}`, `{\"weight\": 10}`, or both";
        return Err(Refused::meaningless("nothing is to be changed", hint));
    }
    if let Some(weight) = change.weight.filter(|weight| !WEIGHTS.contains(&i64::from(*weight))) {
        let error = format!(
            "{weight} is no weight: expected {} to {}",
            WEIGHTS.start(),
            WEIGHTS.end()
        );
        return Err(Refused::meaningless(
            error,
            "a server that should get nothing is drained, or disabled",
        ));
    }
    let operation = Operation {
        mode: change.mode.map(|mode| match mode {
            ServerMode::Enabled => Mode::Enabled,
            ServerMode::Draining => Mode::Draining,
            ServerMode::Disabled => Mode::Disabled,
        }),
        weight: change.weight,
    };
    let changed = upstream
        .operate(&address, operation)
        .ok_or_else(|| Refused::missing("server", &address, "/v1/upstreams"))?;
    // Those of its connections that are to end do not wait for their next byte.
    state.desk.wake();
    Ok(Json(server(&in_force.overrides.added(&name), &changed)))
}

pub(super) fn seen(in_force: &InForce, upstream: &upstream::Upstream) -> Upstream {
    let seen = upstream.seen();
    let added = in_force.overrides.added(upstream.name());
    Upstream {
        name: upstream.name().to_string(),
        connections: seen.open,
        servers: seen.servers.iter().map(|seen| server(&added, seen)).collect(),
    }
}

/// One that may be among those that operators have `added`.
fn server(added: &HashSet<String>, seen: &ServerSeen) -> Server {
    Server {
        address: seen.address.clone(),
        host: seen.host.clone(),
        origin: match seen.is_found {
            true => ServerOrigin::Dns,
            false if added.contains(&seen.address) => ServerOrigin::Operator,
            false => ServerOrigin::File,
        },
        state: state_of(seen.state),
        health: state_of(seen.health),
        weight: seen.weight,
        configured_weight: seen.configured_weight,
        backup: seen.backup,
        connections: seen.open,
        max_connections: seen.most,
        transitions: seen.transitions,
        ejected_ms: seen.ejected.map(milliseconds),
    }
}

fn state_of(state: upstream::State) -> ServerState {
    match state {
        upstream::State::Up => ServerState::Up,
        upstream::State::Down => ServerState::Down,
        upstream::State::Unknown => ServerState::Unknown,
        upstream::State::Ejected => ServerState::Ejected,
        upstream::State::Draining => ServerState::Draining,
        upstream::State::Disabled => ServerState::Disabled,
    }
}

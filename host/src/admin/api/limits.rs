//! What clients may have.

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, Limits, LimitsInForce};
use super::super::take::{Body, Named};
use super::{Any, OfBody};
use crate::config::{self, Config, part};
use crate::reload::Amendment;

/// What the clients of all listeners together may have.
#[utoipa::path(
    get,
    path = "/v1/limits",
    responses((status = 200, description = "In force, and as configured.", body = LimitsInForce), Any)
)]
pub async fn limits(Given(state): Given<State>) -> Json<LimitsInForce> {
    let in_force = state.present.load();
    Json(said(&in_force.config.limits, &in_force.file.limits))
}

/// Limits the clients of all listeners together, until it is done again, or a reload brings a file with other `limits` than before. Who
/// is connected counts on, where the same was limited before.
#[utoipa::path(
    put,
    path = "/v1/limits",
    request_body = Limits,
    responses(
        (status = 200, description = "In force from now on.", body = LimitsInForce),
        (status = 409, description = "The process is about to end.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn change(Given(state): Given<State>, Body(wanted): Body<Limits>) -> Result<Json<LimitsInForce>, Refused> {
    amend(&state, None, wanted).await?;
    Ok(limits(Given(state)).await)
}

/// What the clients of one listener may have.
#[utoipa::path(
    get,
    path = "/v1/listeners/{listener}/limits",
    params(("listener" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "In force, and as configured.", body = LimitsInForce),
        (status = 404, description = "There is no such listener.", body = Failure),
        Any,
    )
)]
pub async fn of_listener(
    Given(state): Given<State>,
    Named(name): Named<String>,
) -> Result<Json<LimitsInForce>, Refused> {
    let in_force = state.present.load();
    let limits = |config: &Config| {
        let mut listeners = config.listeners.iter();
        listeners
            .find(|listener| listener.name == name)
            .map(|listener| listener.limits)
    };
    let both = limits(&in_force.config).zip(limits(&in_force.file));
    let (limits, configured) = both.ok_or_else(|| Refused::missing("listener", &name, "/v1/listeners"))?;
    Ok(Json(said(&limits, &configured)))
}

/// Limits the clients of one listener, as `PUT /v1/limits` does those of all.
#[utoipa::path(
    put,
    path = "/v1/listeners/{listener}/limits",
    params(("listener" = String, Path, description = "Its name.")),
    request_body = Limits,
    responses(
        (status = 200, description = "In force from now on.", body = LimitsInForce),
        (status = 404, description = "There is no such listener.", body = Failure),
        (status = 409, description = "The process is about to end.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn change_of_listener(
    Given(state): Given<State>,
    Named(name): Named<String>,
    Body(wanted): Body<Limits>,
) -> Result<Json<LimitsInForce>, Refused> {
    amend(&state, Some(name.clone()), wanted).await?;
    of_listener(Given(state), Named(name)).await
}

async fn amend(state: &State, listener: Option<String>, wanted: Limits) -> Result<(), Refused> {
    let limits = part::limits(&[
        ("connections", wanted.connections.into()),
        ("connections-per-client", wanted.connections_per_client.into()),
        ("rate", wanted.rate.into()),
        ("rate-per-client", wanted.rate_per_client.into()),
        ("ipv6-prefix", wanted.ipv6_prefix.into()),
        ("at-limit", wanted.at_limit.into()),
    ])?;
    state.desk.amend(Amendment::Limit { listener, limits }).await??;
    Ok(())
}

fn said(limits: &config::Limits, configured: &config::Limits) -> LimitsInForce {
    let said = |limits: &config::Limits| Limits {
        connections: limits.connections.map(i64::from),
        connections_per_client: limits.connections_per_client.map(i64::from),
        rate: limits.rate.map(i64::from),
        rate_per_client: limits.rate_per_client.map(i64::from),
        ipv6_prefix: Some(limits.ipv6_prefix.into()),
        at_limit: Some(limits.at_limit.to_string()),
    };
    LimitsInForce {
        limits: said(limits),
        configured: said(configured),
    }
}

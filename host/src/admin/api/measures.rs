//! What is done to connections besides what the configuration says.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State as Given;
use axum::http::StatusCode;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{self, Failure, Measures, NewMeasure};
use super::super::take::{Body, Named};
use super::connections::network;
use super::{Any, OfBody, milliseconds};
use crate::config::{part, shown_treatment};
use crate::treatment::{Measure, Scope, capture};

/// Those that are in force.
#[utoipa::path(
    get,
    path = "/v1/measures",
    responses((status = 200, description = "In the order in which they were asked for.", body = Measures), Any)
)]
pub async fn measures(Given(state): Given<State>) -> Json<Measures> {
    let measures = state.desk.measures().all();
    Json(Measures {
        measures: measures.iter().map(said).collect(),
    })
}

/// Has something done to connections, to those that are open at once, until its time is over, it is taken back, or the process ends: a
/// process that takes its place does without.
#[utoipa::path(
    post,
    path = "/v1/measures",
    request_body = NewMeasure,
    responses(
        (status = 201, description = "In force from now on.", body = said::Measure),
        (status = 409, description = "There are as many as there may be.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn add(
    Given(state): Given<State>,
    Body(new): Body<NewMeasure>,
) -> Result<(StatusCode, Json<said::Measure>), Refused> {
    let scope = scope(new.scope)?;
    let treatment = part::treatment(&new.treatment)?;
    if treatment.is_nothing() {
        let hint = "for example `{ \"bandwidth\": { \"down\": \"1MiB/s\" } }`";
        return Err(Refused::meaningless("the treatment does nothing", hint));
    }
    capture::check(&treatment)
        .map_err(|error| Refused::meaningless(format!("{error:#}"), "name a directory that the proxy may write to"))?;
    let time = new.time.as_deref().map(part::time).transpose()?;
    let added = state.desk.measures().add(scope, treatment, time);
    let measure =
        added.map_err(|error| Refused::conflict(error.to_string(), "DELETE /v1/measures/ID takes one back"))?;
    // Where a worker is busy, it holds a little later.
    let _ = state.desk.settled().await;
    tracing::info!(measure = measure.id, scope = ?measure.scope, treatment = %new.treatment, "a measure is in force");
    Ok((StatusCode::CREATED, Json(said(&measure))))
}

/// Takes one back. Its connections go on as if it had not been.
#[utoipa::path(
    delete,
    path = "/v1/measures/{id}",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, description = "What it was.", body = said::Measure),
        (status = 404, description = "There is no such measure.", body = Failure),
        Any,
    )
)]
pub async fn remove(Given(state): Given<State>, Named(id): Named<u64>) -> Result<Json<said::Measure>, Refused> {
    let removed = state.desk.measures().remove(id);
    let measure = removed.ok_or_else(|| Refused::missing("measure", &id.to_string(), "/v1/measures"))?;
    let _ = state.desk.settled().await;
    tracing::info!(measure = id, "a measure is taken back");
    Ok(Json(said(&measure)))
}

fn scope(said: said::Scope) -> Result<Scope, Refused> {
    let client = said.client.as_deref().map(network).transpose().map_err(|text| {
        let error = format!(
            "`client` is `{}`: expected an address or a network",
            text.escape_debug()
        );
        Refused::meaningless(error, "for example `10.0.0.1`, or `10.0.0.0/8`")
    })?;
    let share = said.share.as_deref().map(part::share).transpose()?;
    Ok(Scope {
        listener: said.listener,
        route: said.route,
        upstream: said.upstream,
        client,
        sni: said.sni.as_deref().map(part::name_pattern).transpose()?,
        connection: said.connection,
        share: share.map(|share| (share, said.seed.unwrap_or(0))),
    })
}

fn said(measure: &Arc<Measure>) -> said::Measure {
    let Scope {
        listener,
        route,
        upstream,
        client,
        sni,
        connection,
        share,
    } = measure.scope.clone();
    let left = measure
        .until
        .map(|until| until.saturating_duration_since(Instant::now()));
    said::Measure {
        id: measure.id,
        scope: said::Scope {
            listener,
            route,
            upstream,
            client: client.map(|client| client.to_string()),
            sni: sni.map(|sni| sni.to_string()),
            connection,
            share: share.map(|(share, _)| format!("{share}%")),
            seed: share.map(|(_, seed)| seed).filter(|seed| *seed != 0),
        },
        treatment: shown_treatment(measure.regimen.config()),
        left_ms: left.map(milliseconds),
    }
}

//! The process: how it is, what it logs, and what becomes of it.

use axum::Json;
use axum::extract::State as Given;
use axum::http::StatusCode;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, LogLevel, Reloaded, Status};
use super::super::take::Body;
use super::{Any, OfBody};
use crate::observe::log;

/// How it is.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses((status = 200, description = "The process.", body = Status), Any)
)]
pub async fn status(Given(state): Given<State>) -> Json<Status> {
    Json(seen(&state))
}

/// What is logged.
#[utoipa::path(
    get,
    path = "/v1/log-level",
    responses((status = 200, description = "As it was said last.", body = LogLevel), Any)
)]
pub async fn log_level() -> Json<LogLevel> {
    Json(LogLevel { level: log::level() })
}

/// Logs at another level, until there is another, or the process ends.
#[utoipa::path(
    put,
    path = "/v1/log-level",
    request_body = LogLevel,
    responses((status = 200, description = "It is logged at that level.", body = LogLevel), Any, OfBody)
)]
pub async fn change_log_level(Body(wanted): Body<LogLevel>) -> Result<Json<LogLevel>, Refused> {
    log::change(&wanted.level).map_err(|error| {
        let hint = "for example `debug`, or `info,filter=debug`";
        Refused::meaningless(format!("{error:#}"), hint)
    })?;
    tracing::info!(level = wanted.level, "log level changed");
    Ok(Json(wanted))
}

/// Does what SIGHUP does.
#[utoipa::path(
    post,
    path = "/v1/reload",
    responses(
        (status = 200, description = "It is done.", body = Reloaded),
        (status = 409, description = "The process is about to end.", body = Failure),
        (status = 422, description = "Nothing has changed: the configuration is wrong.", body = Failure),
        Any,
    )
)]
pub async fn reload(Given(state): Given<State>) -> Result<Json<Reloaded>, Refused> {
    tracing::info!("reload asked for");
    match state.desk.reload().await? {
        Ok(changed) => Ok(Json(Reloaded { changed })),
        Err(problems) => Err(Refused::meaningless(
            problems.join("\n"),
            "`spliceway check` says the same of the file; what was in force still is",
        )),
    }
}

/// Does what SIGTERM does: nothing more is accepted, and the process ends with its last connection, or when its drain is over.
#[utoipa::path(
    post,
    path = "/v1/drain",
    responses(
        (status = 202, description = "It has begun.", body = Status),
        (status = 409, description = "The process is about to end already.", body = Failure),
        Any,
    )
)]
pub async fn drain(Given(state): Given<State>) -> Result<(StatusCode, Json<Status>), Refused> {
    tracing::info!("drain asked for");
    state.desk.drain().await?;
    Ok((StatusCode::ACCEPTED, Json(seen(&state))))
}

pub fn seen(state: &State) -> Status {
    let in_force = state.present.load();
    let filters = in_force.filters.iter();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: state.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        workers: state.desk.workers() as u64,
        draining: state.desk.is_draining(),
        connections: state.desk.open() as u64,
        log_level: log::level(),
        generations: filters
            .map(|filter| (filter.name().to_string(), filter.generation()))
            .collect(),
    }
}

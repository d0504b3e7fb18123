//! The process: how it is, what it logs, and what becomes of it.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State as Given;
use axum::http::StatusCode;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, LogLevel, ReloadAsked, Reloaded, Status, Text, Unchanged};
use super::super::take::{Asked, Body, LONGEST_TEXT};
use super::{Any, OfBody, milliseconds};
use crate::observe::log;
use crate::server::{self, Planned};

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

/// Does what SIGHUP does; or, with `dry-run`, nothing: the file is read and everything that it names is looked at, but no address is
/// bound.
#[utoipa::path(
    post,
    path = "/v1/reload",
    params(ReloadAsked),
    responses(
        (status = 200, description = "It is done, or could be done.", body = Reloaded),
        (status = 409, description = "The process is about to end.", body = Failure),
        (status = 422, description = "Nothing has changed: the configuration is wrong.", body = Failure),
        Any,
    )
)]
pub async fn reload(Given(state): Given<State>, Asked(asked): Asked<ReloadAsked>) -> Result<Json<Reloaded>, Refused> {
    if asked.dry_run == Some(true) {
        return planned(state.desk.rehearse().await?);
    }
    tracing::info!("reload asked for");
    planned(state.desk.reload().await?)
}

/// What a reload would change where this text is in force, compared with what is: so the configuration in force, which may have
/// secrets, is given to nobody. Of the files that the text names none is looked at.
#[utoipa::path(
    post,
    path = "/v1/plan",
    request_body = Text,
    responses(
        (status = 200, description = "A line for each thing that would not be as it is.", body = Reloaded),
        (status = 409, description = "The process is about to end.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn plan(Given(state): Given<State>, Body(text): Body<Text, LONGEST_TEXT>) -> Result<Json<Reloaded>, Refused> {
    let path = PathBuf::from(text.path);
    if !path.is_absolute() || path.file_name().is_none() {
        let error = format!(
            "`path` is `{}`: expected an absolute path of a file",
            path.display().to_string().escape_debug()
        );
        return Err(Refused::meaningless(
            error,
            "relative paths in `text` start at its directory",
        ));
    }
    let text = server::Text { path, text: text.text };
    planned(state.desk.compare(text).await?)
}

fn planned(planned: Planned) -> Result<Json<Reloaded>, Refused> {
    let plan = planned.map_err(|problems| {
        let hint = "`spliceway check` says the same of the file; what was in force still is";
        Refused::meaningless(problems.join("\n"), hint)
    })?;
    let stays = |noun| plan.stays(noun) as u64;
    Ok(Json(Reloaded {
        changed: plan.changes.iter().map(ToString::to_string).collect(),
        kept: plan.kept.clone(),
        unchanged: Unchanged {
            filters: stays("filter"),
            upstreams: stays("upstream"),
            listeners: stays("listener"),
        },
    }))
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
        uptime_ms: milliseconds(state.started.elapsed()),
        workers: state.desk.workers() as u64,
        draining: state.desk.is_draining(),
        connections: state.desk.open() as u64,
        log_level: log::level(),
        generations: filters
            .map(|filter| (filter.name().to_string(), filter.generation()))
            .collect(),
    }
}

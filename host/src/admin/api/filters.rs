//! Filters and their generations.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, Filter, FilterChanged, Filters, Generation, Load};
use super::super::take::{Body, Named};
use super::{Any, OfBody};
use crate::config::part;
use crate::digest::DigestError;
use crate::filter::{self, Occasion, Reloaded, TIMED};
use crate::in_force::InForce;
use crate::reload::Amendment;

/// The filters, and what their generations have done.
#[utoipa::path(
    get,
    path = "/v1/filters",
    responses((status = 200, description = "All of them.", body = Filters), Any)
)]
pub async fn filters(Given(state): Given<State>) -> Json<Filters> {
    Json(Filters {
        filters: all(&state.present.load()),
    })
}

pub fn all(in_force: &InForce) -> Vec<Filter> {
    in_force.filters.iter().map(|filter| seen(filter)).collect()
}

/// Looks at its source again: what is new is loaded, and published or tried; what was rolled back gets another chance.
#[utoipa::path(
    post,
    path = "/v1/filters/{filter}/reload",
    params(("filter" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "What serves now.", body = FilterChanged),
        (status = 404, description = "There is no such filter.", body = Failure),
        (status = 422, description = "It does not load; what was published stays.", body = Failure),
        Any,
    )
)]
pub async fn reload(Given(state): Given<State>, Named(name): Named<String>) -> Result<Json<FilterChanged>, Refused> {
    look_again(&state, &name).await
}

async fn look_again(state: &State, name: &str) -> Result<Json<FilterChanged>, Refused> {
    let filter = find(state, name)?;
    let (reloading, desk) = (Arc::clone(&filter), state.desk.clone());
    let reload = move || {
        let reloaded = reloading.reload(Occasion::Request)?;
        // Whoever has asked may be gone by now: then nobody is left to say so but this thread.
        if reloaded == Reloaded::Changed {
            desk.retire();
        }
        anyhow::Ok(reloaded)
    };
    let reloaded = tokio::task::spawn_blocking(reload).await;
    let reloaded = reloaded
        .unwrap_or_else(|panicked| Err(panicked.into()))
        .map_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(
                filter = name,
                generation = filter.generation(),
                error,
                "filter rejected"
            );
            let hint = "`spliceway filter check FILE` says more; the generation that served before still does";
            Refused::meaningless(error, hint)
        })?;
    Ok(changed(state, &filter, reloaded))
}

/// Loads another component, and publishes or tries it, until a reload changes this filter. It is examined as one of the file's is:
/// `[[trust]]` and the filter's limits and grants are about it, too. The filter's own source ends that.
#[utoipa::path(
    post,
    path = "/v1/filters/{filter}/load",
    params(("filter" = String, Path, description = "Its name.")),
    request_body = Load,
    responses(
        (status = 200, description = "What serves now.", body = FilterChanged),
        (status = 404, description = "There is no such filter.", body = Failure),
        (status = 409, description = "The process is about to end.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn load(
    Given(state): Given<State>,
    Named(name): Named<String>,
    Body(wanted): Body<Load>,
) -> Result<Json<FilterChanged>, Refused> {
    let source = part::source(&wanted.source)?;
    if source.file().is_some_and(Path::is_relative) {
        let error = format!(
            "`source` is `{}`: expected an absolute path",
            wanted.source.escape_debug()
        );
        return Err(Refused::meaningless(error, "or `oci://HOST/REPOSITORY:TAG`"));
    }
    let digest = wanted.digest.as_deref().map(str::parse).transpose();
    let digest = digest.map_err(|error: DigestError| {
        Refused::meaningless(
            format!("`digest` is none: {error}"),
            "as `spliceway filter inspect` prints it",
        )
    })?;
    let load = Amendment::Load {
        filter: name.clone(),
        source,
        digest,
    };
    match state.desk.amend(load).await??.is_empty() {
        // It is loaded from there already: there may be something else by now.
        true => look_again(&state, &name).await,
        false => Ok(changed(&state, &*find(&state, &name)?, Reloaded::Changed)),
    }
}

/// What is tried serves all new connections from now on.
#[utoipa::path(
    post,
    path = "/v1/filters/{filter}/promote",
    params(("filter" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "What serves now.", body = FilterChanged),
        (status = 404, description = "There is no such filter.", body = Failure),
        (status = 409, description = "None of its generations is a canary.", body = Failure),
        Any,
    )
)]
pub async fn promote(Given(state): Given<State>, Named(name): Named<String>) -> Result<Json<FilterChanged>, Refused> {
    let hint = "a new one is tried where the filter has `canary` in its configuration";
    move_on(
        &state,
        &name,
        filter::Filter::promote,
        "no generation that is a canary",
        hint,
    )
}

/// What is tried serves no new connection from now on. Where nothing is, what serves makes room for the one before it.
#[utoipa::path(
    post,
    path = "/v1/filters/{filter}/rollback",
    params(("filter" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "What serves now.", body = FilterChanged),
        (status = 404, description = "There is no such filter.", body = Failure),
        (status = 409, description = "There is no generation to go back to.", body = Failure),
        Any,
    )
)]
pub async fn roll_back(Given(state): Given<State>, Named(name): Named<String>) -> Result<Json<FilterChanged>, Refused> {
    let hint = "one is kept where the filter has a quarantine, or `on-error = \"previous\"`";
    move_on(
        &state,
        &name,
        filter::Filter::roll_back,
        "no generation to go back to",
        hint,
    )
}

/// Has other generations serve; where there is none that could, `lack` says so.
fn move_on(
    state: &State,
    name: &str,
    change: fn(&filter::Filter) -> Reloaded,
    lack: &str,
    hint: &str,
) -> Result<Json<FilterChanged>, Refused> {
    let filter = find(state, name)?;
    match change(&filter) {
        Reloaded::Changed => Ok(changed(state, &filter, Reloaded::Changed)),
        Reloaded::Unchanged => Err(Refused::conflict(format!("`{name}` has {lack}"), hint)),
    }
}

fn find(state: &State, name: &str) -> Result<Arc<filter::Filter>, Refused> {
    let in_force = state.present.load();
    let found = in_force.filter(name).cloned();
    found.ok_or_else(|| Refused::missing("filter", name, "/v1/filters"))
}

fn changed(state: &State, filter: &filter::Filter, reloaded: Reloaded) -> Json<FilterChanged> {
    let changed = reloaded == Reloaded::Changed;
    if changed {
        state.desk.retire();
    }
    Json(FilterChanged {
        changed,
        filter: seen(filter),
    })
}

fn seen(filter: &filter::Filter) -> Filter {
    let generations = filter.generations().into_iter();
    let transitions = filter.transitions().into_iter();
    Filter {
        name: filter.name().to_string(),
        source: filter.config().source.to_string(),
        generation: filter.generation(),
        generations: generations
            .map(|(number, digest, state, tally)| {
                let totals = tally.totals();
                Generation {
                    number,
                    digest: digest.to_string(),
                    state: state.to_owned(),
                    calls: totals.calls.iter().sum(),
                    // One call in so many is timed.
                    busy_us: (totals.time * TIMED).as_micros().try_into().unwrap_or(u64::MAX),
                    failures: totals.failures.iter().sum(),
                    connections: totals.ends.iter().sum(),
                    shown_bytes: totals.shown,
                    skipped_bytes: totals.skipped,
                    instances: totals.instances,
                    memory_bytes: totals.memory,
                }
            })
            .collect(),
        transitions: transitions.map(|(name, count)| (name.to_owned(), count)).collect(),
    }
}

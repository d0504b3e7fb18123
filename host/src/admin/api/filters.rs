//! Filters and their generations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, Filter, FilterChanged, Filters, Generation};
use super::super::take::Named;
use super::Any;
use crate::filter::{self, Occasion, Reloaded, TIMED};
use crate::in_force::InForce;

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
    let filter = find(&state, &name)?;
    let reloading = Arc::clone(&filter);
    let reloaded = tokio::task::spawn_blocking(move || reloading.reload(Occasion::Request)).await;
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
    Ok(changed(&state, &filter, reloaded))
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
    let filter = find(&state, &name)?;
    match filter.promote() {
        Reloaded::Changed => Ok(changed(&state, &filter, Reloaded::Changed)),
        Reloaded::Unchanged => Err(Refused::conflict(
            format!("no generation of `{name}` is a canary"),
            "a new one is tried where the filter has `canary` in its configuration",
        )),
    }
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
    let filter = find(&state, &name)?;
    match filter.roll_back() {
        Reloaded::Changed => Ok(changed(&state, &filter, Reloaded::Changed)),
        Reloaded::Unchanged => Err(Refused::conflict(
            format!("`{name}` has no generation to go back to"),
            "one is kept where the filter has a quarantine, or `on-error = \"previous\"`",
        )),
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

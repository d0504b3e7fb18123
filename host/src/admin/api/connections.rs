//! The connections that are open now.

use axum::Json;
use axum::extract::State as Given;
use ipnet::IpNet;
use std::net::IpAddr;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Connection, Connections, ConnectionsAsked, Failure, FilterGeneration, Kill};
use super::super::take::{Asked, MaybeBody, Named};
use super::super::trace::trace_of;
use super::{Any, OfBody, milliseconds};
use crate::connection::{Query, Shown};

/// As many as are read at a glance, and as many as are worth one answer.
const USUALLY: u64 = 100;
const MOST: u64 = 1000;

/// What a reason is for is a line in the log.
const LONGEST_REASON: usize = 256;

/// A page of them.
#[utoipa::path(
    get,
    path = "/v1/connections",
    params(ConnectionsAsked),
    responses(
        (status = 200, description = "In the order of their numbers.", body = Connections),
        (status = 503, description = "A worker does not answer.", body = Failure),
        Any,
    )
)]
pub async fn connections(
    Given(state): Given<State>,
    Asked(asked): Asked<ConnectionsAsked>,
) -> Result<Json<Connections>, Refused> {
    let limit = asked.limit.unwrap_or(USUALLY);
    let malformed = |error: String, hint: &str| Refused::new(axum::http::StatusCode::BAD_REQUEST, error, hint);
    if !(1..=MOST).contains(&limit) {
        let error = format!("`limit` is {limit}: expected 1 to {MOST}");
        return Err(malformed(error, "`after` asks for the page behind another"));
    }
    let after = asked.after.unwrap_or(0);
    // No number is as large, and what JSON calls an integer need not be larger.
    if i64::try_from(after).is_err() {
        let error = format!("`after` is {after}: expected up to {}", i64::MAX);
        return Err(malformed(error, "it is the `next` of the page before"));
    }
    let client = asked.client.as_deref().map(network).transpose().map_err(|text| {
        let error = format!(
            "`client` is `{}`: expected an address or a network",
            text.escape_debug()
        );
        malformed(error, "for example `10.0.0.1`, or `10.0.0.0/8`")
    })?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let query = Query {
        listener: asked.listener,
        upstream: asked.upstream,
        client,
        after,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let mut found = state.desk.list(&query).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| last.id);
    Ok(Json(Connections {
        connections: found.iter().map(connection_of).collect(),
        next,
    }))
}

/// One of them, and why it goes as it does.
#[utoipa::path(
    get,
    path = "/v1/connections/{id}",
    params(("id" = u64, Path, description = "Its number, as the access log has it.")),
    responses(
        (status = 200, description = "As it is now.", body = Connection),
        (status = 404, description = "It has ended, or never was.", body = Failure),
        (status = 503, description = "A worker does not answer.", body = Failure),
        Any,
    )
)]
pub async fn connection(Given(state): Given<State>, Named(id): Named<u64>) -> Result<Json<Connection>, Refused> {
    let shown = state.desk.show(id).await?;
    shown
        .map(|shown| Json(connection_of(&shown)))
        .ok_or_else(|| missing(id))
}

/// Ends it: both of its peers are sent RST. Before it has a server, its client's socket is closed.
#[utoipa::path(
    post,
    path = "/v1/connections/{id}/kill",
    params(("id" = u64, Path, description = "Its number, as the access log has it.")),
    request_body = Option<Kill>,
    responses(
        (status = 200, description = "As it was at its end.", body = Connection),
        (status = 404, description = "It has ended before, or never was.", body = Failure),
        (status = 503, description = "A worker does not answer.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn kill(
    Given(state): Given<State>,
    Named(id): Named<u64>,
    MaybeBody(kill): MaybeBody<Kill>,
) -> Result<Json<Connection>, Refused> {
    let reason = kill.reason.unwrap_or_default();
    if reason.chars().count() > LONGEST_REASON || reason.contains(char::is_control) {
        let error = "`reason` is too long, or has a control character";
        return Err(Refused::meaningless(
            error,
            format!("expected up to {LONGEST_REASON} characters of text"),
        ));
    }
    let killed = state.desk.kill(id, &reason).await?.ok_or_else(|| missing(id))?;
    tracing::info!(connection = id, reason, "connection killed");
    Ok(Json(connection_of(&killed)))
}

fn missing(id: u64) -> Refused {
    Refused::missing("connection", &id.to_string(), "/v1/connections")
}

/// An address is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, &str> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| text)
}

pub fn connection_of(shown: &Shown) -> Connection {
    let filters = shown.filters.iter();
    Connection {
        id: shown.id,
        listener: shown.listener.to_string(),
        client: shown.client.map(|client| client.to_string()),
        age_ms: milliseconds(shown.age),
        stage: shown.stage.name().to_owned(),
        upstream: shown.upstream.as_deref().map(str::to_owned),
        server: shown.server.as_ref().map(ToString::to_string),
        route: shown.route.clone(),
        connect_ms: shown.connect.map(milliseconds),
        filters: filters
            .map(|(filter, generation)| FilterGeneration {
                filter: filter.to_string(),
                generation: *generation,
            })
            .collect(),
        up: shown.up.into(),
        down: shown.down.into(),
        trace: trace_of(shown),
    }
}

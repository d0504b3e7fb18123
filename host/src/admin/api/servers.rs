//! Servers that come and go because an operator wants it.

use axum::Json;
use axum::extract::State as Given;
use axum::http::StatusCode;

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Failure, NewServer, Removal, Upstream};
use super::super::take::{Asked, Body, Named};
use super::upstreams::seen;
use super::{Any, OfBody};
use crate::config::part;
use crate::reload::Amendment;

/// Adds a server, until it is removed again, or a reload brings a file that names it. It is asked and weighed as the others are.
#[utoipa::path(
    post,
    path = "/v1/upstreams/{upstream}/servers",
    params(("upstream" = String, Path, description = "Its name.")),
    request_body = NewServer,
    responses(
        (status = 201, description = "The upstream from now on.", body = Upstream),
        (status = 404, description = "There is no such upstream.", body = Failure),
        (status = 409, description = "It has that server already, or as many as there may be; or the process is about to end.", body = Failure),
        Any,
        OfBody,
    )
)]
pub async fn add(
    Given(state): Given<State>,
    Named(name): Named<String>,
    Body(new): Body<NewServer>,
) -> Result<(StatusCode, Json<Upstream>), Refused> {
    let server = part::server(&[
        ("address", new.address.into()),
        ("weight", new.weight.into()),
        ("backup", new.backup.into()),
        ("max-connections", new.max_connections.into()),
    ])?;
    let upstream = amend(&state, name.clone(), Amendment::AddServer { upstream: name, server }).await?;
    Ok((StatusCode::CREATED, upstream))
}

/// Removes a server. One of the file's stays removed until a reload changes this upstream's servers.
#[utoipa::path(
    delete,
    path = "/v1/upstreams/{upstream}/servers/{address}",
    params(
        ("upstream" = String, Path, description = "Its name."),
        ("address" = String, Path, description = "As the file or whoever has added it has it, percent-encoded."),
        Removal,
    ),
    responses(
        (status = 200, description = "The upstream from now on.", body = Upstream),
        (status = 404, description = "There is no such upstream, or it has no such server.", body = Failure),
        (status = 409, description = "It is an address of a name, or the last one; or the process is about to end.", body = Failure),
        (status = 422, description = "It is not known what is to become of its connections.", body = Failure),
        Any,
    )
)]
pub async fn remove(
    Given(state): Given<State>,
    Named((upstream, address)): Named<(String, String)>,
    Asked(removal): Asked<Removal>,
) -> Result<Json<Upstream>, Refused> {
    let removal = Amendment::RemoveServer {
        upstream: upstream.clone(),
        address,
        fate: removal.on_change.as_deref().map(part::on_change).transpose()?,
    };
    amend(&state, upstream, removal).await
}

async fn amend(state: &State, upstream: String, amendment: Amendment) -> Result<Json<Upstream>, Refused> {
    state.desk.amend(amendment).await??;
    let in_force = state.present.load();
    let changed = in_force.upstreams.find(&upstream);
    // A reload may have removed it meanwhile.
    let changed = changed.ok_or_else(|| Refused::missing("upstream", &upstream, "/v1/upstreams"))?;
    Ok(Json(seen(&in_force, &changed)))
}

//! The paths that Toxiproxy's clients know, with its status codes.

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::take::{LONGEST_BODY, read};
use super::failed::Failed;
use super::proxies::{NewProxy, Proxies};
use super::toxic::{ChangedToxic, NewToxic};

/// Whose meaning this has. Clients look at it.
const VERSION: &str = "2.12.0";

type Known = State<Arc<Proxies>>;

pub fn routes(proxies: Arc<Proxies>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/reset", post(reset))
        .route("/populate", post(populate))
        .route("/proxies", get(all).post(create))
        .route("/proxies/{proxy}", get(one).post(update).patch(update).delete(delete))
        .route("/proxies/{proxy}/toxics", get(toxics).post(add))
        .route(
            "/proxies/{proxy}/toxics/{toxic}",
            get(toxic).post(change).patch(change).delete(remove),
        )
        .with_state(proxies)
}

/// A body that is JSON, whatever its type is said to be.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        let bytes = read(request, state, LONGEST_BODY).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(Failed::body)
    }
}

async fn version() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json;charset=utf-8")];
    (json, format!("{{\"version\": \"{VERSION}\"}}\n")).into_response()
}

async fn reset(State(proxies): Known) -> StatusCode {
    proxies.reset();
    proxies.settled().await;
    StatusCode::NO_CONTENT
}

async fn populate(State(proxies): Known, Body(wanted): Body<Vec<NewProxy>>) -> Result<Response, Failed> {
    let populated = proxies.populate(&wanted)?;
    proxies.settled().await;
    Ok((StatusCode::CREATED, Json(json!({ "proxies": populated }))).into_response())
}

async fn all(State(proxies): Known) -> Response {
    Json(proxies.all()).into_response()
}

async fn create(State(proxies): Known, Body(new): Body<NewProxy>) -> Failed {
    proxies.create(&new)
}

async fn one(State(proxies): Known, Path(name): Path<String>) -> Result<Response, Failed> {
    proxies.one(&name).map(answer)
}

async fn update(
    State(proxies): Known,
    Path(name): Path<String>,
    Body(wanted): Body<NewProxy>,
) -> Result<Response, Failed> {
    let updated = proxies.update(&name, &wanted)?;
    proxies.settled().await;
    Ok(answer(updated))
}

async fn delete(State(proxies): Known, Path(name): Path<String>) -> Failed {
    proxies.delete(&name)
}

async fn toxics(State(proxies): Known, Path(proxy): Path<String>) -> Result<Response, Failed> {
    proxies.toxics(&proxy).map(answer)
}

async fn add(State(proxies): Known, Path(proxy): Path<String>, Body(new): Body<NewToxic>) -> Result<Response, Failed> {
    let added = proxies.add(&proxy, &new)?;
    proxies.settled().await;
    Ok(answer(added))
}

async fn toxic(State(proxies): Known, Path((proxy, name)): Path<(String, String)>) -> Result<Response, Failed> {
    proxies.toxic(&proxy, &name).map(answer)
}

async fn change(
    State(proxies): Known,
    Path((proxy, name)): Path<(String, String)>,
    Body(change): Body<ChangedToxic>,
) -> Result<Response, Failed> {
    let changed = proxies.change(&proxy, &name, &change)?;
    proxies.settled().await;
    Ok(answer(changed))
}

async fn remove(State(proxies): Known, Path((proxy, name)): Path<(String, String)>) -> Result<StatusCode, Failed> {
    proxies.remove(&proxy, &name)?;
    proxies.settled().await;
    Ok(StatusCode::NO_CONTENT)
}

fn answer<T: serde::Serialize>(shown: T) -> Response {
    Json(shown).into_response()
}

//! What is in force.

use axum::Json;
use axum::extract::State as Given;

use super::super::State;
use super::Any;

/// The configuration in force, with every default: keys as in the file. What filters are given is left out, since there may be
/// secrets in it.
#[utoipa::path(
    get,
    path = "/v1/config",
    responses((status = 200, description = "As it is meant.", body = Object), Any)
)]
pub async fn config(Given(state): Given<State>) -> Json<serde_json::Value> {
    Json(state.present.load().config.shown())
}

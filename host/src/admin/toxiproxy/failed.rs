//! Why something is not done, as Toxiproxy says it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::super::refused::Refused;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    pub error: String,
    pub status: u16,
}

impl Failed {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            status: status.as_u16(),
        }
    }

    pub fn no_proxy() -> Self {
        Self::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    pub fn no_toxic() -> Self {
        Self::new(StatusCode::NOT_FOUND, "toxic not found")
    }

    pub fn proxy_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "proxy already exists")
    }

    pub fn toxic_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "toxic already exists")
    }

    pub fn too_many(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    pub fn stream() -> Self {
        let error = "stream was invalid, can be either upstream or downstream";
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub fn kind() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid toxic type")
    }

    pub fn missing(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("missing required field: {field}"))
    }

    pub fn body(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("bad request body: {error}"))
    }

    /// What Toxiproxy could do, and a listener of the configuration does not.
    pub fn configured(name: &str, what: &str) -> Self {
        let name = name.escape_debug();
        Self::body(format!(
            "the proxies are the listeners of the configuration: {what} `{name}` there, and reload it"
        ))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let (status, error) = refused.apart();
        Self::new(status, error)
    }
}

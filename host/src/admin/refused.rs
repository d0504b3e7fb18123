//! Why something is not answered, or not done: what, and what to do about it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::said::Failure;
use crate::server::{Ending, Silent};

#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    failure: Failure,
}

impl Refused {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status,
            failure: Failure {
                error: error.into(),
                hint: hint.into(),
            },
        }
    }

    pub fn unauthorized() -> Self {
        let hint = "send the header `Authorization: Bearer TOKEN`; `spliceway ctl` takes `--token-file`";
        Self::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong", hint)
    }

    pub fn missing(what: &str, name: &str, list: &str) -> Self {
        let error = format!("there is no {what} `{}`", name.escape_debug());
        Self::new(
            StatusCode::NOT_FOUND,
            error,
            format!("GET {list} lists those that there are"),
        )
    }

    pub fn conflict(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, hint)
    }

    pub fn meaningless(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, hint)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.failure)).into_response()
    }
}

impl From<Silent> for Refused {
    fn from(silent: Silent) -> Self {
        let hint = "a filter's call may keep it busy: GET /v1/filters has their limits' breaches; ask again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, silent.to_string(), hint)
    }
}

impl From<Ending> for Refused {
    fn from(ending: Ending) -> Self {
        Self::conflict(
            ending.to_string(),
            "it takes no more orders, and ends with its last connection",
        )
    }
}

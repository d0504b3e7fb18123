//! Why something is not answered, or not done: what, and what to do about it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::said::Failure;
use crate::config::Problems;
use crate::reload::Unfit;
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

    /// For who says it otherwise.
    pub fn apart(self) -> (StatusCode, String) {
        (self.status, self.failure.error)
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

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Missing { what, name } => {
                let list = match what {
                    "filter" => "/v1/filters",
                    "listener" => "/v1/listeners",
                    _ => "/v1/upstreams",
                };
                Self::missing(what, &name, list)
            }
            Unfit::Conflict { error, hint } => Self::conflict(error, hint),
            Unfit::Wrong(problems) => Self::meaningless(problems.join("\n"), "nothing has changed"),
        }
    }
}

/// Of what an operator has typed, in the words that a file would be answered with.
impl From<Problems> for Refused {
    fn from(problems: Problems) -> Self {
        Self::meaningless(problems.to_string(), "nothing has changed")
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

//! What a request says: bounded, and refused with a reason.

use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::refused::Refused;

/// What is asked for takes a line.
pub const LONGEST_BODY: usize = 64 << 10;

/// A configuration of ten thousand servers has a sixth of it.
pub const LONGEST_TEXT: usize = 4 << 20;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

const DESCRIBED: &str = "GET /v1/openapi.json describes what is expected";

/// The body, as JSON, whatever its type is said to be; of so many bytes at the most.
pub struct Body<T, const LONGEST: usize = LONGEST_BODY>(pub T);

/// What stands behind the `?`.
pub struct Asked<T>(pub T);

/// What stands in the path.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const LONGEST: usize> FromRequest<S> for Body<T, LONGEST> {
    type Rejection = Refused;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Refused> {
        let too_long = |status| {
            let hint = format!("a body has up to {LONGEST} bytes here");
            Refused::new(status, "the body cannot be read", hint)
        };
        // Without waiting for what will be too long.
        if request.body().size_hint().lower() > LONGEST as u64 {
            return Err(too_long(StatusCode::PAYLOAD_TOO_LARGE));
        }
        DefaultBodyLimit::max(LONGEST).apply(&mut request);
        let late = |_| {
            let error = format!("the body has not come within {} s", PATIENCE.as_secs());
            Refused::new(StatusCode::REQUEST_TIMEOUT, error, "send it at once")
        };
        let read = timeout(PATIENCE, Bytes::from_request(request, state))
            .await
            .map_err(late)?;
        let bytes = read.map_err(|rejection| too_long(rejection.status()))?;
        // An empty one says nothing, as `{}` does.
        let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| {
            let status = match error.is_data() {
                true => StatusCode::UNPROCESSABLE_ENTITY,
                false => StatusCode::BAD_REQUEST,
            };
            Refused::new(status, format!("the body is not what is expected: {error}"), DESCRIBED)
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Query(asked) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Refused::new(StatusCode::BAD_REQUEST, rejection.body_text(), DESCRIBED))?;
        Ok(Self(asked))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Path(named) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Refused::new(StatusCode::BAD_REQUEST, rejection.body_text(), DESCRIBED))?;
        Ok(Self(named))
    }
}

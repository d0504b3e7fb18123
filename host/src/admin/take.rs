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

/// The same where there need not be one: an empty one says nothing, as `{}` does.
pub struct MaybeBody<T>(pub T);

/// What stands behind the `?`.
pub struct Asked<T>(pub T);

/// What stands in the path.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const LONGEST: usize> FromRequest<S> for Body<T, LONGEST> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        understood(&read(request, state, LONGEST).await?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let bytes = read(request, state, LONGEST_BODY).await?;
        understood(if bytes.is_empty() { b"{}" } else { &bytes }).map(Self)
    }
}

/// All of the body.
///
/// # Errors
/// It has more bytes than `longest`, or does not come in time.
pub async fn read<S: Send + Sync>(mut request: Request, state: &S, longest: usize) -> Result<Bytes, Refused> {
    let too_long = |status| {
        let hint = format!("a body has up to {longest} bytes here");
        Refused::new(status, "the body cannot be read", hint)
    };
    // Without waiting for what will be too long.
    if request.body().size_hint().lower() > longest as u64 {
        return Err(too_long(StatusCode::PAYLOAD_TOO_LARGE));
    }
    DefaultBodyLimit::max(longest).apply(&mut request);
    let late = |_| {
        let error = format!("the body has not come within {} s", PATIENCE.as_secs());
        Refused::new(StatusCode::REQUEST_TIMEOUT, error, "send it at once")
    };
    let read = timeout(PATIENCE, Bytes::from_request(request, state));
    let read = read.await.map_err(late)?;
    read.map_err(|rejection| too_long(rejection.status()))
}

fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    if bytes.is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "there is no body", DESCRIBED));
    }
    // serde takes a list for what has keys as well.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let error = "the body is not what is expected: it is a list";
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error, DESCRIBED));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let status = match error.is_data() {
            true => StatusCode::UNPROCESSABLE_ENTITY,
            false => StatusCode::BAD_REQUEST,
        };
        Refused::new(status, format!("the body is not what is expected: {error}"), DESCRIBED)
    })
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

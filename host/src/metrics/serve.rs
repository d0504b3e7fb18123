//! The page over HTTP.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Snapshot;
use super::page::{CONTENT_TYPE, page};
use crate::config::{ListenAddress, ListenerConfig};
use crate::http::{Bound, Service, Terms};
use crate::in_force::Present;

/// One question each. Prometheus itself waits for 10 seconds; a request is a line and a few headers, and more connections at a
/// time than ask.
const TERMS: Terms = Terms {
    most: 16,
    patience: Duration::from_secs(10),
    longest_head: 8 << 10,
    keep_alive: false,
};

/// # Errors
/// The address is taken, is not this machine's, or may not be bound.
pub fn bind(address: &ListenAddress) -> anyhow::Result<Bound> {
    Bound::new("metrics", &ListenerConfig::new("", address.clone()))
}

/// Answers until what is returned is dropped.
///
/// # Errors
/// There is no thread, or nothing to wait with, to be had.
pub fn serve(bound: Bound, present: Present) -> anyhow::Result<Service> {
    Service::start("metrics", bound, TERMS, answers(present))
}

/// What is asked for, and what is answered.
fn answers(present: Present) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "The metrics are at /metrics.\n"))
        .with_state(present)
}

async fn scrape(State(present): State<Present>) -> Response {
    match page(Snapshot::of(&present.load())) {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the metrics cannot be put into words");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

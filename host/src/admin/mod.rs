//! Where the proxy is asked what it does, and told what to do, while it runs: a JSON API on a thread of its own.
//!
//! ```text
//! listener of [admin] -> token -> api::{status, listeners, ...} -> in_force (read), Desk (workers and the main loop)
//! ```
//!
//! What is said is in [`said`], which `spliceway ctl` reads too. Nothing here is on the way of the bytes.

mod api;
mod refused;
pub mod said;
mod take;
mod token;
mod trace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;

use crate::config::{AdminConfig, ListenAddress, ListenerConfig};
use crate::handover::Offer;
use crate::http::{Bound, Service, Terms};
use crate::in_force::Present;
use crate::server::Desk;
pub use token::Token;

/// More connections than operators and their tools have at a time. A request's line and headers are small; its body is
/// bounded where it is read.
const TERMS: Terms = Terms {
    most: 64,
    patience: Duration::from_secs(10),
    longest_head: 16 << 10,
    keep_alive: true,
};

/// An address at which nobody is answered yet, and the token that will be asked for.
pub struct Admin {
    bound: Bound,
    token: Option<Token>,
}

/// What answers are made of.
#[derive(Clone)]
struct State {
    present: Present,
    desk: Desk,
    started: Instant,
    /// The description of the API.
    description: Arc<str>,
}

impl Admin {
    /// # Errors
    /// The address is taken, is not this machine's, or may not be bound; or there is no token where there has to be one.
    pub fn bind(config: &AdminConfig) -> anyhow::Result<Self> {
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        let listener = ListenerConfig {
            socket_file: config.socket_file,
            ..ListenerConfig::new("", config.address.clone())
        };
        let bound = Bound::new("admin", &listener).map_err(|error| match &config.address {
            ListenAddress::Unix(path) if path.parent().is_some_and(|folder| !folder.exists()) => {
                let folder = path.parent().unwrap_or(path).display();
                error.context(format!(
                    "{folder} is not there: create it (systemd: `RuntimeDirectory=`), or set `listen` under `[admin]`"
                ))
            }
            _ => error,
        })?;
        Ok(Self { bound, token })
    }

    /// Its socket, for the process that takes the place of this one.
    pub fn offer(&self) -> &Offer {
        self.bound.offer()
    }

    /// Answers until what is returned is dropped.
    ///
    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(self, desk: Desk, present: Present) -> anyhow::Result<Service> {
        let has_token = self.token.is_some();
        let service = Service::start("admin", self.bound, TERMS, answers(self.token, desk, present)?)?;
        tracing::info!(address = %service.address(), token = has_token, "admin interface is served");
        Ok(service)
    }
}

fn answers(token: Option<Token>, desk: Desk, present: Present) -> anyhow::Result<Router> {
    let (router, description) = api::routes(token.is_some());
    let state = State {
        present,
        desk,
        started: Instant::now(),
        description: serde_json::to_string(&description)?.into(),
    };
    let router = router.with_state(state);
    Ok(match token {
        None => router,
        Some(token) => token::ask_for(router, token),
    })
}

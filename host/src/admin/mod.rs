//! Where the proxy is asked what it does, and told what to do, while it runs: a JSON API on a thread of its own.
//!
//! ```text
//! listener of [admin] -> browser -> token -> api::{status, listeners, ...} -> in_force (read), Desk (workers and the main loop)
//!                                -> page (its files: they hold no secrets)
//! listener of [toxiproxy] -> browser -> toxiproxy    Toxiproxy's API, which has no token
//! ```
//!
//! What is said is in [`said`], which `spliceway ctl` and the page read too. Nothing here is on the way of the bytes.

mod api;
mod browser;
mod page;
mod refused;
pub mod said;
mod take;
mod token;
pub mod toxiproxy;
mod trace;
mod watching;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;

use crate::config::{AdminConfig, ListenAddress, ListenerConfig};
use crate::handover::Offer;
use crate::http::{Bound, Service, Terms};
use crate::in_force::Present;
use crate::server::Desk;
pub use token::Token;
use watching::Watching;

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

/// Answers until it is dropped; what was asked by then is still answered.
pub struct Interface {
    service: Service,
    offer: Offer,
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
    watching: Watching,
}

impl Admin {
    /// # Errors
    /// The address is taken, is not this machine's, or may not be bound; or there is no token where there has to be one.
    pub fn bind(config: &AdminConfig) -> anyhow::Result<Self> {
        let token = token(config)?;
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

    pub fn offer(&self) -> &Offer {
        self.bound.offer()
    }

    /// At the socket of another one, which is where the configuration wants this one to be.
    ///
    /// # Errors
    /// There is no token where there has to be one, or no descriptor left.
    pub fn beside(other: &Interface, config: &AdminConfig) -> anyhow::Result<Self> {
        Ok(Self {
            token: token(config)?,
            bound: Bound::again(&other.offer, other.service.address())?,
        })
    }

    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(self, desk: Desk, present: Present) -> anyhow::Result<Interface> {
        let has_token = self.token.is_some();
        let offer = self.offer().clone();
        let answers = answers(self.token.clone(), desk, present)?;
        let service = Service::start("admin", self.bound, TERMS, answers)?;
        tracing::info!(address = %service.address(), token = has_token, "admin interface is served");
        Ok(Interface {
            service,
            offer,
            token: self.token,
        })
    }
}

impl Interface {
    /// Its socket, for the process that takes the place of this one.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Whether the token that it asks for is the one that the file has now.
    ///
    /// # Errors
    /// There is no token where there has to be one.
    pub fn has_token_of(&self, config: &AdminConfig) -> anyhow::Result<bool> {
        Ok(match (&self.token, &token(config)?) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        })
    }
}

/// # Errors
/// There is no such file, or what is in it is no token.
pub fn token(config: &AdminConfig) -> anyhow::Result<Option<Token>> {
    config.token_file.as_deref().map(Token::read).transpose()
}

fn answers(token: Option<Token>, desk: Desk, present: Present) -> anyhow::Result<Router> {
    let has_token = token.is_some();
    let (router, description) = api::routes(has_token);
    let state = State {
        present,
        desk,
        started: Instant::now(),
        description: serde_json::to_string(&description)?.into(),
        watching: Watching::default(),
    };
    let router = router.with_state(state);
    let router = match token {
        None => router,
        Some(token) => token::ask_for(router, token),
    };
    Ok(browser::keep_out(page::routes().merge(router), has_token))
}

//! A listener's routes, compiled once: which of them a connection takes, from what is known of it so far.
//!
//! A condition holds, does not hold, or cannot be told yet. A route is ruled out by one condition that does not hold, however
//! much else is unknown. The first route that is not ruled out decides: either all of its conditions hold, or more has to be
//! known. What comes later can therefore never overtake a route that may still match.

mod conditions;
mod explain;
mod index;
mod known;
mod target;
#[cfg(test)]
mod tests;

pub use regex::Regex as Expression;

pub use crate::config::{OnChange, Pattern, RouteConfig, RouteTarget, TreatmentConfig};
pub use explain::{Awaited, Explanation, Finding, Step};
pub use known::{First, Known, Tls};
pub use target::Target;

use crate::detect::Answer;
use index::Index;
use target::Targets;

/// The routes of one listener. Their numbers are their places in the configuration, from 0.
#[derive(Debug)]
pub struct Rules {
    routes: Box<[RouteConfig]>,
    index: Index,
    targets: Targets,
    asks: Asks,
    asks_for_tlvs: bool,
}

/// What has to be found out of a connection for the sake of its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asks {
    /// The name that the client asks for in TLS, or what it offers: its ClientHello.
    pub hello: bool,
    /// Which protocol it speaks: its first bytes.
    pub protocol: bool,
}

impl Asks {
    /// Whether the client has to say something before its route is known.
    pub fn is_anything(self) -> bool {
        self.hello || self.protocol
    }
}

/// Which route a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// By this route.
    Route(usize),
    /// No route is for this connection, whatever else it says.
    NoMatch,
    /// Never where `Known::over`.
    NeedMore,
}

impl Rules {
    /// Compiles them: work for when a configuration is loaded.
    pub fn new(routes: &[RouteConfig]) -> Self {
        Self {
            index: Index::new(routes),
            targets: Targets::new(routes),
            asks: Asks {
                hello: routes
                    .iter()
                    .any(|route| !route.sni.is_empty() || !route.alpn.is_empty()),
                protocol: routes.iter().any(|route| !route.protocol.is_empty()),
            },
            asks_for_tlvs: routes.iter().any(|route| !route.tlvs.is_empty()),
            routes: routes.into(),
        }
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// What has to be found out for the sake of any of them.
    pub fn asks_for(&self) -> Asks {
        self.asks
    }

    /// What it costs does not grow with the number of routes that are for other names, once the name is known.
    pub fn decide(&self, known: &Known<'_>) -> Decided {
        if known.hello_may_come() {
            return first((0..self.routes.len()).map(|route| (route, self.answer(route, known))));
        }
        let candidates = self.index.candidates(known.server_name());
        first(candidates.map(|route| (route, self.answer_of_candidate(route, known))))
    }

    /// What logs and explanations call a route.
    pub fn name(&self, route: usize) -> &str {
        &self.routes[route].name
    }

    /// Whether one of them asks for what the PROXY header says.
    pub fn asks_for_tlvs(&self) -> bool {
        self.asks_for_tlvs
    }

    /// What a route was made of.
    pub fn route(&self, route: usize) -> &RouteConfig {
        &self.routes[route]
    }

    /// Where a route leads. `draw`: any number, each as likely as the others; it chooses where a route splits, and the same
    /// one always chooses the same.
    pub fn target(&self, route: usize, draw: u64) -> Target {
        self.targets.draw(route, draw)
    }

    /// What the numbers of `Target::Upstream` stand for: each name once.
    pub fn upstream_names(&self) -> &[String] {
        self.targets.upstream_names()
    }

    fn answer(&self, route: usize, known: &Known<'_>) -> Answer {
        conditions::all(&self.routes[route], known)
    }

    /// Of those that have the name in the index it is known to fit.
    fn answer_of_candidate(&self, route: usize, known: &Known<'_>) -> Answer {
        if self.index.has(route) {
            conditions::besides_name(&self.routes[route], known)
        } else {
            self.answer(route, known)
        }
    }
}

/// The first that is not ruled out decides.
fn first(answers: impl Iterator<Item = (usize, Answer)>) -> Decided {
    for (route, answer) in answers {
        match answer {
            Answer::No => {}
            Answer::Yes => return Decided::Route(route),
            Answer::NeedMore => return Decided::NeedMore,
        }
    }
    Decided::NoMatch
}

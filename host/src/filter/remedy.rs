//! What becomes of a connection whose filter failed.

use std::sync::Arc;

use super::chain::Stop;
use super::facts::{Attributes, Facts, Value};
use super::failure::Failure;
use super::generation::Generation;
use crate::config::OnError;

/// How a connection goes on.
pub(super) enum Remedy {
    /// Without the filter.
    Pass,
    /// With the generation before.
    Previous(Arc<Generation>),
}

/// What a filter had of a connection when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grip {
    /// Nothing: another one can take its place.
    None,
    /// It has seen bytes, all of which the host has too: it can be left out, and another one would see the middle.
    Seen,
    /// It was given bytes, and nobody but it knows what is to come of them: a stream without them would be another one.
    Taken,
}

/// A failure that the connection has survived, for who asks about it.
#[derive(Debug)]
struct Survived {
    filter: Arc<str>,
    action: &'static str,
}

impl Attributes for Survived {
    fn attribute(&self, _: &str) -> Option<Value> {
        None
    }

    fn failed(&self) -> Option<(&Arc<str>, &'static str)> {
        Some((&self.filter, self.action))
    }
}

/// Says what went wrong, counts it, and says what the policy makes of it.
///
/// # Errors
/// The connection is closed.
pub(super) fn remedy(generation: &Generation, facts: &Facts, failure: &Failure, grip: Grip) -> Result<Remedy, Stop> {
    generation.failed(failure.kind);
    let previous = || generation.previous().map(Remedy::Previous);
    let remedy = match (generation.on_error(), grip) {
        (OnError::Pass, Grip::None | Grip::Seen) => Some(Remedy::Pass),
        (OnError::Previous, Grip::None) => previous(),
        (OnError::Pass | OnError::Previous | OnError::Close, _) => None,
    };
    let action = match remedy {
        Some(Remedy::Pass) => "pass",
        Some(Remedy::Previous(_)) => "previous",
        None => "close",
    };
    failure.log(generation, Some(facts), action);
    if remedy.is_some() {
        let filter = Arc::clone(generation.name());
        facts.learn(Arc::new(Survived { filter, action }));
    }
    remedy.ok_or_else(|| Stop::Failed {
        filter: Arc::clone(generation.name()),
    })
}

//! What routers are asked, and what they may answer.

use std::sync::Arc;

use super::chain::{Stop, refused, report};
use super::facts::{Attribute, Facts};
use super::failure::Failure;
use super::generation::Generation;
use super::instance;
use super::sessions::Instances;

pub use super::instance::Window;

#[derive(Debug, PartialEq)]
pub enum Decision {
    /// No opinion.
    Pass,
    /// Ask again when so many more bytes came.
    Need(usize),
    /// Take so many bytes off the front of the window, and send these to the client.
    Exchange { consume: usize, reply: Vec<u8> },
    /// The name of an upstream, and what the connection to it is to be like.
    Route { upstream: String, options: Vec<Attribute> },
}

/// Asks one router. A failure whose policy is to go on counts as `Pass`.
///
/// # Errors
/// The router refuses the connection, or it failed and its policy is to close.
pub fn ask(
    instances: &Instances,
    generation: &Arc<Generation>,
    facts: &Arc<Facts>,
    window: &Window,
) -> Result<Decision, Stop> {
    Ok(match instances.route(generation, facts, window) {
        Ok(instance::Decision::Pass) => Decision::Pass,
        Ok(instance::Decision::Need(more)) => Decision::Need((more as usize).max(1)),
        Ok(instance::Decision::Exchange(exchange)) => Decision::Exchange {
            consume: exchange.consume as usize,
            reply: exchange.reply,
        },
        Ok(instance::Decision::Route(choice)) => Decision::Route {
            upstream: choice.upstream,
            options: choice.options.into_iter().map(Into::into).collect(),
        },
        Ok(instance::Decision::Refuse(refusal)) => return Err(refused(generation.name(), refusal)),
        Err(failure) => {
            report(generation, facts, &failure)?;
            Decision::Pass
        }
    })
}

/// Treats an answer that the contract forbids as a failure of the filter.
///
/// # Errors
/// The policy is to close.
pub fn blame(generation: &Generation, facts: &Facts, message: String) -> Result<(), Stop> {
    report(generation, facts, &Failure::contract(message))
}

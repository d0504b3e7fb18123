//! What routers are asked, and what they may answer.

use std::sync::Arc;

use super::chain::{Stop, refused};
use super::facts::{Attribute, Facts};
use super::failure::Failure;
use super::generation::Generation;
use super::instance;
use super::remedy::{Grip, Remedy, remedy};
use super::sessions::Instances;
use super::tally::{Role, Verdict};

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
    let mut generation = Arc::clone(generation);
    loop {
        let answer = instances.route(&generation, facts, window);
        let failure = match answer.and_then(|decision| check(&generation, decision)) {
            Ok(decision) => return decision,
            Err(failure) => failure,
        };
        instances.failed(&generation, &failure);
        // It keeps nothing from one call to the next.
        match remedy(&generation, facts, &failure, Grip::None)? {
            Remedy::Previous(previous) if previous.is_router() => generation = previous,
            Remedy::Previous(_) | Remedy::Pass => return Ok(Decision::Pass),
        }
    }
}

/// What an answer means, if the contract allows it.
fn check(generation: &Generation, decision: instance::Decision) -> Result<Result<Decision, Stop>, Failure> {
    let (verdict, decision) = match decision {
        instance::Decision::Pass => (Verdict::Pass, Ok(Decision::Pass)),
        instance::Decision::Need(more) => (Verdict::Need, Ok(Decision::Need((more as usize).max(1)))),
        instance::Decision::Exchange(exchange) => {
            let (bytes, most) = (exchange.reply.len() as u64, generation.limits().output);
            if bytes > most {
                return Err(Failure::contract(format!(
                    "it replies with {bytes} bytes: the most is {most} (`output` of its limits)"
                )));
            }
            let exchange = Decision::Exchange {
                consume: exchange.consume as usize,
                reply: exchange.reply,
            };
            (Verdict::Exchange, Ok(exchange))
        }
        instance::Decision::Route(choice) => {
            let route = Decision::Route {
                upstream: choice.upstream,
                options: choice.options.into_iter().map(Into::into).collect(),
            };
            (Verdict::Route, Ok(route))
        }
        instance::Decision::Refuse(refusal) => (Verdict::Refuse, Err(refused(generation.name(), refusal)?)),
    };
    generation.tally().verdict(Role::Router, verdict);
    Ok(decision)
}

/// Treats an answer that the contract forbids as a failure of the filter.
///
/// # Errors
/// The policy is to close.
pub fn blame(generation: &Generation, facts: &Facts, message: String) -> Result<(), Stop> {
    match remedy(generation, facts, &Failure::contract(message), Grip::None)? {
        Remedy::Pass | Remedy::Previous(_) => Ok(()),
    }
}

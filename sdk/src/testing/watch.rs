use super::scene::{Step, pass_time};
use crate::{Direction, Refusal};

/// A session with whoever watches a connection, step by step.
pub(super) trait Watch {
    fn step(&mut self, step: &Step);

    fn watched(self: Box<Self>) -> Watched;
}

/// What came of it.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) to_upstream: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    pub(super) refusal: Option<Refusal>,
    /// Up, and down.
    pub(super) shown: [usize; 2],
    pub(super) detached: [bool; 2],
}

/// Nobody watches.
#[derive(Default)]
pub(super) struct Unwatched(Watched);

impl Watch for Unwatched {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes(Direction::Up, bytes) => self.0.to_upstream.extend(bytes),
            Step::Bytes(Direction::Down, bytes) => self.0.to_client.extend(bytes),
            Step::Finish(_) | Step::TimeOut | Step::Fill => {}
            Step::Wait(_) => pass_time(step),
        }
    }

    fn watched(self: Box<Self>) -> Watched {
        Watched {
            detached: [true, true],
            ..self.0
        }
    }
}

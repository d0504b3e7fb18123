use super::Host;
use super::scene::{Scene, Step, pass_time};
use super::watch::{Watch, Watched};
use crate::{Chunk, Connection, Direction, Directions, Next, Output, Refusal, Transformer};

/// What came of giving a connection to a transformer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transformed {
    /// What the upstream received.
    pub to_upstream: Vec<u8>,
    /// What the client received.
    pub to_client: Vec<u8>,
    /// Set where the transformer closed the connection.
    pub refusal: Option<Refusal>,
    /// What the transformer annotated, logged, stored and counted.
    pub host: Host,
}

impl Scene {
    /// Gives the connection to a transformer.
    #[track_caller]
    pub fn transform<T: Transformer>(&self) -> Transformed {
        let (mut transformed, host) = self.run(true, |config| {
            let mut transformation = Transformation::<T>::begin(config);
            for step in &self.steps {
                transformation.step(step);
            }
            transformation.result
        });
        transformed.host = host;
        transformed
    }
}

impl Transformed {
    fn new() -> Self {
        Self {
            to_upstream: Vec::new(),
            to_client: Vec::new(),
            refusal: None,
            host: Host::default(),
        }
    }

    fn send(&mut self, output: Output) {
        self.to_upstream.extend(output.to_upstream);
        self.to_client.extend(output.to_client);
    }
}

/// A session with a transformer.
pub(super) struct Transformation<T> {
    session: T,
    /// What it still wants to see.
    interest: Directions,
    shown: [usize; 2],
    result: Transformed,
}

impl<T: Transformer> Watch for Transformation<T> {
    fn step(&mut self, step: &Step) {
        Self::step(self, step);
    }

    fn watched(self: Box<Self>) -> Watched {
        Watched {
            shown: self.shown,
            detached: [Direction::Up, Direction::Down].map(|direction| !self.interest.contains(direction)),
            to_upstream: self.result.to_upstream,
            to_client: self.result.to_client,
            refusal: self.result.refusal,
        }
    }
}

impl<T: Transformer> Transformation<T> {
    pub(super) fn begin(config: &'static T::Config) -> Self {
        let session = T::open(config, &Connection::current());
        Self {
            interest: session.interest(),
            session,
            shown: [0, 0],
            result: Transformed::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes(direction, bytes) => {
                for piece in bytes.chunks(16 * 1024) {
                    self.arrive(Chunk::new(*direction, piece.to_vec(), false));
                }
            }
            Step::Finish(direction) => self.arrive(Chunk::new(*direction, Vec::new(), true)),
            Step::Wait(_) => pass_time(step),
            Step::TimeOut | Step::Fill => {}
        }
    }

    fn arrive(&mut self, chunk: Chunk) {
        if self.result.refusal.is_some() {
            return;
        }
        let direction = chunk.direction;
        if !self.interest.contains(direction) {
            self.result.send(Output::forward(direction, chunk.bytes));
            return;
        }
        self.shown[direction as usize] += chunk.bytes.len();
        let output = self.session.on_bytes(chunk, &Connection::current());
        match &output.next {
            Next::More => {}
            Next::Detach => self.interest = without(self.interest, direction),
            Next::Refuse(refusal) => self.result.refusal = Some(refusal.clone()),
        }
        self.result.send(output);
    }
}

fn without(interest: Directions, direction: Direction) -> Directions {
    match (
        interest.contains(Direction::Up),
        interest.contains(Direction::Down),
        direction,
    ) {
        (_, true, Direction::Up) => Directions::Down,
        (true, _, Direction::Down) => Directions::Up,
        _ => Directions::Neither,
    }
}

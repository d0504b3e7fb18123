use super::Host;
use super::scene::{Scene, Step, pass_time};
use super::watch::{Watch, Watched};
use crate::{Chunk, Connection, Direction, Directions, Inspector, Refusal, Verdict};

const SHOWN_AT_ONCE: usize = 16 * 1024;
const HELD: usize = 64 * 1024;

/// What came of showing a connection to an inspector.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// Every answer, in order.
    pub verdicts: Vec<(Direction, Verdict)>,
    /// From the client to the upstream.
    pub up: Flow,
    /// From the upstream to the client.
    pub down: Flow,
    /// Set where the inspector closed the connection.
    pub refusal: Option<Refusal>,
    /// What the inspector annotated, logged, stored and counted.
    pub host: Host,
}

/// What became of the bytes of one direction.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Flow {
    /// They went on.
    pub forwarded: Vec<u8>,
    /// They are still held.
    pub held: Vec<u8>,
    /// How many of them the inspector saw.
    pub shown: usize,
    /// The inspector never sees this direction again.
    pub detached: bool,
    missing: usize,
    skipped: u64,
}

impl Scene {
    /// Shows the connection to an inspector. Panics where the inspector breaks the contract.
    #[track_caller]
    pub fn inspect<I: Inspector>(&self) -> Inspected {
        let (mut inspected, host) = self.run(true, |config| {
            let mut inspection = Inspection::<I>::begin(config);
            for step in &self.steps {
                inspection.step(step);
            }
            inspection.result
        });
        inspected.host = host;
        inspected
    }
}

impl Inspected {
    fn new() -> Self {
        Self {
            verdicts: Vec::new(),
            up: Flow::default(),
            down: Flow::default(),
            refusal: None,
            host: Host::default(),
        }
    }

    fn flow(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// A session with an inspector.
pub(super) struct Inspection<I> {
    session: I,
    interest: Directions,
    result: Inspected,
}

impl<I: Inspector> Watch for Inspection<I> {
    fn step(&mut self, step: &Step) {
        Self::step(self, step);
    }

    fn watched(self: Box<Self>) -> Watched {
        let Inspected { up, down, refusal, .. } = self.result;
        Watched {
            shown: [up.shown, down.shown],
            detached: [
                up.detached || !self.interest.contains(Direction::Up),
                down.detached || !self.interest.contains(Direction::Down),
            ],
            to_upstream: up.forwarded,
            to_client: down.forwarded,
            refusal,
        }
    }
}

impl<I: Inspector> Inspection<I> {
    pub(super) fn begin(config: &'static I::Config) -> Self {
        let session = I::open(config, &Connection::current());
        Self {
            interest: session.interest(),
            session,
            result: Inspected::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes(direction, bytes) => {
                for piece in bytes.chunks(SHOWN_AT_ONCE) {
                    self.arrive(*direction, piece);
                }
            }
            Step::Finish(direction) => self.finish(*direction),
            Step::Wait(_) => pass_time(step),
            Step::TimeOut | Step::Fill => {}
        }
    }

    fn arrive(&mut self, direction: Direction, bytes: &[u8]) {
        if self.result.refusal.is_some() {
            return;
        }
        let unseen = !self.interest.contains(direction);
        let flow = self.result.flow(direction);
        if unseen || flow.detached {
            flow.forwarded.extend(bytes);
            return;
        }
        let skipped = usize::try_from(flow.skipped).unwrap_or(usize::MAX).min(bytes.len());
        let (skipped, seen) = bytes.split_at(skipped);
        flow.skipped -= skipped.len() as u64;
        flow.forwarded.extend(skipped);
        if seen.is_empty() {
            return;
        }
        flow.held.extend(seen);
        flow.shown += seen.len();
        flow.missing = flow.missing.saturating_sub(seen.len());
        if flow.missing == 0 {
            self.show(direction, false);
        }
    }

    /// A direction whose last bytes were skipped ends unseen.
    fn finish(&mut self, direction: Direction) {
        let over = self.result.refusal.is_some() || !self.interest.contains(direction);
        let flow = self.result.flow(direction);
        if !over && !flow.detached && flow.skipped == 0 {
            self.show(direction, true);
        }
    }

    fn show(&mut self, direction: Direction, finished: bool) {
        let bytes = std::mem::take(&mut self.result.flow(direction).held);
        let chunk = Chunk::new(direction, bytes.clone(), finished);
        let verdict = self.session.on_bytes(chunk, &Connection::current());
        self.result.verdicts.push((direction, verdict.clone()));
        let flow = self.result.flow(direction);
        match verdict {
            Verdict::Hold(more) if !finished => {
                let more = more.max(1);
                assert!(
                    bytes.len() + more <= HELD,
                    "{} bytes held, and {more} more, are over {HELD}",
                    bytes.len()
                );
                flow.held = bytes;
                flow.missing = more;
                return;
            }
            Verdict::Forward | Verdict::Hold(_) => {}
            Verdict::Skip(next) => flow.skipped = next,
            Verdict::Detach => flow.detached = true,
            Verdict::Refuse(refusal) => {
                self.result.refusal = Some(refusal);
                return;
            }
        }
        flow.forwarded.extend(bytes);
    }
}

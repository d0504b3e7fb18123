//! What the faults of one direction of a connection do to its bytes.
//!
//! ```text
//! feed -> stage -> stage -> ... -> slicer -> step
//! ```
//!
//! It reads no clock and no socket: what it does follows from what it is told, when, and from seeds. Each fault is a stage,
//! in which bytes wait until their time has come. What a slicer cuts would be put together again behind it, so one slicer has
//! the last word: the finest.

mod slicer;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::Hit;
use crate::flow::Direction;
use slicer::Slicer;
use stage::{Item, Last, Stage};

/// What a line holds. Who sends faster than faults let through waits: at a latency of 100 ms a direction moves up to 10 MiB a
/// second.
const MOST: usize = 1 << 20;

/// What is counted of a piece besides its bytes: what it takes to remember it.
const PIECE: usize = 128;

/// What goes out in one step, and what may come in by one.
const PORTION: usize = 64 << 10;

/// The bytes of one direction of a connection that faults hit.
#[derive(Debug)]
pub struct Line {
    direction: Direction,
    stages: Vec<Stage>,
    slicer: Option<Slicer>,
    /// Has been through all stages.
    ready: VecDeque<Item>,
    ready_bytes: usize,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There are bytes to be sent. When they have gone, it is to be asked again.
    Send,
    /// Nothing, until then, or until it is told something.
    Wait(Option<Instant>),
    /// All has been sent: the end is to be said.
    Finish,
    /// The connection is to end, with RST or with FIN.
    Cut { reset: bool },
}

impl Line {
    /// `None` where none of the faults is one of this direction's bytes.
    pub fn new<'a>(hits: impl Iterator<Item = &'a Hit>, direction: Direction, now: Instant) -> Option<Self> {
        let mut line = Self {
            direction,
            stages: Vec::new(),
            slicer: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
        };
        line.replace(hits, now);
        line.has_faults().then_some(line)
    }

    /// These hit from now on. What those hold that are gone goes on at once, in front of all that comes behind it; where they
    /// have dropped something, the connection is cut, since what follows would be taken for what is missing.
    pub fn replace<'a>(&mut self, hits: impl Iterator<Item = &'a Hit>, now: Instant) {
        self.advance(now);
        let hits: Vec<_> = hits.filter(|hit| hit.fault.config().hits(self.direction)).collect();
        self.slicer = Slicer::finest(self.slicer.take(), &hits, self.direction, now);
        let mut before: VecDeque<_> = std::mem::take(&mut self.stages).into();
        for hit in hits.into_iter().filter(|hit| Stage::takes(hit)) {
            // In the order in which they were: no byte is to overtake another.
            let Some(place) = before.iter().position(|stage| stage.is_of(hit)) else {
                self.stages.push(Stage::new(hit.clone(), self.direction, now));
                continue;
            };
            let gone: Vec<_> = before.drain(..place).collect();
            let Some(mut stage) = before.pop_front() else { continue };
            stage.change(hit.clone(), now);
            for item in gone.into_iter().rev().flat_map(Stage::release) {
                stage.enter(now, item);
            }
            self.stages.push(stage);
        }
        for item in before.into_iter().rev().flat_map(Stage::release) {
            self.pass(item);
        }
    }

    pub fn has_faults(&self) -> bool {
        !self.stages.is_empty() || self.slicer.is_some()
    }

    /// Whether nothing is held, and nothing is still to be said of what has come.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.stages.iter().all(Stage::is_empty)
    }

    /// Those that have come and are neither sent nor dropped.
    pub fn bytes(&self) -> usize {
        self.ready_bytes + self.stages.iter().map(Stage::bytes).sum::<usize>()
    }

    /// The same, and what it takes to remember them.
    fn holds(&self) -> usize {
        let pieces = self.ready.len() + self.stages.iter().map(Stage::pieces).sum::<usize>();
        self.bytes() + pieces * PIECE
    }

    /// Whether nothing more is to be fed for now.
    pub fn is_full(&self) -> bool {
        self.holds() + PORTION > MOST
    }

    /// Bytes have come.
    pub fn feed(&mut self, now: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.enter(now, Item::Bytes(BytesMut::from(bytes)));
        }
    }

    /// The source has said its end.
    pub fn finish(&mut self, now: Instant) {
        self.enter(now, Item::Last(Last::Finish));
    }

    fn enter(&mut self, now: Instant, item: Item) {
        match self.stages.first_mut() {
            Some(stage) => stage.enter(now, item),
            None => self.pass(item),
        }
    }

    /// Says what is to be done now; bytes are put behind those of `out`, of which there are none.
    pub fn step(&mut self, now: Instant, out: &mut Vec<u8>) -> Step {
        self.advance(now);
        loop {
            match self.ready.front_mut() {
                None if out.is_empty() => return Step::Wait(self.next()),
                None => return Step::Send,
                Some(Item::Last(_)) if !out.is_empty() => return Step::Send,
                Some(Item::Last(Last::Finish)) => return Step::Finish,
                Some(Item::Last(Last::Cut { reset })) => return Step::Cut { reset: *reset },
                Some(Item::Bytes(bytes)) => {
                    let most = match &mut self.slicer {
                        None => PORTION - out.len(),
                        Some(slicer) => match slicer.cut(now) {
                            Ok(most) => most,
                            Err(until) => return Step::Wait(Some(until)),
                        },
                    };
                    let taken = bytes.len().min(most);
                    out.extend_from_slice(&bytes.split_to(taken));
                    self.ready_bytes -= taken;
                    if bytes.is_empty() {
                        self.ready.pop_front();
                    }
                    if self.slicer.is_some() || out.len() == PORTION {
                        return Step::Send;
                    }
                }
            }
        }
    }

    /// Moves all on whose time has come.
    fn advance(&mut self, now: Instant) {
        for at in 0..self.stages.len() {
            while let Some((when, item)) = self.stages[at].pop(now) {
                match self.stages.get_mut(at + 1) {
                    Some(next) => next.enter(when, item),
                    None => self.pass(item),
                }
            }
        }
    }

    /// It is behind all stages. Behind the end there is nothing.
    fn pass(&mut self, item: Item) {
        if !matches!(self.ready.back(), Some(Item::Last(_))) {
            self.ready_bytes += item.len();
            self.ready.push_back(item);
        }
    }

    /// When something has to be done that is not to be done now.
    fn next(&self) -> Option<Instant> {
        self.stages.iter().filter_map(Stage::next).min()
    }
}

//! The inspectors of one connection, in order, and the bytes that they hold.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::abi::types;
use super::facts::Facts;
use super::failure::Failure;
use super::generation::Generation;
use super::instance::{Directions, Verdict};
use super::sessions::{Instances, OpenSession};
use crate::config::OnError;
use crate::flow::Direction;

/// Every inspector that watches a connection. Each sees what the one before it let through: in the order of the
/// configuration for `up`, in reverse for `down`.
pub struct Chain {
    facts: Arc<Facts>,
    stages: VecDeque<Stage>,
    /// What one stage let through, on its way to the next. Kept for its allocation.
    between: Vec<u8>,
}

/// What a direction's filters want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Nothing, ever again.
    Nothing,
    /// The bytes after so many more.
    After(u64),
    /// The next byte.
    Next,
}

/// Why a filter ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It refused it: with FIN after what was forwarded, or with RST.
    Refused {
        filter: Arc<str>,
        reset: bool,
        reason: String,
    },
    /// It failed, and its policy is to close.
    Failed { filter: Arc<str> },
}

struct Stage {
    generation: Arc<Generation>,
    session: OpenSession,
    up: Watch,
    down: Watch,
}

/// One inspector's view of one direction.
#[derive(Default)]
struct Watch {
    attention: Attention,
    /// Shown and not let through yet.
    held: Vec<u8>,
    /// How many bytes `held` must have before they are shown again.
    wanted: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Attention {
    #[default]
    Watching,
    Skipping(u64),
    Detached,
}

/// What is shown in one call. A call costs the same up to here; with 64 KiB it costs five times as much, since the copy no
/// longer fits the CPU's first cache.
const SHOWN: usize = 16 << 10;

/// What a filter may hold back of one direction.
const MOST_HELD: usize = 64 << 10;

/// What is kept of a filter's reason for a refusal.
const LONGEST_REASON: usize = 256;

impl Chain {
    /// Begins a session with each inspector among `generations`. `None` where nobody watches.
    ///
    /// # Errors
    /// An inspector failed, and its policy is to close.
    pub fn open(
        instances: &Instances,
        generations: &[Arc<Generation>],
        facts: &Arc<Facts>,
    ) -> Result<Option<Box<Self>>, Stop> {
        let mut stages = VecDeque::new();
        for generation in generations.iter().filter(|generation| generation.is_inspector()) {
            match instances.open(generation, facts) {
                Ok((session, interest)) => stages.push_back(Stage::new(generation, session, interest)),
                Err(failure) => report(generation, facts, &failure)?,
            }
        }
        let chain = Self {
            facts: Arc::clone(facts),
            stages,
            between: Vec::new(),
        };
        Ok((!chain.is_done()).then(|| Box::new(chain)))
    }

    /// Whether no filter will look at either direction again.
    pub fn is_done(&self) -> bool {
        !self.watches(Direction::Up) && !self.watches(Direction::Down)
    }

    pub fn watches(&self, direction: Direction) -> bool {
        self.view(direction) != View::Nothing
    }

    pub fn view(&self, direction: Direction) -> View {
        if self.has_released(direction) {
            return View::Next;
        }
        let attentions = self.stages.iter().map(|stage| stage.watch(direction).attention);
        attentions.fold(View::Nothing, |view, attention| match (view, attention) {
            (View::Next, _) | (_, Attention::Watching) => View::Next,
            (view, Attention::Detached) => view,
            (View::Nothing, Attention::Skipping(bytes)) => View::After(bytes),
            (View::After(known), Attention::Skipping(bytes)) => View::After(known.min(bytes)),
        })
    }

    /// A filter failed while it held bytes of this direction and the policy is to go on: they wait for the next `feed`,
    /// which needs no bytes of its own.
    pub fn has_released(&self, direction: Direction) -> bool {
        let released = |watch: &Watch| watch.attention == Attention::Detached && !watch.held.is_empty();
        self.stages.iter().any(|stage| released(stage.watch(direction)))
    }

    /// So many bytes went by that nobody had to see: no more than `view` said.
    pub fn passed_unseen(&mut self, direction: Direction, bytes: u64) {
        for stage in &mut self.stages {
            let watch = stage.watch_mut(direction);
            if let Attention::Skipping(left) = watch.attention {
                watch.attention = skipping(left.saturating_sub(bytes));
            }
        }
    }

    /// Shows the next bytes of a direction to the filters that watch it, and adds to `passed` what may be forwarded.
    /// `finished` says that these are the last.
    ///
    /// # Errors
    /// A filter ends the connection. What it and those after it had let through before is in `passed` all the same.
    pub fn feed(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        mut finished: bool,
        passed: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let last = match direction {
            Direction::Up => self.stages.len().checked_sub(1),
            Direction::Down => (!self.stages.is_empty()).then_some(0),
        };
        let order: &mut dyn Iterator<Item = (usize, &mut Stage)> = match direction {
            Direction::Up => &mut self.stages.iter_mut().enumerate(),
            Direction::Down => &mut self.stages.iter_mut().enumerate().rev(),
        };
        let mut stopped = Ok(());
        let mut input = mem::take(&mut self.between);
        input.clear();
        input.extend_from_slice(bytes);
        for (index, stage) in order {
            if Some(index) == last {
                let fed = stage.feed(&self.facts, direction, &input, finished, passed);
                stopped = stopped.and(fed);
                continue;
            }
            let mut output = Vec::new();
            let fed = stage.feed(&self.facts, direction, &input, finished, &mut output);
            if fed.is_err() {
                // What came through before is still shown to the others, but it is not the end of the direction.
                finished = false;
                stopped = stopped.and(fed);
            }
            input = output;
        }
        self.between = input;
        stopped
    }
}

impl Stage {
    fn new(generation: &Arc<Generation>, session: OpenSession, interest: Directions) -> Self {
        let watch = |interested: bool| Watch {
            attention: if interested {
                Attention::Watching
            } else {
                Attention::Detached
            },
            ..Watch::default()
        };
        Self {
            generation: Arc::clone(generation),
            session,
            up: watch(interest.contains(Directions::UP)),
            down: watch(interest.contains(Directions::DOWN)),
        }
    }

    fn watch(&self, direction: Direction) -> &Watch {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn watch_mut(&mut self, direction: Direction) -> &mut Watch {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// As [`Chain::feed`], for one filter.
    fn feed(
        &mut self,
        facts: &Arc<Facts>,
        direction: Direction,
        mut bytes: &[u8],
        finished: bool,
        passed: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        loop {
            match self.watch(direction).attention {
                Attention::Detached => {
                    passed.append(&mut self.watch_mut(direction).held);
                    passed.extend_from_slice(bytes);
                    return Ok(());
                }
                Attention::Skipping(left) => {
                    let unseen = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    passed.extend_from_slice(&bytes[..unseen]);
                    bytes = &bytes[unseen..];
                    self.watch_mut(direction).attention = skipping(left - unseen as u64);
                    if bytes.is_empty() {
                        return Ok(());
                    }
                }
                Attention::Watching => {
                    let (part, rest) = bytes.split_at(bytes.len().min(SHOWN));
                    let last = finished && rest.is_empty();
                    if part.is_empty() && !last {
                        return Ok(());
                    }
                    self.show(facts, direction, part, last, passed)?;
                    bytes = rest;
                    if last {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Shows what is held and `part` in one call, if that is as much as the filter waits for, and does what it answers.
    fn show(
        &mut self,
        facts: &Arc<Facts>,
        direction: Direction,
        part: &[u8],
        last: bool,
        passed: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let watch = self.watch_mut(direction);
        let mut held = mem::take(&mut watch.held);
        let shown = if held.is_empty() {
            part
        } else {
            held.extend_from_slice(part);
            if held.len() < watch.wanted && !last {
                watch.held = held;
                return Ok(());
            }
            &held
        };
        let answer = self.session.on_bytes(facts, direction, shown, last);
        match answer.and_then(|verdict| self.decide(direction, verdict, shown, last)) {
            Ok(Answer::Pass) => passed.extend_from_slice(shown),
            Ok(Answer::Hold) => self.watch_mut(direction).held = if held.is_empty() { part.to_vec() } else { held },
            Ok(Answer::Refuse(stop)) => return Err(stop),
            Err(failure) => {
                report(&self.generation, facts, &failure)?;
                // On without the filter, and with everything that it held back, in both directions.
                self.up.attention = Attention::Detached;
                self.down.attention = Attention::Detached;
                passed.extend_from_slice(shown);
            }
        }
        Ok(())
    }

    /// What a verdict means, if the contract allows it here.
    fn decide(&mut self, direction: Direction, verdict: Verdict, shown: &[u8], last: bool) -> Result<Answer, Failure> {
        let name = Arc::clone(self.generation.name());
        let watch = self.watch_mut(direction);
        match verdict {
            Verdict::Forward => {}
            // At the end there is nothing to wait for.
            Verdict::Hold(_) if last => {}
            Verdict::Hold(more) => {
                let wanted = shown.len().saturating_add((more as usize).max(1));
                if wanted > MOST_HELD {
                    return Err(Failure::contract(format!(
                        "it wants to hold {wanted} bytes: the most is {MOST_HELD}"
                    )));
                }
                watch.wanted = wanted;
                return Ok(Answer::Hold);
            }
            Verdict::Skip(bytes) => watch.attention = skipping(bytes),
            Verdict::Detach => watch.attention = Attention::Detached,
            Verdict::Refuse(refusal) => return Ok(Answer::Refuse(refused(&name, refusal))),
        }
        Ok(Answer::Pass)
    }
}

enum Answer {
    Pass,
    Hold,
    Refuse(Stop),
}

fn skipping(bytes: u64) -> Attention {
    match bytes {
        0 => Attention::Watching,
        bytes => Attention::Skipping(bytes),
    }
}

pub(super) fn refused(filter: &Arc<str>, refusal: types::Refusal) -> Stop {
    let mut reason = refusal.reason;
    reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
    Stop::Refused {
        filter: Arc::clone(filter),
        reset: matches!(refusal.ending, types::Ending::Reset),
        reason,
    }
}

/// Says what went wrong, and what the policy makes of it: an error to close, `Ok` to go on without the filter.
pub(super) fn report(generation: &Generation, facts: &Facts, failure: &Failure) -> Result<(), Stop> {
    match generation.on_error() {
        OnError::Pass => {
            failure.log(generation, Some(facts), "pass");
            Ok(())
        }
        OnError::Close => {
            failure.log(generation, Some(facts), "close");
            Err(Stop::Failed {
                filter: Arc::clone(generation.name()),
            })
        }
    }
}

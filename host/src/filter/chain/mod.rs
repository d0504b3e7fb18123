//! The filters that watch one connection, in order, and the bytes on their way through them.

mod stage;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::abi::types;
use super::facts::Facts;
use super::failure::Failure;
use super::generation::Generation;
use super::sessions::Instances;
use super::tally::Role;
use crate::flow::Direction;
use stage::Stage;
pub use stage::{Attention, MUCH};

/// Every inspector and transformer that watches a connection. Each sees what the one before it let through: in the order of
/// the configuration for `up`, in reverse for `down`.
pub struct Chain {
    facts: Arc<Facts>,
    /// Those that still watch.
    stages: Vec<Stage>,
    /// What one stage let through, on its way to the next. Kept for their allocations.
    between: [Vec<u8>; 2],
}

/// What a chain lets through to each peer.
#[derive(Default)]
pub struct Passed {
    up: Vec<u8>,
    down: Vec<u8>,
    /// So many of the bytes that were fed go on as they are, and in front: nobody copies what nobody changes.
    same: usize,
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

/// A filter that watches a connection, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    pub filter: Arc<str>,
    pub role: Role,
    pub up: Interest,
    pub down: Interest,
}

/// What one filter wants of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    pub attention: Attention,
    /// Bytes that it has seen and not let through yet.
    pub held: usize,
}

/// Why a filter ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It refused it. Boxed: few connections are, and every one has room for it.
    Refused(Box<Refused>),
    /// It failed, and its policy is to close.
    Failed { filter: Arc<str> },
}

/// How a filter refused a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub filter: Arc<str>,
    /// With RST, or else with FIN after what was forwarded.
    pub reset: bool,
    pub reason: String,
    /// What the client is told first.
    pub reply: Vec<u8>,
}

/// What a turn works with.
struct Turn<'a> {
    instances: &'a Instances,
    facts: &'a Arc<Facts>,
}

/// Bytes on their way: boundary 0 is in front of the first stage, as clients see it.
struct Part<'a> {
    direction: Direction,
    boundary: usize,
    bytes: &'a [u8],
    finished: bool,
}

/// What a stage gives: for the peer to which the bytes were on their way, and for the other one.
struct Given<'a> {
    /// What it was fed, of which so many bytes go on as they are...
    fed: &'a [u8],
    same: usize,
    /// ... or all that goes on, where that is not simply the beginning of what it was fed.
    onward: &'a mut Vec<u8>,
    back: &'a mut Vec<u8>,
}

/// Bytes that a transformer gave to the peer that they came from. They go through the filters on that side of it.
struct Answer {
    direction: Direction,
    boundary: usize,
    bytes: Vec<u8>,
}

/// How often filters may answer what others of them answered, in one turn. Two that greet each other are done after a few;
/// two that answer everything would never be.
const MOST_ANSWERS: usize = 64;

/// What is kept of a filter's reason for a refusal.
const LONGEST_REASON: usize = 256;

/// What a client is told in its own protocol: an error message, with room.
const LONGEST_REPLY: usize = 4 << 10;

impl Chain {
    /// Begins a session with each inspector and each transformer among `generations`. `None` where nobody watches.
    ///
    /// # Errors
    /// One of them failed, and its policy is to close.
    pub fn open(
        instances: &Instances,
        generations: &[Arc<Generation>],
        facts: &Arc<Facts>,
    ) -> Result<Option<Box<Self>>, Stop> {
        let mut stages = Vec::new();
        for generation in generations {
            for role in [Role::Inspector, Role::Transformer] {
                if generation.has_role(role) {
                    stages.extend(Stage::open(instances, generation, role, facts)?);
                }
            }
        }
        stages.retain(|stage| !stage.is_over());
        let chain = Self {
            facts: Arc::clone(facts),
            stages,
            between: Default::default(),
        };
        Ok((!chain.is_done()).then(|| Box::new(chain)))
    }

    /// Whether no filter will look at either direction again.
    pub fn is_done(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether whoever watches a direction has just skipped much of it: then most of what comes may be somebody's message that
    /// is to be skipped again.
    pub fn skims(&self, direction: Direction) -> bool {
        let mut watches = self.stages.iter().map(|stage| stage.watch(direction));
        watches.all(|watch| watch.attention == Attention::Detached || watch.skims) && !self.answers()
    }

    /// Whether one of them may give a direction bytes that did not come in it.
    pub fn answers(&self) -> bool {
        self.stages.iter().any(Stage::answers)
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

    /// Those that still watch, in their order.
    pub fn watchers(&self) -> Vec<Watcher> {
        self.stages.iter().map(Stage::watcher).collect()
    }

    /// A filter failed while it held bytes of this direction and the policy is to go on: they wait for the next `feed`,
    /// which needs no bytes of its own.
    pub fn has_released(&self, direction: Direction) -> bool {
        self.stages.iter().any(|stage| stage.watch(direction).has_released())
    }

    /// So many bytes went by that nobody had to see: no more than `view` said.
    pub fn passed_unseen(&mut self, direction: Direction, bytes: u64) {
        for stage in &mut self.stages {
            stage.skip(direction, bytes);
        }
    }

    /// Shows the next bytes of a direction to the filters that watch it, and says in `passed` what may go to each peer.
    /// `finished` says that these are the last.
    ///
    /// # Errors
    /// A filter ends the connection. What it and those after it had let through before is in `passed` all the same.
    pub fn feed(
        &mut self,
        instances: &Instances,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
        passed: &mut Passed,
    ) -> Result<(), Stop> {
        let Self { facts, stages, between } = self;
        let turn = Turn { instances, facts };
        let mut answers = VecDeque::new();
        let boundary = match direction {
            Direction::Up => 0,
            Direction::Down => stages.len(),
        };
        let part = Part {
            direction,
            boundary,
            bytes,
            finished,
        };
        let (same, mut fed) = pass(&turn, stages, between, &part, &mut answers);
        passed.begin(direction, same, &between[0]);
        // First come, first shown: so what one filter says stays in order for every other one.
        for count in 0.. {
            let Some(answer) = answers.pop_front() else { break };
            if count == MOST_ANSWERS {
                fed = fed.and_then(|()| Err(blame_talkers(&turn, stages, &answer)));
                break;
            }
            let part = Part {
                direction: answer.direction,
                boundary: answer.boundary,
                bytes: &answer.bytes,
                finished: false,
            };
            let (same, answered) = pass(&turn, stages, between, &part, &mut answers);
            passed.settle(direction, bytes);
            let onward = same.map_or(&between[0][..], |same| &answer.bytes[..same]);
            passed.of_mut(answer.direction).extend_from_slice(onward);
            fed = fed.and(answered);
        }
        stages.retain(|stage| !stage.is_over());
        fed
    }
}

/// Takes a part through the stages from its boundary on. What comes out is so many of its first bytes, or else stands in the
/// first of the two buffers `between`.
fn pass(
    turn: &Turn<'_>,
    stages: &mut [Stage],
    between: &mut [Vec<u8>; 2],
    part: &Part<'_>,
    answers: &mut VecDeque<Answer>,
) -> (Option<usize>, Result<(), Stop>) {
    let &Part {
        direction,
        boundary,
        bytes,
        mut finished,
    } = part;
    let left = match direction {
        Direction::Up => stages.len() - boundary,
        Direction::Down => boundary,
    };
    let mut stopped = Ok(());
    let [input, output] = between;
    // How many of `bytes` are the input, where that is their beginning.
    let mut same = Some(bytes.len());
    for step in 0..left {
        let index = match direction {
            Direction::Up => boundary + step,
            Direction::Down => boundary - 1 - step,
        };
        output.clear();
        let mut back = Vec::new();
        let mut given = Given {
            fed: same.map_or(&*input, |same| &bytes[..same]),
            same: 0,
            onward: output,
            back: &mut back,
        };
        let fed = stages[index].feed(turn, direction, finished, &mut given);
        if fed.is_err() {
            // What came through before is still shown to the others, but it is not the end of the direction.
            finished = false;
            stopped = stopped.and(fed);
        }
        same = match same {
            Some(_) if given.onward.is_empty() => Some(given.same),
            _ => {
                given.settle();
                None
            }
        };
        if !back.is_empty() {
            answers.push_back(Answer {
                direction: direction.other(),
                boundary: match direction {
                    Direction::Up => index,
                    Direction::Down => index + 1,
                },
                bytes: back,
            });
        }
        mem::swap(input, output);
    }
    (same, stopped)
}

/// Whoever spoke last has to answer for two that never come to an end.
fn blame_talkers(turn: &Turn<'_>, stages: &[Stage], answer: &Answer) -> Stop {
    let speaker = match answer.direction {
        Direction::Up => answer.boundary - 1,
        Direction::Down => answer.boundary,
    };
    let failure = Failure::contract("it and another filter answer each other without end");
    stages[speaker].give_up(turn.facts, &failure)
}

impl Given<'_> {
    /// These go on.
    fn pass(&mut self, bytes: &[u8]) {
        let next = self.fed.get(self.same..).map(<[u8]>::as_ptr);
        if self.onward.is_empty() && next == Some(bytes.as_ptr()) {
            self.same += bytes.len();
        } else if !bytes.is_empty() {
            self.settle();
            self.onward.extend_from_slice(bytes);
        }
    }

    /// What went on as it was is the beginning of what goes on.
    fn settle(&mut self) {
        if self.onward.is_empty() {
            self.onward.extend_from_slice(&self.fed[..self.same]);
        }
    }
}

impl Passed {
    /// For the peer to which the `fed` bytes were on their way.
    pub fn onward<'a>(&'a self, direction: Direction, fed: &'a [u8]) -> &'a [u8] {
        match self.of(direction) {
            [] => &fed[..self.same],
            bytes => bytes,
        }
    }

    /// Whether all of the `fed` bytes go on as they are, and nothing else does.
    pub fn is_unchanged(&self, fed: &[u8]) -> bool {
        self.same == fed.len() && self.up.is_empty() && self.down.is_empty()
    }

    /// For the other peer.
    pub fn back(&self, direction: Direction) -> &[u8] {
        self.of(direction.other())
    }

    fn of(&self, direction: Direction) -> &[u8] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut Vec<u8> {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// So many bytes go on as they are, or else these.
    fn begin(&mut self, direction: Direction, same: Option<usize>, onward: &[u8]) {
        self.up.clear();
        self.down.clear();
        self.same = same.unwrap_or(0);
        if same.is_none() {
            self.of_mut(direction).extend_from_slice(onward);
        }
    }

    /// More is to come behind what goes on as it is.
    fn settle(&mut self, direction: Direction, fed: &[u8]) {
        let same = mem::take(&mut self.same);
        self.of_mut(direction).extend_from_slice(&fed[..same]);
    }
}

/// What a refusal means, if the contract allows it.
pub(super) fn refused(filter: &Arc<str>, refusal: types::Refusal) -> Result<Stop, Failure> {
    let mut reason = refusal.reason;
    reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
    let reply = refusal.reply;
    if reply.len() > LONGEST_REPLY {
        let bytes = reply.len();
        return Err(Failure::contract(format!(
            "it refuses with a reply of {bytes} bytes: the most is {LONGEST_REPLY}"
        )));
    }
    Ok(Stop::Refused(Box::new(Refused {
        filter: Arc::clone(filter),
        reset: matches!(refusal.ending, types::Ending::Reset),
        reason,
        reply,
    })))
}

//! One filter's part in a chain: its session, and what it watches in each direction.

use std::mem;
use std::sync::Arc;

use super::super::facts::Facts;
use super::super::failure::Failure;
use super::super::generation::Generation;
use super::super::instance::{self, Directions, Next, Output};
use super::super::remedy::{Grip, Remedy, remedy};
use super::super::sessions::{Instances, OpenSession};
use super::super::tally::{Role, Verdict};
use super::{Given, Interest, Stop, Turn, Watcher, refused};
use crate::flow::Direction;

pub(super) struct Stage {
    generation: Arc<Generation>,
    role: Role,
    session: OpenSession,
    /// What it could have kept of the connection.
    grip: Grip,
    up: Watch,
    down: Watch,
}

/// A filter's view of one direction.
#[derive(Default)]
pub(super) struct Watch {
    pub attention: Attention,
    /// Its last verdict was to skip much.
    pub skims: bool,
    /// Shown to an inspector and not let through yet.
    held: Vec<u8>,
    /// How many bytes `held` must have before they are shown again.
    wanted: usize,
}

/// Whether a filter wants to see the next bytes of a direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    #[default]
    Watching,
    /// Not so many of them.
    Skipping(u64),
    /// None, ever again.
    Detached,
}

/// What has become of bytes that were to be shown.
enum Shown {
    /// They are dealt with.
    Done,
    /// Nobody has seen them: another generation has taken the place of the one that failed.
    Again,
}

/// What is shown in one call. A call costs the same up to here; with 64 KiB it costs five times as much, since the copy no
/// longer fits the CPU's first cache.
const SHOWN: usize = 16 << 10;

/// To skip so much makes it worth while to leave the bytes in the kernel.
pub const MUCH: u64 = SHOWN as u64;

/// What an inspector may hold back of one direction.
const MOST_HELD: usize = 64 << 10;

impl Stage {
    /// Begins a session. `None` where the connection goes on without the filter.
    ///
    /// # Errors
    /// It failed, and its policy is to close.
    pub(super) fn open(
        instances: &Instances,
        generation: &Arc<Generation>,
        role: Role,
        facts: &Arc<Facts>,
    ) -> Result<Option<Self>, Stop> {
        let mut generation = Arc::clone(generation);
        loop {
            let failure = match instances.open(&generation, role, facts) {
                Ok((session, interest)) => return Ok(Some(Self::new(generation, role, session, interest))),
                Err(failure) => failure,
            };
            instances.failed(&generation, &failure);
            match remedy(&generation, facts, &failure, Grip::None)? {
                Remedy::Previous(previous) if previous.has_role(role) => generation = previous,
                Remedy::Previous(_) | Remedy::Pass => return Ok(None),
            }
        }
    }

    fn new(generation: Arc<Generation>, role: Role, session: OpenSession, interest: Directions) -> Self {
        let watch = |interested: bool| Watch {
            attention: if interested {
                Attention::Watching
            } else {
                Attention::Detached
            },
            ..Watch::default()
        };
        Self {
            generation,
            role,
            session,
            grip: Grip::None,
            up: watch(interest.contains(Directions::UP)),
            down: watch(interest.contains(Directions::DOWN)),
        }
    }

    pub(super) fn watch(&self, direction: Direction) -> &Watch {
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

    pub(super) fn watcher(&self) -> Watcher {
        let interest = |watch: &Watch| Interest {
            attention: watch.attention,
            held: watch.held.len(),
        };
        Watcher {
            filter: Arc::clone(self.generation.name()),
            role: self.role,
            up: interest(&self.up),
            down: interest(&self.down),
        }
    }

    /// Whether it will never be asked again and keeps nothing back.
    pub(super) fn is_over(&self) -> bool {
        self.up.is_over() && self.down.is_over()
    }

    pub(super) fn answers(&self) -> bool {
        self.role == Role::Transformer
    }

    /// So many bytes went by that it had not to see.
    pub(super) fn skip(&mut self, direction: Direction, bytes: u64) {
        let watch = self.watch_mut(direction);
        if let Attention::Skipping(left) = watch.attention {
            watch.attention = skipping(left.saturating_sub(bytes));
            self.generation.tally().skipped(bytes.min(left));
        }
    }

    /// As [`super::Chain::feed`], for one filter and what it is `given` to be fed.
    pub(super) fn feed(
        &mut self,
        turn: &Turn<'_>,
        direction: Direction,
        finished: bool,
        given: &mut Given<'_>,
    ) -> Result<(), Stop> {
        let mut bytes = given.fed;
        loop {
            match self.watch(direction).attention {
                Attention::Detached => {
                    given.pass(&mem::take(&mut self.watch_mut(direction).held));
                    given.pass(bytes);
                    return Ok(());
                }
                Attention::Skipping(left) => {
                    let unseen = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    given.pass(&bytes[..unseen]);
                    bytes = &bytes[unseen..];
                    self.skip(direction, unseen as u64);
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
                    let shown = match self.role {
                        Role::Transformer => self.transform(turn, direction, part, last, given),
                        _ => self.inspect(turn, direction, part, last, given),
                    };
                    if let Shown::Again = shown? {
                        continue;
                    }
                    bytes = rest;
                    if last {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Shows an inspector what is held and `part` in one call, if that is as much as it waits for, and does what it answers.
    fn inspect(
        &mut self,
        turn: &Turn<'_>,
        direction: Direction,
        part: &[u8],
        last: bool,
        given: &mut Given<'_>,
    ) -> Result<Shown, Stop> {
        let watch = self.watch_mut(direction);
        let mut held = mem::take(&mut watch.held);
        let shown = if held.is_empty() {
            part
        } else {
            held.extend_from_slice(part);
            if held.len() < watch.wanted && !last {
                watch.held = held;
                return Ok(Shown::Done);
            }
            &held
        };
        let answer = self.session.on_bytes(turn.facts, direction, shown, last);
        self.generation.tally().shown(part.len());
        match answer.and_then(|verdict| self.decide(direction, verdict, shown, last)) {
            Ok(Decided::Pass) => given.pass(shown),
            Ok(Decided::Hold) => self.watch_mut(direction).held = if held.is_empty() { part.to_vec() } else { held },
            Ok(Decided::Refuse(stop)) => return Err(stop),
            Err(failure) => {
                if self.is_replaced(turn, &failure)? {
                    return Ok(Shown::Again);
                }
                given.pass(shown);
            }
        }
        self.grip = Grip::Seen;
        Ok(Shown::Done)
    }

    /// What a verdict means, if the contract allows it here.
    fn decide(
        &mut self,
        direction: Direction,
        verdict: instance::Verdict,
        shown: &[u8],
        last: bool,
    ) -> Result<Decided, Failure> {
        self.watch_mut(direction).skims = matches!(verdict, instance::Verdict::Skip(MUCH..));
        let (counted, decided) = match verdict {
            instance::Verdict::Forward => (Verdict::Forward, Decided::Pass),
            // At the end there is nothing to wait for.
            instance::Verdict::Hold(_) if last => (Verdict::Hold, Decided::Pass),
            instance::Verdict::Hold(more) => {
                let wanted = shown.len().saturating_add((more as usize).max(1));
                if wanted > MOST_HELD {
                    return Err(Failure::contract(format!(
                        "it wants to hold {wanted} bytes: the most is {MOST_HELD}"
                    )));
                }
                self.watch_mut(direction).wanted = wanted;
                (Verdict::Hold, Decided::Hold)
            }
            instance::Verdict::Skip(bytes) => {
                self.watch_mut(direction).attention = skipping(bytes);
                (Verdict::Skip, Decided::Pass)
            }
            instance::Verdict::Detach => {
                self.watch_mut(direction).attention = Attention::Detached;
                (Verdict::Detach, Decided::Pass)
            }
            instance::Verdict::Refuse(refusal) => {
                let stop = refused(self.generation.name(), refusal)?;
                (Verdict::Refuse, Decided::Refuse(stop))
            }
        };
        self.generation.tally().verdict(self.role, counted);
        Ok(decided)
    }

    /// Gives bytes to a transformer, and takes what it makes of them.
    fn transform(
        &mut self,
        turn: &Turn<'_>,
        direction: Direction,
        part: &[u8],
        last: bool,
        given: &mut Given<'_>,
    ) -> Result<Shown, Stop> {
        let answer = self.session.transform(turn.facts, direction, part, last);
        self.generation.tally().shown(part.len());
        match answer.and_then(|output| self.take(direction, output, given)) {
            Ok(None) => {}
            Ok(Some(stop)) => return Err(stop),
            Err(failure) => {
                if self.is_replaced(turn, &failure)? {
                    return Ok(Shown::Again);
                }
                given.pass(part);
            }
        }
        self.grip = Grip::Taken;
        Ok(Shown::Done)
    }

    /// Takes an output, if the contract allows it; says whether the connection is refused after it.
    fn take(&mut self, direction: Direction, output: Output, given: &mut Given<'_>) -> Result<Option<Stop>, Failure> {
        let bytes = output.to_upstream.len().saturating_add(output.to_client.len());
        let most = usize::try_from(self.generation.limits().output).unwrap_or(usize::MAX);
        if bytes > most {
            return Err(Failure::contract(format!(
                "it gives {bytes} bytes in one call: the most is {most} (`output` of its limits)"
            )));
        }
        let (counted, stop) = match output.next {
            Next::More => (Verdict::More, None),
            Next::Detach => {
                self.watch_mut(direction).attention = Attention::Detached;
                (Verdict::Detach, None)
            }
            Next::Refuse(refusal) => (Verdict::Refuse, Some(refused(self.generation.name(), refusal)?)),
        };
        self.generation.tally().verdict(self.role, counted);
        let (onward, back) = match direction {
            Direction::Up => (output.to_upstream, output.to_client),
            Direction::Down => (output.to_client, output.to_upstream),
        };
        given.pass(&onward);
        given.back.extend_from_slice(&back);
        Ok(stop)
    }

    /// The filter has failed: another generation has taken its place, or else the connection goes on without it, and with
    /// everything that it held back, in both directions.
    fn is_replaced(&mut self, turn: &Turn<'_>, failure: &Failure) -> Result<bool, Stop> {
        turn.instances.failed(&self.generation, failure);
        if let Remedy::Previous(previous) = remedy(&self.generation, turn.facts, failure, self.grip)?
            && previous.has_role(self.role)
            && let Some(replacement) = Self::open(turn.instances, &previous, self.role, turn.facts)?
        {
            *self = replacement;
            return Ok(true);
        }
        self.up.attention = Attention::Detached;
        self.down.attention = Attention::Detached;
        Ok(false)
    }

    /// The connection cannot go on, whatever the policy is.
    pub(super) fn give_up(&self, facts: &Facts, failure: &Failure) -> Stop {
        match remedy(&self.generation, facts, failure, Grip::Taken) {
            Err(stop) => stop,
            Ok(_) => Stop::Failed {
                filter: Arc::clone(self.generation.name()),
            },
        }
    }
}

impl Watch {
    /// Held bytes that nobody will look at again wait to be passed on.
    pub(super) fn has_released(&self) -> bool {
        self.attention == Attention::Detached && !self.held.is_empty()
    }

    fn is_over(&self) -> bool {
        self.attention == Attention::Detached && self.held.is_empty()
    }
}

enum Decided {
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

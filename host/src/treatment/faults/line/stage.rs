//! One fault on the way of the bytes.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::super::fault::mixed;
use super::Hit;
use crate::config::{Distribution, FaultKind};
use crate::flow::Direction;

/// What is limited to a rate goes in pieces of so much of a second, so that nobody waits long for the first byte of many.
const PIECES: u64 = 20;

/// And not in smaller ones, each of which has to be remembered.
const LEAST: u64 = 16;

/// What goes through stages.
#[derive(Debug)]
pub enum Item {
    Bytes(BytesMut),
    Last(Last),
}

/// What nothing comes behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    Finish,
    Cut { reset: bool },
}

impl Item {
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Last(_) => 0,
        }
    }
}

#[derive(Debug)]
pub struct Stage {
    hit: Hit,
    chance: fastrand::Rng,
    waiting: VecDeque<Waiting>,
    /// Those that wait.
    bytes: usize,
    /// When the last of what has come goes on.
    latest: Instant,
    /// When the last piece was through, where they go at a rate.
    through: Instant,
    /// When it ends the connection by itself.
    alarm: Option<Instant>,
    /// Bytes that it let through, where it counts them.
    passed: u64,
    /// It has dropped something.
    has_dropped: bool,
    /// How many bytes come before the next that is corrupted.
    intact: u64,
    /// The last has come, or it has made one itself: nothing comes in any more.
    is_over: bool,
}

#[derive(Debug)]
struct Waiting {
    arrived: Instant,
    due: Instant,
    item: Item,
}

impl Stage {
    /// Whether it does something to bytes on their way.
    pub fn takes(hit: &Hit) -> bool {
        !matches!(
            hit.fault.config().kind,
            FaultKind::Slicer { .. } | FaultKind::Refuse { .. }
        )
    }

    pub fn new(hit: Hit, direction: Direction, now: Instant) -> Self {
        let mut stage = Self {
            chance: fastrand::Rng::with_seed(mixed(hit.seed, direction as u64)),
            hit,
            waiting: VecDeque::new(),
            bytes: 0,
            latest: now,
            through: now,
            alarm: None,
            passed: 0,
            has_dropped: false,
            intact: 0,
            is_over: false,
        };
        stage.intact = stage.run_of_intact();
        stage.begin(now);
        stage
    }

    /// Sets the time that counts from the beginning.
    fn begin(&mut self, now: Instant) {
        match self.kind() {
            FaultKind::Timeout { timeout } => self.alarm = timeout.map(|timeout| now + timeout),
            FaultKind::Down => self.alarm = Some(now),
            _ => {}
        }
    }

    fn kind(&self) -> FaultKind {
        self.hit.fault.config().kind
    }

    pub fn is_of(&self, hit: &Hit) -> bool {
        self.hit.fault.id() == hit.fault.id() && discriminant(&self.kind()) == discriminant(&hit.fault.config().kind)
    }

    /// The fault does something else from now on, but of the same kind. What waits does not wait longer for that.
    pub fn change(&mut self, hit: Hit, now: Instant) {
        let before = self.kind();
        self.hit = hit;
        if self.kind() == before {
            return;
        }
        if !self.is_over {
            self.begin(now);
        }
        let delay = match self.kind() {
            FaultKind::Latency { latency, .. } => latency,
            FaultKind::SlowClose { delay } => delay,
            _ => return,
        };
        for waiting in &mut self.waiting {
            waiting.due = waiting.due.min(waiting.arrived + delay);
        }
        self.latest = self.waiting.back().map_or(now, |waiting| waiting.due);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn pieces(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When something goes on.
    pub fn next(&self) -> Option<Instant> {
        [self.due(), self.alarm].into_iter().flatten().min()
    }

    /// Something has come at `at`.
    pub fn enter(&mut self, at: Instant, item: Item) {
        if self.is_over {
            return;
        }
        match item {
            Item::Bytes(bytes) => self.take(at, bytes),
            Item::Last(last) => self.take_last(at, last),
        }
    }

    fn take(&mut self, at: Instant, mut bytes: BytesMut) {
        match self.kind() {
            FaultKind::Latency {
                latency,
                jitter,
                distribution,
            } => {
                let latency = differing(&mut self.chance, latency, jitter, distribution);
                self.wait(at, at + latency, Item::Bytes(bytes));
            }
            FaultKind::Timeout { .. } | FaultKind::Down => self.has_dropped = true,
            FaultKind::ResetPeer { timeout, bytes: most } => {
                let has_more = self.let_through(at, bytes, most);
                self.has_dropped |= has_more;
                if self.passed >= most && self.alarm.is_none() {
                    self.alarm = Some(at + timeout);
                }
            }
            FaultKind::LimitData { bytes: most } => {
                self.let_through(at, bytes, most);
                if self.passed >= most {
                    self.take_last(at, Last::Cut { reset: false });
                }
            }
            FaultKind::Corrupt { .. } => {
                self.corrupt(&mut bytes);
                self.wait(at, at, Item::Bytes(bytes));
            }
            FaultKind::Bandwidth { .. }
            | FaultKind::SlowClose { .. }
            | FaultKind::Slicer { .. }
            | FaultKind::Refuse { .. } => self.wait(at, at, Item::Bytes(bytes)),
        }
    }

    fn take_last(&mut self, at: Instant, last: Last) {
        let due = match (last, self.kind()) {
            // The end is as good as a byte.
            (Last::Finish, FaultKind::ResetPeer { timeout, .. }) => {
                self.has_dropped = true;
                self.alarm = self.alarm.or(Some(at + timeout));
                return;
            }
            (Last::Finish, FaultKind::Down) => return,
            (
                Last::Finish,
                FaultKind::Latency {
                    latency,
                    jitter,
                    distribution,
                },
            ) => at + differing(&mut self.chance, latency, jitter, distribution),
            (Last::Finish, FaultKind::SlowClose { delay }) => at + delay,
            _ => at,
        };
        self.alarm = None;
        self.is_over = true;
        self.wait(at, due, Item::Last(last));
    }

    /// Up to `most` of all bytes that come. Returns whether there were more.
    fn let_through(&mut self, at: Instant, mut bytes: BytesMut, most: u64) -> bool {
        let room = usize::try_from(most.saturating_sub(self.passed)).unwrap_or(usize::MAX);
        let has_more = bytes.len() > room;
        bytes.truncate(room);
        self.passed += bytes.len() as u64;
        if !bytes.is_empty() {
            self.wait(at, at, Item::Bytes(bytes));
        }
        has_more
    }

    /// Not before what has come before it.
    fn wait(&mut self, arrived: Instant, due: Instant, item: Item) {
        let due = due.max(self.latest);
        self.latest = due;
        self.bytes += item.len();
        self.waiting.push_back(Waiting { arrived, due, item });
    }

    /// What goes on by `now`, and when it did.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Item)> {
        if let Some(due) = self.due().filter(|due| *due <= now) {
            let item = self.next_piece()?;
            if let FaultKind::Bandwidth { .. } = self.kind() {
                self.through = due;
            }
            return Some((due, item));
        }
        let rung = self.alarm.filter(|alarm| *alarm <= now)?;
        self.alarm = None;
        self.is_over = true;
        let reset = matches!(self.kind(), FaultKind::ResetPeer { .. });
        Some((rung, Item::Last(Last::Cut { reset })))
    }

    /// When the next piece goes on; `None`: there is none, or it never does.
    fn due(&self) -> Option<Instant> {
        let next = self.waiting.front()?;
        match (self.kind(), &next.item) {
            (FaultKind::Bandwidth { rate }, Item::Bytes(bytes)) => {
                let begins = next.arrived.max(self.through);
                let takes = (piece(rate, bytes.len()) as u64)
                    .saturating_mul(1_000_000_000)
                    .checked_div(rate)?;
                begins.checked_add(Duration::from_nanos(takes))
            }
            (FaultKind::Bandwidth { .. }, Item::Last(_)) => Some(next.due.max(self.through)),
            _ => Some(next.due),
        }
    }

    fn next_piece(&mut self) -> Option<Item> {
        if let (FaultKind::Bandwidth { rate }, Some(Item::Bytes(bytes))) =
            (self.kind(), self.waiting.front_mut().map(|waiting| &mut waiting.item))
        {
            let piece = piece(rate, bytes.len());
            if piece < bytes.len() {
                self.bytes -= piece;
                return Some(Item::Bytes(bytes.split_to(piece)));
            }
        }
        let item = self.waiting.pop_front()?.item;
        self.bytes -= item.len();
        Some(item)
    }

    /// What it holds, when it is gone.
    pub fn release(self) -> impl Iterator<Item = Item> {
        let reset = matches!(self.kind(), FaultKind::ResetPeer { .. });
        // What follows must not be taken for what is missing.
        let cut = (self.has_dropped && !self.is_over).then_some(Item::Last(Last::Cut { reset }));
        self.waiting.into_iter().map(|waiting| waiting.item).chain(cut)
    }

    fn corrupt(&mut self, bytes: &mut [u8]) {
        let mut at: usize = 0;
        while let Some(next) = usize::try_from(self.intact)
            .ok()
            .and_then(|intact| at.checked_add(intact))
            && let Some(byte) = bytes.get_mut(next)
        {
            *byte ^= 1 << self.chance.u8(..8);
            at = next + 1;
            self.intact = self.run_of_intact();
        }
        self.intact -= (bytes.len() - at) as u64;
    }

    /// How many bytes stay as they are before one that does not: geometrically distributed.
    fn run_of_intact(&mut self) -> u64 {
        let FaultKind::Corrupt { one_in } = self.kind() else {
            return 0;
        };
        if one_in <= 1 {
            return 0;
        }
        let chance = 1.0 - self.chance.f64();
        (chance.ln() / (-1.0 / one_in as f64).ln_1p()) as u64
    }
}

/// How much of so many bytes goes on in one piece.
fn piece(rate: u64, bytes: usize) -> usize {
    let piece = (rate / PIECES).max(LEAST);
    bytes.min(usize::try_from(piece).unwrap_or(usize::MAX))
}

fn differing(chance: &mut fastrand::Rng, latency: Duration, jitter: Duration, distribution: Distribution) -> Duration {
    if jitter.is_zero() {
        return latency;
    }
    let deviation = match distribution {
        Distribution::Uniform => chance.f64() * 2.0 - 1.0,
        Distribution::Normal => normal(chance),
    };
    let seconds = latency.as_secs_f64() + jitter.as_secs_f64() * deviation;
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Of mean 0 and standard deviation 1 (Box and Muller 1958).
fn normal(chance: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - chance.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * chance.f64()).cos()
}

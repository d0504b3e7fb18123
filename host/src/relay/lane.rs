//! One direction of a connection.

mod faults;
mod look;
mod way;

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Ending;
use super::backlog::Backlog;
use super::deadlines::{Limit, Progress};
use crate::channel::Channel;
use crate::detect::{Found, greets, speaks};
use crate::filter::{Chain, Facts, MUCH, Passed, Stop, View};
use crate::flow::Direction;
use crate::observe::{Moved, Ways};
use crate::sys::Lent;
use crate::treatment::mirror::Mirrors;
use crate::treatment::{Course, Exhausted};
use crate::worker::{BUFFER, Worker};

use faults::{Let, SENDS};
pub use way::{Way, Where};

/// What a lane works with; it owns none of it.
pub(super) struct Tools<'a> {
    pub worker: &'a Worker,
    pub source: &'a Channel,
    pub sink: &'a Channel,
    pub filters: &'a mut Option<Box<Chain>>,
    /// Who is to be told which protocol is spoken, where that is not known.
    pub unknown: Option<&'a Facts>,
    /// The lane of the other direction.
    pub other: &'a mut Lane,
    /// The connection is ended from our side, and its sockets are read on after FIN.
    pub winding_down: bool,
}

impl Tools<'_> {
    /// The source cannot be written to any more: it is gone, and what looks like its end need not be one.
    fn is_cut_off(&self) -> bool {
        self.other
            .broken()
            .is_some_and(|error| !self.source.had_finished(error))
    }

    /// Somebody wants to know what goes through either socket.
    fn is_captured(&self) -> bool {
        self.source.is_tapped() || self.sink.is_tapped()
    }

    /// When this lane is complete, both sockets are closed.
    fn is_last(&self) -> bool {
        self.other.is_complete() && !self.winding_down
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    direction: Direction,
    phase: Phase,
    path: Path,
    backlog: Backlog,
    moved: Moved,
    /// Bytes that still lie in the source's socket, and may go as they are: filters have looked at them there, or skip them.
    cleared: u64,
    /// So many of those, and of the ones in the pipe, were looked at. Which ones does not matter: they are only counted.
    seen: u32,
    /// What is done to its bytes besides passing them on.
    course: Option<Box<Course>>,
    /// How the source has failed, behind what is cleared.
    failing: Option<io::Error>,
    /// Bytes that go to the sink and did not come from the source: filters made them.
    added: u64,
    /// It reads nothing, since what filters would answer has no room in the other lane.
    held_up: bool,
}

/// ```text
/// Open --FIN read--> Ended --all owed is written--> Finishing --FIN is on its way--> Closed
///   \_________________a write fails: nothing more can be passed on___________________> Broken
/// ```
#[derive(Debug)]
enum Phase {
    Open,
    Ended,
    Finishing,
    Closed,
    Broken(Option<io::Error>),
}

/// How bytes that no filter watches are moved.
#[derive(Debug)]
enum Path {
    Copy(Copying),
    /// The pipe is lent by the worker's pool while bytes are in flight. `small` counts transfers in a row that a copy would
    /// have moved for less.
    Splice {
        pipe: Option<Lent>,
        small: u8,
    },
}

/// Why bytes are copied that no filter watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// They come in small amounts, or none has come.
    Small,
    /// There was no pipe to be had for bulk.
    NoPipe,
    /// The connection is captured: it is spliced again when that is over.
    Captured,
    /// The kernel refused to splice these sockets, or TLS did; it stays so.
    Refused,
    /// Faults do something to them.
    Faults,
}

/// What one splice asks for: a whole pipe.
const SPLICE: usize = 1 << 20;

/// Below this a transfer is cheaper as a copy: one recv and one send against two splices.
const SMALL: usize = 16 << 10;

/// So many small ones in a row, and the lane copies again. A lone small one is only the gap between two large ones.
const SMALL_IN_A_ROW: u8 = 4;

/// What one lane moves before the other lanes of the worker get their turn.
const TURN: usize = 1 << 20;

/// What filters have answered and a peer has not taken: from here on nothing is shown to them that they could answer.
const CLOGGED: usize = 64 << 10;

/// A part that may go unseen but is shorter than this is not worth leaving the buffer for.
const WORTH_LEAVING: u64 = MUCH;

impl Lane {
    pub(super) fn new(direction: Direction, course: Option<Box<Course>>) -> Self {
        let mut lane = Self {
            direction,
            phase: Phase::Open,
            path: Path::Copy(Copying::Small),
            backlog: Backlog::default(),
            moved: Moved::default(),
            cleared: 0,
            seen: 0,
            course,
            failing: None,
            added: 0,
            held_up: false,
        };
        lane.go_by_faults();
        lane
    }

    pub(super) fn moved(&self) -> Moved {
        self.moved
    }

    /// What is done to its bytes from now on.
    pub(super) fn follow(&mut self, course: Option<Box<Course>>) {
        self.course = course;
        self.go_by_faults();
    }

    pub(super) fn leave_course(&mut self) -> Option<Box<Course>> {
        self.course.take()
    }

    /// Whether the source has said its FIN.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Finishing | Phase::Closed)
    }

    /// How far it has come, where its sink `owed` so many bytes more to its socket.
    pub(super) fn progress(&self, owed: usize) -> Progress {
        let in_pipe = match &self.path {
            Path::Splice { pipe: Some(pipe), .. } => pipe.owed(),
            Path::Splice { pipe: None, .. } | Path::Copy(_) => 0,
        };
        // Copied and filtered bytes are counted when they are read, spliced ones when they are written.
        let unsent = (self.backlog.len() + owed) as u64;
        Progress {
            delivered: (self.moved.total() + self.added).saturating_sub(unsent + self.held_by_faults()),
            owes: unsent > 0 || in_pipe > 0,
            ended: !matches!(self.phase, Phase::Open),
        }
    }

    /// Whether the sink was sent everything, and FIN.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Why nothing can be written to its sink any more.
    pub(super) fn broken(&self) -> Option<&io::Error> {
        match &self.phase {
            Phase::Broken(error) => error.as_ref(),
            Phase::Open | Phase::Ended | Phase::Finishing | Phase::Closed => None,
        }
    }

    pub(super) fn take_broken(&mut self) -> Option<io::Error> {
        match &mut self.phase {
            Phase::Broken(error) => error.take(),
            _ => None,
        }
    }

    /// Reads nothing more: what is owed goes out, then the FIN.
    pub(super) fn finish(&mut self) {
        if let Phase::Open = self.phase {
            self.phase = Phase::Ended;
        }
        self.release_faults();
    }

    /// Takes what is to be written before all else. It is not the source's, so it is not counted.
    pub(super) fn announce(&mut self, header: Box<[u8]>) {
        self.backlog = Backlog::of(header.into());
    }

    /// Takes bytes that did not come from its source, behind what is owed. Behind a FIN there is no place for them.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        match self.phase {
            Phase::Open | Phase::Ended => {
                self.added += bytes.len() as u64;
                self.owe(bytes);
            }
            Phase::Finishing | Phase::Closed | Phase::Broken(_) => {}
        }
    }

    /// Whether its sink has so much to take that nothing is to be added.
    fn is_clogged(&self) -> bool {
        self.backlog.len() >= CLOGGED || self.is_full_of_faults()
    }

    /// Whether it waits for nothing but the other lane, which has room again.
    pub(super) fn can_go_on(&self, other: &Self) -> bool {
        self.held_up && !other.is_clogged()
    }

    /// Takes bytes that were read before the relay began.
    pub(super) fn start_with(
        &mut self,
        worker: &Worker,
        seen: Vec<u8>,
        filters: &mut Option<Box<Chain>>,
        other: &mut Self,
    ) -> Result<(), Stop> {
        if seen.is_empty() {
            return Ok(());
        }
        let Some(chain) = filters.as_mut().filter(|chain| chain.watches(self.direction)) else {
            self.moved.copied += seen.len() as u64;
            worker.traffic().of(self.direction).copied(seen.len() as u64);
            self.owe(&seen);
            return Ok(());
        };
        self.moved.filtered += seen.len() as u64;
        worker.traffic().of(self.direction).filtered(seen.len() as u64);
        let mut passed = Passed::default();
        let fed = chain.feed(worker.instances(), self.direction, &seen, false, &mut passed);
        if chain.is_done() {
            *filters = None;
        }
        let onward = passed.onward(self.direction, &seen);
        self.added += onward.len().saturating_sub(seen.len()) as u64;
        self.owe(onward);
        other.answer(passed.back(self.direction));
        fed
    }

    fn mirror(&mut self, bytes: &[u8]) {
        if let Some(course) = &mut self.course {
            course.mirrors.push(bytes);
        }
    }

    /// Goes on until the lane is through (`Ok`), its source fails (`Err`), or there is nothing to do now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mut tools: Tools<'_>) -> Poll<Result<(), Ending>> {
        let start = self.moved.total();
        let mut sent = 0;
        self.held_up = false;
        loop {
            match self.poll_flush(cx, tools.worker, tools.sink) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.give_up(error),
                Poll::Pending => return Poll::Pending,
            }
            if self.course.is_some() {
                match self.poll_faults(cx) {
                    Let::Pass => {}
                    Let::Send if sent == SENDS => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Let::Send => {
                        sent += 1;
                        continue;
                    }
                    Let::Wait => return Poll::Pending,
                    Let::Cut { reset } => return Poll::Ready(Err(Ending::Cut { reset })),
                }
            }
            match self.phase {
                Phase::Open => {}
                Phase::Ended | Phase::Finishing => {
                    self.phase = Phase::Finishing;
                    // The close that follows says FIN as well: the source has nothing unread that would make it a RST.
                    let gone = match tools.is_last() && tools.sink.session().is_none() {
                        true => tools.sink.stream().gone(cx),
                        false => ready!(tools.sink.poll_finish(cx, tools.source.is_truncated())).err(),
                    };
                    match gone {
                        None => self.close(tools.source.is_truncated()),
                        Some(error) => self.give_up(error),
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Closed | Phase::Broken(_) => return Poll::Ready(Ok(())),
            }
            if self.moved.total() - start >= TURN as u64 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(course) = &mut self.course
                && let Err(Exhausted) = ready!(course.poll_turn(cx))
            {
                return Poll::Ready(Err(Ending::Expired(Limit::Quota)));
            }
            if let ControlFlow::Break(ending) = ready!(self.poll_move(cx, &mut tools)) {
                return Poll::Ready(Err(ending));
            }
        }
    }

    /// The sink was sent everything, and the end. Nobody is told the end of a stream that was cut off.
    fn close(&mut self, is_truncated: bool) {
        self.phase = Phase::Closed;
        match &mut self.course {
            Some(course) if is_truncated => course.mirrors = Mirrors::default(),
            Some(course) => course.mirrors.end(),
            None => {}
        }
    }

    /// Ready when nothing is owed, neither in memory nor in the kernel.
    fn poll_flush(&mut self, cx: &mut Context<'_>, worker: &Worker, sink: &Channel) -> Poll<io::Result<()>> {
        let ways = worker.traffic().of(self.direction);
        if let Path::Splice { pipe: Some(pipe), .. } = &mut self.path {
            while pipe.owed() > 0 {
                match ready!(sink.poll_drain(cx, pipe)) {
                    Ok(bytes) => {
                        let unseen = count_seen(&mut self.seen, &mut self.moved, ways, bytes as u64);
                        self.moved.spliced += unseen;
                        ways.spliced(unseen);
                    }
                    Err(error) if refuses_splice(&error) => {
                        let unseen = count_seen(&mut self.seen, &mut self.moved, ways, pipe.owed() as u64);
                        self.moved.copied += unseen;
                        ways.copied(unseen);
                        self.backlog.push_front(&pipe.take()?);
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
        if !self.backlog.is_empty() {
            ready!(self.backlog.poll_flush(cx, sink))?;
        }
        sink.poll_flush(cx)
    }

    /// Nothing can be passed on any more. What is owed has nobody to go to.
    fn give_up(&mut self, error: io::Error) {
        self.path = Path::Copy(Copying::Refused);
        self.backlog = Backlog::default();
        if let Some(course) = &mut self.course {
            course.mirrors = Mirrors::default();
        }
        self.phase = Phase::Broken(Some(error));
    }

    /// Reads once and passes on what the sink takes at once. Nothing is owed when this is called.
    fn poll_move(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>) -> Poll<ControlFlow<Ending>> {
        if tools
            .filters
            .as_ref()
            .is_some_and(|chain| chain.has_released(self.direction))
        {
            return Poll::Ready(self.pass_released(cx, tools));
        }
        if self.cleared == 0
            && let Some(error) = self.failing.take()
        {
            return Poll::Ready(ControlFlow::Break(self.failed(error)));
        }
        let Some(most) = self.may_pass(tools) else {
            return self.poll_filtered(cx, tools);
        };
        match ready!(self.poll_native(cx, tools, most)) {
            Ok(0) if tools.is_cut_off() => return Poll::Ready(ControlFlow::Break(self.failed(reset()))),
            Ok(0) => self.phase = Phase::Ended,
            Ok(bytes) => self.have_passed(tools, bytes),
            Err(error) => return Poll::Ready(ControlFlow::Break(self.failed(error))),
        }
        Poll::Ready(ControlFlow::Continue(()))
    }

    /// How many of the next bytes go on as they are; `None` where filters are to see them first.
    fn may_pass(&self, tools: &Tools<'_>) -> Option<u64> {
        let view = tools.filters.as_ref().map(|chain| chain.view(self.direction));
        match view.unwrap_or(View::Nothing) {
            View::Nothing => Some(u64::MAX),
            View::After(unseen) if unseen >= WORTH_LEAVING => Some(self.cleared.saturating_add(unseen)),
            View::After(_) | View::Next => Some(self.cleared).filter(|bytes| *bytes > 0),
        }
    }

    /// So many bytes have gone on: those that were cleared, and then such as filters skip.
    fn have_passed(&mut self, tools: &mut Tools<'_>, bytes: usize) {
        self.took(bytes);
        let cleared = self.cleared.min(bytes as u64);
        self.cleared -= cleared;
        if let Some(chain) = tools.filters {
            chain.passed_unseen(self.direction, bytes as u64 - cleared);
        }
    }

    /// So many bytes are read from the source.
    fn took(&mut self, bytes: usize) {
        if let Some(course) = &mut self.course {
            course.took(bytes as u64);
        }
    }

    /// How many of these may be read at once.
    fn most(&self, wanted: usize) -> usize {
        let most = self.course.as_ref().map_or(u64::MAX, |course| course.most());
        wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
    }

    fn failed(&self, error: io::Error) -> Ending {
        Ending::Failed {
            side: self.direction.from(),
            error,
        }
    }

    fn poll_native(&mut self, cx: &mut Context<'_>, tools: &Tools<'_>, most: u64) -> Poll<io::Result<usize>> {
        let most = self.most(usize::try_from(most).unwrap_or(usize::MAX));
        match self.path {
            Path::Copy(_) => self.poll_copy(cx, tools, most),
            Path::Splice { .. } => self.poll_splice(cx, tools, most),
        }
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>, tools: &Tools<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut buffer = tools.worker.buffer();
        let room = most.min(BUFFER);
        let (read, ended) = ready!(tools.source.poll_recv_to_end(cx, &mut buffer[..room]))?;
        self.look_at_first(tools, &buffer[..read]);
        let ways = tools.worker.traffic().of(self.direction);
        let unseen = count_seen(&mut self.seen, &mut self.moved, ways, read as u64);
        self.moved.copied += unseen;
        ways.copied(unseen);
        self.pass_on(cx, tools, &buffer[..read], ended);
        if ended && read > 0 && matches!(self.phase, Phase::Open) {
            self.phase = Phase::Ended;
        }
        // A full buffer says that there is more than one: bulk.
        if read == room && room >= SMALL {
            self.expect_bulk();
        }
        Poll::Ready(Ok(read))
    }

    /// From here on it splices, where it may.
    fn expect_bulk(&mut self) {
        match &mut self.path {
            Path::Copy(Copying::Refused | Copying::Faults) => {}
            Path::Copy(Copying::Small | Copying::NoPipe | Copying::Captured) => {
                self.path = Path::Splice { pipe: None, small: 0 }
            }
            Path::Splice { small, .. } => *small = 0,
        }
    }

    /// Whoever speaks first says which protocol it is.
    fn look_at_first(&self, tools: &Tools<'_>, bytes: &[u8]) {
        let Some(facts) = tools.unknown.filter(|_| self.moved.total() == 0) else {
            return;
        };
        let protocol = match self.direction {
            Direction::Up => speaks(bytes),
            Direction::Down => greets(bytes),
        };
        if protocol.is_some() && facts.known_as("protocol").is_none() {
            facts.learn(Arc::new(Found { protocol, hello: None }));
        }
    }

    /// Writes what the sink takes now, and keeps the rest, or all where more is owed; FIN follows at once upon what is
    /// `last`. An error stays with the socket, and the next flush meets it.
    fn pass_on(&mut self, cx: &mut Context<'_>, tools: &Tools<'_>, bytes: &[u8], last: bool) {
        if bytes.is_empty() {
            return;
        }
        if !self.backlog.is_empty() || self.has_faults() {
            return self.owe(bytes);
        }
        let polled = match last {
            true => tools.sink.poll_send_last(cx, bytes),
            false => tools.sink.poll_send(cx, bytes),
        };
        let sent = match polled {
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(error)) => return self.give_up(error),
            Poll::Pending => 0,
        };
        self.backlog.push(&bytes[sent..]);
        // Behind the primary's, which waits for no copy.
        self.mirror(bytes);
    }

    fn poll_splice(&mut self, cx: &mut Context<'_>, tools: &Tools<'_>, most: usize) -> Poll<io::Result<usize>> {
        let Path::Splice { pipe: held, small } = &mut self.path else {
            return self.poll_copy(cx, tools, most);
        };
        let lent = if tools.is_captured() {
            Err(Copying::Captured)
        } else if *small < SMALL_IN_A_ROW {
            let lent = held.take().or_else(|| tools.worker.pipes().lend());
            lent.ok_or(Copying::NoPipe)
        } else {
            Err(Copying::Small)
        };
        let lent = match lent {
            Ok(lent) => lent,
            // A full buffer brings us back here.
            Err(why) => {
                self.path = Path::Copy(why);
                return self.poll_copy(cx, tools, most);
            }
        };
        let pipe = held.insert(lent);
        if let Some(course) = &mut self.course
            && !course.mirrors.take_pipes(tools.worker.pipes(), pipe)
        {
            *held = None;
            return self.poll_copy(cx, tools, most);
        }
        match tools.source.poll_fill(cx, pipe, most.min(SPLICE)) {
            Poll::Ready(Ok(bytes @ 1..)) => {
                *small = if bytes < SMALL { *small + 1 } else { 0 };
                if let Some(course) = &mut self.course {
                    course.mirrors.tee(pipe);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) if refuses_splice(&error) => {
                self.path = Path::Copy(Copying::Refused);
                self.give_mirrors_pipes_back();
                self.poll_copy(cx, tools, most)
            }
            // The end, an error, or nothing there now: an idle lane owns no pipe.
            nothing => {
                *held = None;
                self.give_mirrors_pipes_back();
                nothing
            }
        }
    }

    fn poll_filtered(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>) -> Poll<ControlFlow<Ending>> {
        let answers = tools.filters.as_ref().is_some_and(|chain| chain.answers());
        if answers && tools.other.is_clogged() {
            // Its sink wakes us when it takes something.
            self.held_up = true;
            return Poll::Pending;
        }
        match self.look(tools) {
            Some(most) => self.poll_look(cx, tools, most),
            None => self.poll_read(cx, tools),
        }
    }

    /// Reads, and shows it.
    fn poll_read(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>) -> Poll<ControlFlow<Ending>> {
        let mut buffer = tools.worker.buffer();
        let room = self.most(BUFFER);
        let Poll::Ready(read) = tools.source.poll_recv(cx, &mut buffer[..room]) else {
            self.give_pipe_back();
            return Poll::Pending;
        };
        let read = match read {
            Ok(0) if tools.is_cut_off() => return Poll::Ready(ControlFlow::Break(self.failed(reset()))),
            Ok(read) => read,
            Err(error) => return Poll::Ready(ControlFlow::Break(self.failed(error))),
        };
        self.look_at_first(tools, &buffer[..read]);
        self.moved.filtered += read as u64;
        tools.worker.traffic().of(self.direction).filtered(read as u64);
        self.took(read);
        if read == 0 {
            self.phase = Phase::Ended;
        }
        Poll::Ready(self.show(cx, tools, &buffer[..read], read == 0))
    }

    /// An idle lane owns no pipe. Nothing is in it when filters are to be shown something.
    fn give_pipe_back(&mut self) {
        if let Path::Splice { pipe, .. } = &mut self.path {
            *pipe = None;
        }
    }

    /// The same of those that were for what mirrors are sent.
    fn give_mirrors_pipes_back(&mut self) {
        if let Some(course) = &mut self.course {
            course.mirrors.give_pipes_back();
        }
    }

    /// Passes on what a filter that failed had held: nothing is read for it.
    fn pass_released(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>) -> ControlFlow<Ending> {
        self.show(cx, tools, &[], false)
    }

    /// Shows bytes to the filters, and passes on what they let through, to either peer.
    fn show(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>, bytes: &[u8], last: bool) -> ControlFlow<Ending> {
        let mut passed = tools.worker.passed();
        let fed = self.feed(tools, bytes, last, &mut passed);
        if bytes.len() == BUFFER && passed.is_unchanged(bytes) {
            self.expect_bulk();
        }
        self.settle(cx, tools, &passed);
        self.pass_through(cx, tools, &passed, bytes, last);
        continues(fed)
    }

    fn feed(&self, tools: &mut Tools<'_>, bytes: &[u8], last: bool, passed: &mut Passed) -> Result<(), Stop> {
        match tools.filters {
            Some(chain) => chain.feed(tools.worker.instances(), self.direction, bytes, last, passed),
            None => unreachable!("there are bytes to show and nobody to show them to"),
        }
    }

    /// Filters have looked at bytes: what they answered goes to the other lane, and those that are done are let go.
    fn settle(&self, cx: &Context<'_>, tools: &mut Tools<'_>, passed: &Passed) {
        let Some(chain) = tools.filters else { return };
        let answered = passed.back(self.direction);
        if !answered.is_empty() || chain.has_released(self.direction.other()) {
            tools.other.answer(answered);
            // The other lane was polled before this one, or sleeps.
            cx.waker().wake_by_ref();
        }
        if chain.is_done() {
            *tools.filters = None;
        }
    }

    /// Passes on what filters let through of bytes, or made of them.
    fn pass_through(&mut self, cx: &mut Context<'_>, tools: &Tools<'_>, passed: &Passed, bytes: &[u8], last: bool) {
        let onward = passed.onward(self.direction, bytes);
        self.added += onward.len().saturating_sub(bytes.len()) as u64;
        self.pass_on(cx, tools, onward, last);
    }
}

/// Bytes move on that lay in the source's socket. As many as filters have looked at there are counted as filtered; how many
/// they have not is returned, to be counted by the way that they go.
#[inline]
fn count_seen(seen: &mut u32, moved: &mut Moved, ways: &Ways, bytes: u64) -> u64 {
    let filtered = bytes.min((*seen).into());
    // No more than there were.
    *seen -= filtered as u32;
    moved.filtered += filtered;
    ways.filtered(filtered);
    bytes - filtered
}

fn continues(fed: Result<(), Stop>) -> ControlFlow<Ending> {
    match fed {
        Ok(()) => ControlFlow::Continue(()),
        Err(stop) => ControlFlow::Break(Ending::Stopped(stop)),
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// The kernel does not splice between these two, and nothing was moved: EINVAL for a socket without splice support, ENOSYS
/// and EOPNOTSUPP where something forbids or lacks it (splice(2); gVisor and seccomp profiles answer so).
pub fn refuses_splice(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
    )
}

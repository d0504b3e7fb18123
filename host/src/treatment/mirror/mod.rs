//! Mirrors: a copy of what goes one way, sent to another upstream.
//!
//! ```text
//! Lane --push, tee--> Mirror --Queue--> task --> a server of the shadow upstream
//!                                        task <-- its replies, dropped or compared
//! ```
//!
//! What a mirror is sent is what the primary is sent: what filters let through, without the PROXY header, which each upstream
//! has of its own. A lane only adds to a queue and wakes the task, which does everything else on a connection of its own; so
//! nothing that a mirror does or leaves undone holds the primary up. What waits is bounded: a mirror that is further behind
//! than `lag` is dropped, and its connection reset, since what it has had is not all of it.
//!
//! Bytes that are spliced stay in the kernel: their pipe is teed into another one of the same size, which then is the
//! mirror's. Those that are copied are copied once more.

mod carry;
mod plan;
mod queue;
mod replies;
mod tally;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::task::Waker;

use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use crate::flow::Direction;
use crate::observe::Moved;
use crate::sys::{Lent, Pipe, Pipes};
use crate::treatment::Courses;
use crate::upstream::Connected;
use crate::worker::Worker;
use carry::Carrier;
pub use plan::{Planned, plan};
use queue::Queue;
use replies::{Replies, Who};
pub use tally::{End, Mirrored, Tally, VERDICTS};

/// The mirrors of a worker's connections, whose tasks are not over. Their connections may be.
#[derive(Default)]
pub struct Carried {
    tasks: Cell<usize>,
    /// What waits for all of them.
    waiting: Rc<Cell<usize>>,
    none_left: Notify,
}

/// Begins to mirror a connection that is to be, in tasks of this worker's. Its lanes tell them what they are to send.
pub fn begin(worker: &Rc<Worker>, connected: &mut Connected) {
    let treatment = connected.routed.treatment.as_mut();
    let planned = treatment.map(|treatment| mem::take(&mut treatment.mirrors));
    let mirrors = carry(worker, connected, planned.unwrap_or_default());
    let Some(treatment) = &mut connected.routed.treatment else {
        return;
    };
    let Courses { up, down } = &mut treatment.courses;
    for (course, mirrors) in [up, down].into_iter().zip(mirrors) {
        if !mirrors.is_empty() {
            course.get_or_insert_default().mirrors = mirrors;
        }
    }
}

/// Of what goes up, and of what goes down.
fn carry(worker: &Rc<Worker>, connected: &Connected, planned: Vec<Planned>) -> [Mirrors; 2] {
    let mut mirrors = [Mirrors::default(), Mirrors::default()];
    for plan in planned {
        if !has_descriptors_to_spare(connected) {
            plan.upstream.mirrored().count(End::Unreachable, Moved::default(), None);
            continue;
        }
        for direction in plan.directions {
            let compared = plan.compare && *direction == Direction::Up;
            let queue = Queue::new(&worker.mirrors().waiting);
            let feed = Rc::new(RefCell::new(Feed::new(queue, plan.lag, compared)));
            let carrier = Carrier::new(connected, &plan, *direction);
            worker.mirrors().begins();
            spawn_local(carrier.serve(Rc::clone(worker), Rc::clone(&feed)));
            if compared {
                mirrors[Direction::Down as usize].add(&feed, Role::Expected);
            }
            mirrors[*direction as usize].add(&feed, Role::Sent);
        }
    }
    mirrors
}

/// What may wait for all mirrors of a worker: for each of many thousand short connections, a server that does not answer would
/// keep for seconds what it is to be sent.
const MOST_WAITING: usize = 1 << 30;

/// Which part of the descriptors may be in use when a mirror begins: clients come first.
const DESCRIPTORS: (u64, u64) = (3, 4);

/// What one lane tells its mirrors.
#[derive(Debug, Default)]
pub struct Mirrors {
    each: Vec<Mirror>,
    /// A pipe for each, while something is spliced.
    lent: Vec<Lent>,
}

/// What a lane and a mirror's task share.
#[derive(Debug)]
struct Feed {
    queue: Queue,
    /// The most that may wait.
    lag: usize,
    stage: Stage,
    /// The task's.
    waker: Option<Waker>,
    /// Present where they are compared.
    replies: Option<Replies>,
}

/// How far the direction is that is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// It has ended.
    Ended,
    /// So has its connection.
    Over,
    /// Its connection is over, without its end.
    CutOff,
    /// Too much waits.
    Lagged,
    /// The task is over.
    Gone,
}

#[derive(Debug)]
struct Mirror {
    feed: Rc<RefCell<Feed>>,
    role: Role,
}

/// What the bytes of a lane are to a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Sent,
    /// What its replies are compared with.
    Expected,
}

/// The kernel gives the lowest number that is free, so the one that it gave last says how many are in use.
fn has_descriptors_to_spare(connected: &Connected) -> bool {
    let number = connected.socket.stream().as_fd().as_raw_fd().unsigned_abs();
    let (part, whole) = DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile).current;
    limit.is_none_or(|limit| u64::from(number) < limit / whole * part)
}

impl Mirrors {
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    fn add(&mut self, feed: &Rc<RefCell<Feed>>, role: Role) {
        let feed = Rc::clone(feed);
        self.each.push(Mirror { feed, role });
    }

    /// These bytes go to the primary.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.each
            .retain(|mirror| mirror.feed.borrow_mut().push(mirror.role, bytes));
    }

    /// Takes a pipe for each mirror, as large as `original`: where the pool has none, one that the mirror has filled already, since
    /// what waits in it can wait in memory. Where there is none at all, the next bytes have to be copied.
    pub fn take_pipes(&mut self, pipes: &Pipes, original: &Pipe) -> bool {
        self.each.retain(|mirror| !mirror.feed.borrow().is_over());
        while self.lent.len() < self.each.len() {
            let of_mirror = || {
                let mirrors = self.each.iter();
                let mut given = mirrors.filter_map(|mirror| mirror.feed.borrow_mut().queue.give_pipe_back());
                given.next().filter(|pipe| pipe.is_as_large_as(original))
            };
            match pipes.lend_beside(original).or_else(of_mirror) {
                Some(pipe) => self.lent.push(pipe),
                None => {
                    self.give_pipes_back();
                    return false;
                }
            }
        }
        true
    }

    /// An idle lane owns no pipe.
    pub fn give_pipes_back(&mut self) {
        self.lent.clear();
    }

    /// What is in `original` goes to the primary. There is a pipe for each mirror.
    pub fn tee(&mut self, original: &Pipe) {
        let lent = &mut self.lent;
        self.each.retain(|mirror| {
            let Some(mut pipe) = lent.pop() else { return true };
            let teed = original.tee(&mut pipe).map(|()| pipe);
            mirror.feed.borrow_mut().push_pipe(mirror.role, teed)
        });
    }

    /// The primary was sent everything, and is told the end.
    pub fn end(&self) {
        for mirror in &self.each {
            mirror.feed.borrow_mut().end(mirror.role);
        }
    }
}

impl Carried {
    /// Until there is none.
    pub async fn over(&self) {
        while self.tasks.get() > 0 {
            self.none_left.notified().await;
        }
    }

    fn begins(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    fn ends(&self) {
        self.tasks.set(self.tasks.get() - 1);
        if self.tasks.get() == 0 {
            self.none_left.notify_one();
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if self.role == Role::Sent {
            self.feed.borrow_mut().leave();
        }
    }
}

impl Feed {
    fn new(queue: Queue, lag: usize, compared: bool) -> Self {
        Self {
            queue,
            lag,
            stage: Stage::Open,
            waker: None,
            replies: compared.then(|| Replies::new(lag)),
        }
    }

    /// Whether nobody wants any more of it.
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Lagged | Stage::Gone)
    }

    /// Returns whether more of it is wanted.
    fn push(&mut self, role: Role, bytes: &[u8]) -> bool {
        let waits_for_its_server = role == Role::Sent && !self.queue.is_empty();
        match role {
            Role::Sent if self.has_room(bytes.len()) => self.queue.push(bytes),
            Role::Sent => {}
            Role::Expected => self.expect(bytes),
        }
        self.wake_unless(waits_for_its_server);
        !self.is_over()
    }

    fn push_pipe(&mut self, role: Role, teed: io::Result<Lent>) -> bool {
        let waits_for_its_server = role == Role::Sent && !self.queue.is_empty();
        match (role, teed) {
            (Role::Sent, Ok(pipe)) if self.has_room(pipe.owed()) => self.queue.push_pipe(pipe),
            (Role::Sent, Ok(_)) => {}
            (Role::Expected, Ok(mut pipe)) => match pipe.take() {
                Ok(bytes) => self.expect(&bytes),
                Err(_) => self.replies = None,
            },
            // The kernel has no more references to a page: what is missing cannot be had again.
            (Role::Sent, Err(error)) => {
                tracing::debug!(%error, "cannot tee");
                self.drop_behind();
            }
            (Role::Expected, Err(_)) => self.replies = None,
        }
        self.wake_unless(waits_for_its_server);
        !self.is_over()
    }

    /// Whether so much more may wait. Where not, nothing waits any more.
    fn has_room(&mut self, more: usize) -> bool {
        if self.is_over() {
            return false;
        }
        if self.queue.len() + more > self.lag || self.queue.len_of_worker() + more > MOST_WAITING {
            self.drop_behind();
            return false;
        }
        true
    }

    fn drop_behind(&mut self) {
        self.queue.clear();
        if !self.is_over() {
            self.stage = Stage::Lagged;
        }
    }

    fn expect(&mut self, bytes: &[u8]) {
        if let Some(replies) = &mut self.replies {
            replies.said(Who::Primary, bytes);
        }
    }

    fn end(&mut self, role: Role) {
        match role {
            Role::Sent if self.stage == Stage::Open => self.stage = Stage::Ended,
            Role::Sent => {}
            Role::Expected => {
                if let Some(replies) = &mut self.replies {
                    replies.ended(Who::Primary);
                }
            }
        }
        self.wake();
    }

    /// The lane is gone.
    fn leave(&mut self) {
        self.stage = match self.stage {
            Stage::Open => Stage::CutOff,
            Stage::Ended => Stage::Over,
            stage => stage,
        };
        self.wake();
    }

    /// Where something waited already, the task has been woken for that, or will be when its server takes more: a shadow that hangs
    /// costs the primary no turns.
    fn wake_unless(&mut self, waits_for_its_server: bool) {
        if !waits_for_its_server || self.is_over() {
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(lag: usize) -> Feed {
        Feed::new(Queue::default(), lag, false)
    }

    #[test]
    fn a_mirror_may_be_behind_by_its_lag_and_no_further() {
        let mut feed = feed(10);
        assert!(feed.push(Role::Sent, &[0; 10]));
        assert_eq!(feed.queue.len(), 10);
        assert!(!feed.push(Role::Sent, &[0; 1]));
        assert_eq!(
            (feed.stage, feed.queue.len()),
            (Stage::Lagged, 0),
            "nothing of it is kept"
        );
    }

    #[test]
    fn a_pipe_counts_with_what_is_in_it() {
        let pipes = Pipes::new(2);
        let mut feed = feed(10);
        let mut teed = |bytes: usize| {
            let mut pipe = pipes.lend().unwrap();
            pipe.put(&vec![0; bytes]);
            feed.push_pipe(Role::Sent, Ok(pipe))
        };
        assert!(teed(6));
        assert!(!teed(6));
        assert_eq!(pipes.in_use().lent, 0, "one that is dropped gives its pipes back");
    }

    #[test]
    fn a_lane_that_goes_after_its_end_has_said_all_and_another_has_not() {
        let mut ended = feed(10);
        ended.end(Role::Sent);
        ended.leave();
        assert_eq!(ended.stage, Stage::Over);
        let mut cut_off = feed(10);
        cut_off.leave();
        assert_eq!(cut_off.stage, Stage::CutOff);
    }
}

//! Moves the bytes of one connection until it ends.
//!
//! Each direction is a [`Lane`] of its own. It starts by copying, moves to splicing where it proves to be bulk, and is shown
//! to filters for as long as one of them watches it; it may change at any chunk. What holds for all three:
//!
//! | | |
//! | --- | --- |
//! | order | everything owed is written before anything more is read |
//! | memory | so a lane owes at most one buffer, one pipe, and what filters hold; what they look at stays in its socket |
//! | end | at a FIN, what is owed is written, then the FIN is passed on; the other lane goes on |
//! | error | a peer that cannot be written to may still have sent something: its own lane runs to its end first |
//!
//! All that the rest of the proxy knows of the relay is [`run`]: two sockets, the bytes already read, the filters, a timeout,
//! and a [`Transfer`] back. A second engine would stand behind the same function.

mod backlog;
mod deadlines;
mod lane;
mod standing;

use std::io;
use std::mem;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::filter::{Chain, Stop};
use crate::flow::{Direction, Side};
use crate::linger;
use crate::observe::Moved;
use crate::sys::Coarse;
use crate::treatment::capture::Capture;
use crate::treatment::{self, Courses, Subject};
use crate::upstream::Connected;
use crate::worker::{Elapsed, Worker};

use deadlines::{Deadlines, Due};
use lane::{Lane, Tools};

pub use deadlines::Limit;
pub use lane::{Copying, Way, Where, refuses_splice};
pub use standing::Standing;

/// What has become of the bytes of one connection, and why it ended.
#[derive(Debug)]
pub struct Transfer {
    pub up: Moved,
    pub down: Moved,
    /// The upstream, and the client, have been sent everything and then FIN.
    pub up_complete: bool,
    pub down_complete: bool,
    /// From being connected until the upstream's first byte had gone to the client.
    pub first_byte: Option<Duration>,
    pub ending: Ending,
}

#[derive(Debug)]
pub enum Ending {
    /// Both peers have finished and everything is delivered; `first` was the one that finished first.
    Finished { first: Side },
    /// The socket of `side` failed: it reset the connection, or the kernel gave it up.
    Failed { side: Side, error: io::Error },
    /// Its time was over.
    Expired(Limit),
    /// A fault ends it, with RST or with FIN.
    Cut { reset: bool },
    /// A filter refused the connection, or failed and its policy is to close.
    Stopped(Stop),
}

/// Who is told of a connection while it lives.
pub trait Watched {
    /// It has lived so long again, and has moved so much.
    fn alive(&mut self, up: Moved, down: Moved);

    /// Somebody asks how it stands. Returns whether it has to end.
    fn is_to_end(&mut self, standing: &Standing<'_>) -> bool;

    /// By what it is found out what is to be done to it.
    fn subject<'a>(&'a self, connected: &'a Connected) -> Subject<'a>;

    /// It is written down by these from now on, and by no others.
    fn is_captured_by(&mut self, connected: &Connected, captures: &[Arc<Capture>]);
}

/// Runs until the connection has ended. `watched` is told how much has moved, each time that it has lived for `every` again.
pub async fn run(
    worker: &Worker,
    connected: &mut Connected,
    every: Option<Duration>,
    watched: &mut dyn Watched,
) -> Transfer {
    let (mut relay, stopped) = Relay::begin(worker, connected, every);
    let ending = match stopped {
        None => relay.run(watched).await,
        Some(stop) => Ending::Stopped(stop),
    };
    relay.conclude(ending).await
}

struct Relay<'a> {
    worker: &'a Worker,
    connected: &'a Connected,
    up: Lane,
    down: Lane,
    filters: Option<Box<Chain>>,
    deadlines: Deadlines,
    began: Instant,
    /// Since then, in nanoseconds: half the size of a `Duration`.
    first_byte: Option<NonZeroU64>,
    /// The worker's measures of that time are looked at.
    measured: u32,
    /// Who finished first.
    first: Option<Side>,
    /// The connection is ended from our side, and its sockets are read on after FIN.
    winding_down: bool,
}

impl<'a> Relay<'a> {
    /// Apart from what waits, so that a connection's future does not keep what only its beginning needs. Filters may stop it
    /// at what was read from the client before there was an upstream.
    fn begin(worker: &'a Worker, connected: &'a mut Connected, every: Option<Duration>) -> (Self, Option<Stop>) {
        let filters = connected.routed.chain.take();
        let header = connected.routed.header.take();
        let seen = mem::take(&mut connected.routed.seen);
        let treatment = connected.routed.treatment.as_mut();
        let Courses { up, down } = treatment
            .map(|treatment| mem::take(&mut treatment.courses))
            .unwrap_or_default();
        let connected = &*connected;
        let mut relay = Self {
            worker,
            connected,
            up: Lane::new(Direction::Up, up),
            down: Lane::new(Direction::Down, down),
            filters,
            deadlines: Deadlines::new(
                Arc::clone(&connected.routed.timeouts),
                every,
                connected.routed.id,
                Coarse::now(),
            ),
            began: Instant::now(),
            first_byte: None,
            measured: worker.measured(),
            first: None,
            winding_down: false,
        };
        // The header goes first, in one write with what was read from the client, if anything was; that goes the way of all
        // others.
        if let Some(header) = header {
            relay.up.announce(header);
        }
        let Self { up, down, filters, .. } = &mut relay;
        let stopped = up.start_with(worker, seen, filters, down).err();
        (relay, stopped)
    }

    async fn run(&mut self, watched: &mut dyn Watched) -> Ending {
        let mut timer = self.worker.timers().timer();
        std::future::poll_fn(|cx| {
            if self.measured != self.worker.measured() {
                self.treat(watched);
            }
            if let Poll::Ready(ending) = self.poll(cx) {
                return Poll::Ready(ending);
            }
            if self.worker.live().is_asking() && watched.is_to_end(&self.standing()) {
                return Poll::Ready(Ending::Expired(Limit::Killed));
            }
            let now = Coarse::now();
            let up = self.up.progress(self.upstream().owed());
            let down = self.down.progress(self.client().owed());
            self.deadlines.observe(now, up, down);
            loop {
                let (at, due) = self.next_deadline();
                let Elapsed = ready!(timer.poll(cx, now, at));
                match due {
                    Due::Settle => {
                        let vigilance = self.connected.routed.upstream.vigilance();
                        self.upstream().stream().watch_over(&vigilance);
                        self.deadlines.settled();
                    }
                    Due::Probe(direction) => {
                        let queued = self.socket(direction.to()).stream().queued();
                        self.deadlines.probed(now, direction, queued);
                        if let Some(ending) = self.probe(direction) {
                            return Poll::Ready(ending);
                        }
                    }
                    Due::Report => {
                        watched.alive(self.up.moved(), self.down.moved());
                        self.deadlines.reported(now);
                    }
                    Due::Over(limit) => return Poll::Ready(Ending::Expired(limit)),
                }
            }
        })
        .await
    }

    /// There are other measures than before.
    fn treat(&mut self, watched: &mut dyn Watched) {
        self.measured = self.worker.measured();
        let before = Courses {
            up: self.up.leave_course(),
            down: self.down.leave_course(),
        };
        let Courses { up, down } = treatment::renew(self.worker, &watched.subject(self.connected), before);
        self.up.follow(up);
        self.down.follow(down);
        let captures = treatment::captures(self.worker, &watched.subject(self.connected));
        watched.is_captured_by(self.connected, &captures);
    }

    fn standing(&self) -> Standing<'_> {
        Standing::new(self.connected, [&self.up, &self.down], self.filters.as_deref())
    }

    /// The process is about to end, or else the server of this connection is down, or what it came through has changed.
    fn next_deadline(&self) -> (Coarse, Due) {
        if let draining @ Some(_) = self.worker.draining() {
            return self.deadlines.next(draining.as_ref());
        }
        let Connected { routed, place, .. } = self.connected;
        let notice = place.notice();
        let notice = notice.or_else(|| Some((routed.notice.given()?, Limit::Reconfigured)));
        match (self.deadlines.next(notice.as_ref().map(|(given, _)| given)), notice) {
            ((at, Due::Over(Limit::Drained | Limit::DrainOver)), Some((_, limit))) => (at, Due::Over(limit)),
            (other, _) => other,
        }
    }

    /// Nobody reads the source while its lane is blocked, so nobody else would notice that it is gone. One that is gone and
    /// had finished before has said all that matters: it waits in our kernel to be read.
    fn probe(&mut self, direction: Direction) -> Option<Ending> {
        let (source, side) = (self.socket(direction.from()), direction.from());
        let told = source.stream().take_error();
        let other = match direction {
            Direction::Up => &mut self.down,
            Direction::Down => &mut self.up,
        };
        if source.had_finished(told.as_ref().or_else(|| other.broken())?) {
            return None;
        }
        let error = told.or_else(|| other.take_broken())?;
        Some(Ending::Failed { side, error })
    }

    fn client(&self) -> &'a Channel {
        &self.connected.routed.client
    }

    fn upstream(&self) -> &'a Channel {
        &self.connected.socket
    }

    fn socket(&self, side: Side) -> &'a Channel {
        match side {
            Side::Client => self.client(),
            Side::Upstream => self.upstream(),
        }
    }

    /// Both lanes as far as they go now. Either one may have been what woke us; asking the other costs no system call.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let up = self.poll_lane(cx, Direction::Up);
        let down = self.poll_lane(cx, Direction::Down);
        if self.up.can_go_on(&self.down) || self.down.can_go_on(&self.up) {
            cx.waker().wake_by_ref();
        }
        if self.first_byte.is_none() && self.down.moved().total() > 0 {
            let elapsed = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.first_byte = NonZeroU64::new(elapsed.max(1));
        }
        match (up, down) {
            (Poll::Ready(Err(ending)), _) | (_, Poll::Ready(Err(ending))) => Poll::Ready(ending),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(self.end()),
            _ => Poll::Pending,
        }
    }

    fn poll_lane(&mut self, cx: &mut Context<'_>, direction: Direction) -> Poll<Result<(), Ending>> {
        let (source, sink) = (self.socket(direction.from()), self.socket(direction.to()));
        let (lane, other) = match direction {
            Direction::Up => (&mut self.up, &mut self.down),
            Direction::Down => (&mut self.down, &mut self.up),
        };
        let tools = Tools {
            worker: self.worker,
            source,
            sink,
            unknown: self.connected.routed.unknown.as_deref(),
            filters: &mut self.filters,
            other,
            winding_down: self.winding_down,
        };
        let polled = lane.poll(cx, tools);
        if lane.has_ended() && self.first.is_none() {
            self.first = Some(direction.from());
        }
        polled
    }

    /// Both lanes are through: each delivered its FIN, or could not be written to any more.
    fn end(&mut self) -> Ending {
        for (lane, direction) in [(&mut self.up, Direction::Up), (&mut self.down, Direction::Down)] {
            if let Some(error) = lane.take_broken() {
                return Ending::Failed {
                    side: direction.to(),
                    error,
                };
            }
        }
        Ending::Finished {
            first: self.first.unwrap_or(Side::Client),
        }
    }

    async fn conclude(&mut self, ending: Ending) -> Transfer {
        if let Ending::Stopped(Stop::Refused(refused)) = &ending
            && !refused.reset
        {
            self.down.answer(&refused.reply);
        }
        if let Ending::Cut { .. } = ending {
            // What faults hold is behind the cut.
            self.up.forget_faults();
            self.down.forget_faults();
        }
        if self.owes_an_end(&ending) {
            // Boxed: it happens once, and every connection would carry its state.
            Box::pin(self.wind_down()).await;
        }
        Transfer {
            up: self.up.moved(),
            down: self.down.moved(),
            up_complete: self.up.is_complete(),
            down_complete: self.down.is_complete(),
            first_byte: self.first_byte.map(|nanos| Duration::from_nanos(nanos.get())),
            ending,
        }
    }

    /// Whether a peer that did nothing wrong is still to be told everything, or still sends: it is not to be met with RST.
    fn owes_an_end(&self, ending: &Ending) -> bool {
        match ending {
            Ending::Expired(Limit::Stalled(_) | Limit::Killed) => false,
            Ending::Expired(_) => true,
            Ending::Cut { reset } => !reset,
            Ending::Stopped(Stop::Refused(refused)) => !refused.reset,
            Ending::Failed { side: Side::Client, .. } => self.up.is_complete(),
            Ending::Failed {
                side: Side::Upstream, ..
            } => self.down.is_complete(),
            Ending::Finished { .. } | Ending::Stopped(Stop::Failed { .. }) => false,
        }
    }

    /// Ends a connection from our side: reads nothing more of what is to be passed on, delivers what is owed, says FIN to
    /// both, and waits for theirs, as [`linger`] says.
    async fn wind_down(&mut self) {
        self.filters = None;
        self.winding_down = true;
        self.up.finish();
        self.down.finish();
        let worker = self.worker;
        let delivered = std::future::poll_fn(|cx| {
            let flushed = self.poll(cx).is_ready();
            let client = linger::poll_discard(cx, worker, self.client().stream());
            let upstream = linger::poll_discard(cx, worker, self.upstream().stream());
            if flushed && client.is_ready() && upstream.is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let _ = worker.timers().within(Some(linger::PATIENCE), delivered).await;
    }
}

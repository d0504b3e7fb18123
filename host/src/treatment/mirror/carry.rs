//! The task of one mirror: connects, sends what waits, and hears the replies. It waits for nobody but its own server, and
//! nobody waits for it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::replies::{Replies, Verdict, Who};
use super::tally::End;
use super::{Feed, Planned, Stage};
use crate::flow::Direction;
use crate::linger;
use crate::observe::Moved;
use crate::sys::Coarse;
use crate::upstream::{Call, Called, Connected, Upstream, Wish, call};
use crate::worker::{BUFFER, Elapsed, Worker};

/// How long a mirror may take for what waits when its connection is over, and for replies that are compared.
const REST: Duration = Duration::from_secs(5);

/// What is sent, and heard, before others have their turn.
const TURN: u64 = 1 << 20;

pub(super) struct Carrier {
    connection: u64,
    direction: Direction,
    upstream: Arc<Upstream>,
    wish: Wish,
    header: Option<Box<[u8]>>,
    alpn: Option<String>,
    /// How long connecting may take.
    limit: Duration,
}

/// One that is connected.
struct Carrying<'a> {
    worker: &'a Worker,
    feed: &'a RefCell<Feed>,
    called: Called,
    moved: Moved,
    /// It was told the end, and has told its own.
    finished: bool,
    heard_out: bool,
    /// It has replied.
    heard: bool,
}

/// How it ended, and why where that was not the usual way.
type Ended = (End, Option<io::Error>);

impl Carrier {
    pub fn new(connected: &Connected, plan: &Planned, direction: Direction) -> Self {
        let routed = &connected.routed;
        let limit = plan.upstream.timeouts().connect.unwrap_or(routed.timeouts.connect);
        let alpn = routed.client.session().and_then(|session| session.established().alpn());
        Self {
            connection: routed.id,
            direction,
            upstream: Arc::clone(&plan.upstream),
            wish: plan.wish,
            header: plan.header.clone(),
            alpn: alpn.map(str::to_owned),
            limit: limit.unwrap_or(REST),
        }
    }

    /// Until everything was sent, or cannot be any more.
    pub async fn serve(self, worker: Rc<Worker>, feed: Rc<RefCell<Feed>>) {
        let (ended, moved) = match self.connect(&worker, &feed).await {
            Err(ended) => (ended, Moved::default()),
            Ok(called) => carry(&worker, &feed, called).await,
        };
        let replies = {
            let mut feed = feed.borrow_mut();
            feed.stage = Stage::Gone;
            feed.queue.clear();
            feed.replies.take()
        };
        self.record(ended, moved, replies.map(Replies::into_verdict).as_ref());
        worker.mirrors().ends();
    }

    /// What waits meanwhile may become too much.
    async fn connect(&self, worker: &Worker, feed: &RefCell<Feed>) -> Result<Called, Ended> {
        let connecting = async {
            let order = Call {
                through: None,
                upstream: &self.upstream,
                wish: self.wish,
                header: self.header.as_deref(),
                alpn: self.alpn.as_deref(),
                limit: Some(self.limit),
            };
            let called = call(worker, &order).await?;
            called.channel.stream().watch_over(&self.upstream.vigilance());
            if let Some(header) = self.header.as_deref().filter(|_| called.channel.session().is_none()) {
                called.channel.send_all(header).await?;
            }
            Ok(called)
        };
        let mut connecting = pin!(connecting);
        let connecting = poll_fn(|cx| {
            if let Some(end) = feed.borrow_mut().poll_dropped(cx) {
                return Poll::Ready(Err((end, None)));
            }
            let connected = ready!(connecting.as_mut().poll(cx));
            Poll::Ready(connected.map_err(|error| (End::Unreachable, Some(error))))
        });
        // A server may take longer to be reached than the whole connection.
        let connected = worker.timers().within(Some(self.limit + REST), connecting).await;
        connected.unwrap_or_else(|Elapsed| Err((End::Unreachable, Some(io::ErrorKind::TimedOut.into()))))
    }

    fn record(&self, (end, error): Ended, moved: Moved, verdict: Option<&Verdict>) {
        let tally = self.upstream.mirrored();
        tally.count(end, moved, verdict);
        let (upstream, direction) = (self.upstream.name(), self.direction);
        let error = error.as_ref().map(tracing::field::display);
        tracing::debug!(
            connection = self.connection,
            %upstream,
            %direction,
            end = end.name(),
            bytes = moved.total(),
            spliced = moved.spliced,
            error,
            "mirror ended"
        );
        if end.is_a_loss() && tally.may_complain() {
            tracing::warn!(connection = self.connection, %upstream, %direction, end = end.name(), error, "mirror dropped");
        }
        if let Some(Verdict::Different(difference)) = verdict
            && tally.may_tell()
        {
            let (primary, mirror) = (difference.primary.escape_ascii(), difference.mirror.escape_ascii());
            tracing::warn!(connection = self.connection, %upstream, at = difference.at, %primary, %mirror, "mirror replies otherwise");
        }
    }
}

/// Returns how it ended, and what its server has taken.
async fn carry(worker: &Worker, feed: &RefCell<Feed>, called: Called) -> (Ended, Moved) {
    let mut carrying = Carrying {
        worker,
        feed,
        called,
        moved: Moved::default(),
        finished: false,
        heard_out: false,
        heard: false,
    };
    let mut timer = worker.timers().timer();
    // When its connection was over, and when it was told so.
    let mut over = [None; 2];
    let patience = |finished| {
        let compares = feed
            .borrow()
            .replies
            .as_ref()
            .is_some_and(|replies| !replies.is_decided());
        match (finished && !compares) || worker.draining().is_some() {
            true => linger::PATIENCE,
            false => REST,
        }
    };
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = carrying.poll(cx) {
            return Poll::Ready(ended);
        }
        if feed.borrow().stage != Stage::Over {
            return Poll::Pending;
        }
        let now = Coarse::now();
        let at = *over[usize::from(carrying.finished)].get_or_insert_with(|| now + patience(carrying.finished));
        let Elapsed = ready!(timer.poll(cx, now, at));
        let end = if carrying.finished { End::Finished } else { End::Lagged };
        Poll::Ready((end, None))
    })
    .await;
    drop(timer);
    carrying.called.judge(carrying.heard, ended.0 == End::Failed);
    if ended.0 != End::Finished {
        // What it has had is not all of it, and must not look like it.
        carrying.called.channel.reset_on_close();
    }
    (ended, carrying.moved)
}

impl Carrying<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(end) = self.feed.borrow_mut().poll_dropped(cx) {
            return Poll::Ready((end, None));
        }
        let polled = self.poll_send(cx).and_then(|()| self.poll_hear(cx));
        match polled {
            Err(error) => Poll::Ready((End::Failed, Some(error))),
            Ok(()) if self.finished && self.heard_out => Poll::Ready((End::Finished, None)),
            Ok(()) => Poll::Pending,
        }
    }

    /// As much as the socket takes of what waits, and behind the last of it the end.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut feed = self.feed.borrow_mut();
        let channel = &self.called.channel;
        let start = self.moved.total();
        while !feed.queue.is_empty() {
            if self.moved.total() - start >= TURN {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            match feed.queue.poll_send(cx, channel) {
                Poll::Ready(moved) => self.moved += moved?,
                Poll::Pending => return Ok(()),
            }
        }
        if channel.poll_flush(cx)?.is_pending() {
            return Ok(());
        }
        if !self.finished && matches!(feed.stage, Stage::Ended | Stage::Over) {
            self.finished = channel.poll_finish(cx, false)?.is_ready();
        }
        Ok(())
    }

    /// Replies are dropped, or compared.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut feed = self.feed.borrow_mut();
        let mut buffer = self.worker.buffer();
        for _ in 0..TURN / BUFFER as u64 {
            if self.heard_out || feed.replies.as_ref().is_some_and(|replies| !replies.has_room()) {
                return Ok(());
            }
            let Poll::Ready(read) = self.called.channel.poll_recv(cx, &mut buffer) else {
                return Ok(());
            };
            let read = read?;
            self.heard |= read > 0;
            self.heard_out = read == 0;
            match &mut feed.replies {
                Some(replies) if read > 0 => replies.said(Who::Mirror, &buffer[..read]),
                Some(replies) => replies.ended(Who::Mirror),
                None => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl Feed {
    /// How it ends where nobody wants it any more. The lane wakes who has asked when there is something new.
    fn poll_dropped(&mut self, cx: &Context<'_>) -> Option<End> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        match self.stage {
            Stage::Lagged => Some(End::Lagged),
            Stage::CutOff => Some(End::CutOff),
            Stage::Open | Stage::Ended | Stage::Over | Stage::Gone => None,
        }
    }
}

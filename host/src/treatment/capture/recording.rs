//! One connection that is captured, or may be: what happens to it is told to each capture that has it.
//!
//! Which captures have it is known when it has a route and a server. Until then what happens is kept.

use std::cell::{Cell, RefCell};
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Began, Leg, Stream};
use super::taker::{Happened, Taker};
use super::{Capture, since_1970};
use crate::flow::Side;
use crate::outcome::{Cause, Outcome};

/// What is kept of a connection before it is known who wants it: more than detection and routers look at.
const EARLY: usize = 256 << 10;

#[derive(Debug)]
pub struct Recording {
    since: Duration,
    /// Where its client has connected to; `None` on a unix socket.
    local: Option<SocketAddr>,
    is_on: Cell<bool>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many bytes each stream had, in the order of [`Stream`].
    at: [u64; 4],
    ended: [bool; 4],
    was_reset: [bool; 2],
    resets_on_close: [bool; 2],
    has_upstream: bool,
    /// Who wants it, where that is known before it is known what it is.
    wanted: Vec<Arc<Capture>>,
    early: Option<Early>,
    takers: Vec<Taker>,
}

/// What has happened before there was somebody to tell.
#[derive(Debug, Default)]
struct Early {
    kept: Vec<(Duration, Stream, u64, Held)>,
    bytes: usize,
}

#[derive(Debug)]
enum Held {
    Bytes(Vec<u8>),
    Finished,
    Reset,
}

/// What is known of a connection by who has it.
#[derive(Debug, Clone)]
pub struct About {
    pub connection: u64,
    /// The client, and where it has connected to. `None` on a unix socket.
    pub client: [Option<SocketAddr>; 2],
    /// From where we have connected, and to where. `None` where there was no server.
    pub upstream: Option<[Option<SocketAddr>; 2]>,
    /// For people.
    pub text: String,
}

impl Recording {
    /// Of a connection that has just come: what happens is kept until it is known who wants it.
    pub fn early(local: Option<SocketAddr>) -> Rc<Self> {
        let recording = Self::new(local);
        recording.state.borrow_mut().early = Some(Early::default());
        recording.is_on.set(true);
        recording
    }

    /// Of one that has been there for a while.
    pub fn new(local: Option<SocketAddr>) -> Rc<Self> {
        Rc::new(Self {
            since: since_1970(),
            local,
            is_on: Cell::new(false),
            state: RefCell::default(),
        })
    }

    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether somebody wants to know what happens from now on.
    pub fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// These will have it, when it is known what it is.
    pub fn is_wanted_by(&self, captures: &[Arc<Capture>]) {
        let mut state = self.state.borrow_mut();
        state.wanted = captures.to_vec();
        if captures.is_empty() {
            state.early = None;
        }
        self.is_on.set(state.is_on());
    }

    /// It has ended before it was known whose it is: it is theirs.
    pub fn is_wanted_for_want_of_others(&self, captures: &[Arc<Capture>]) {
        let mut state = self.state.borrow_mut();
        if state.wanted.is_empty() {
            state.wanted = captures.to_vec();
        }
    }

    /// What it is known to be is told to those who want it, with all that has happened.
    pub fn begin(&self, about: &About) {
        let mut state = self.state.borrow_mut();
        let wanted = mem::take(&mut state.wanted);
        state.has_upstream = about.upstream.is_some();
        state.take(&wanted, about, self.since);
        state.tell_early();
        self.is_on.set(state.is_on());
    }

    /// From now on these have it: those that have it go on, and those that are not among them have it no more.
    pub fn follow(&self, captures: &[Arc<Capture>], about: &About) {
        let now = since_1970();
        let mut state = self.state.borrow_mut();
        state.has_upstream = about.upstream.is_some();
        let at = state.at;
        for taker in &mut state.takers {
            if !captures.iter().any(|capture| taker.is_of(capture)) {
                taker.end(now, at, "the capture has ended, and the connection goes on");
            }
        }
        state
            .takers
            .retain(|taker| captures.iter().any(|capture| taker.is_of(capture)));
        state.take(captures, about, now);
        self.is_on.set(state.is_on());
    }

    /// Bytes of that stream have gone through.
    pub fn bytes(&self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state.borrow_mut();
        let at = state.at[stream as usize];
        state.at[stream as usize] += bytes.len() as u64;
        if self.is_on.get() {
            state.happened(stream, at, &Happened::Bytes(bytes));
            self.is_on.set(state.is_on());
        }
    }

    pub(super) fn finished(&self, stream: Stream) {
        self.state.borrow_mut().ends(stream, &Happened::Finished);
    }

    pub(super) fn reset(&self, stream: Stream) {
        self.state.borrow_mut().ends(stream, &Happened::Reset);
    }

    /// The last bytes of a stream were none of what its peer means.
    pub(super) fn take_back(&self, stream: Stream, bytes: usize) {
        let mut state = self.state.borrow_mut();
        state.at[stream as usize] = state.at[stream as usize].saturating_sub(bytes as u64);
        if let Some(early) = &mut state.early {
            early.take_back(stream, bytes);
        }
    }

    pub(super) fn resets_on_close(&self, side: Side) {
        self.state.borrow_mut().resets_on_close[side as usize] = true;
    }

    /// The connection is over. `about` is asked for where it never had a server.
    pub fn end(&self, outcome: Outcome, text: &str, about: impl FnOnce() -> About) {
        if self.state.borrow().early.is_some() {
            self.begin(&about());
        }
        let mut state = self.state.borrow_mut();
        self.is_on.set(false);
        if state.takers.is_empty() {
            return;
        }
        if let (Cause::Reset, Some(side)) = (outcome.cause, outcome.side) {
            state.ends(Stream::received_from(side), &Happened::Reset);
        }
        let upstream = state.has_upstream.then_some(Side::Upstream);
        for side in [Some(Side::Client), upstream].into_iter().flatten() {
            let last = match state.resets_on_close[side as usize] {
                true => Happened::Reset,
                false => Happened::Finished,
            };
            state.ends(Stream::sent_to(side), &last);
        }
        let (now, at) = (since_1970(), state.at);
        for mut taker in mem::take(&mut state.takers) {
            taker.over(now, at, text, !outcome.is_finished());
        }
    }
}

impl State {
    fn is_on(&self) -> bool {
        self.early.is_some() || self.takers.iter().any(Taker::is_on)
    }

    /// Begins those that do not have it yet.
    fn take(&mut self, captures: &[Arc<Capture>], about: &About, since: Duration) {
        let now = since_1970();
        for capture in captures {
            let is_new = !self.takers.iter().any(|taker| taker.is_of(capture));
            if is_new && capture.wants(about.connection) {
                let leg = |time, addresses| Leg { time, addresses };
                let began = Began {
                    connection: about.connection,
                    legs: capture.config().legs,
                    client: leg(since, about.client),
                    upstream: about.upstream.map(|addresses| leg(now, addresses)),
                    at: self.early.as_ref().map_or(self.at, |_| [0; 4]),
                    about: about.text.as_str().into(),
                };
                self.takers.push(Taker::begin(capture, began));
            }
        }
    }

    fn tell_early(&mut self) {
        for (time, stream, at, held) in self.early.take().into_iter().flat_map(|early| early.kept) {
            let happened = match &held {
                Held::Bytes(bytes) if bytes.is_empty() => continue,
                Held::Bytes(bytes) => Happened::Bytes(bytes),
                Held::Finished => Happened::Finished,
                Held::Reset => Happened::Reset,
            };
            for taker in &mut self.takers {
                taker.tell(time, stream, at, &happened);
            }
        }
    }

    fn happened(&mut self, stream: Stream, at: u64, what: &Happened<'_>) {
        let now = since_1970();
        if let Some(early) = &mut self.early {
            early.keep(now, stream, at, what);
        }
        for taker in &mut self.takers {
            taker.tell(now, stream, at, what);
        }
    }

    /// Each stream ends once. A socket is reset once, too, and then neither of its streams goes on.
    fn ends(&mut self, stream: Stream, what: &Happened<'_>) {
        let side = stream.side();
        let is_known = match what {
            Happened::Reset => mem::replace(&mut self.was_reset[side as usize], true),
            Happened::Bytes(_) | Happened::Finished => self.ended[stream as usize] || self.was_reset[side as usize],
        };
        if is_known {
            return;
        }
        self.ended[stream as usize] = true;
        let at = self.at[stream as usize];
        self.happened(stream, at, what);
    }
}

impl Early {
    /// What there is no room for is missing, and the captures say so.
    fn keep(&mut self, now: Duration, stream: Stream, at: u64, what: &Happened<'_>) {
        let held = match what {
            Happened::Bytes(bytes) if self.bytes + bytes.len() > EARLY => return,
            Happened::Bytes(bytes) => Held::Bytes(bytes.to_vec()),
            Happened::Finished => Held::Finished,
            Happened::Reset => Held::Reset,
        };
        self.bytes += held.len();
        self.kept.push((now, stream, at, held));
    }

    fn take_back(&mut self, of: Stream, mut bytes: usize) {
        let kept = self.kept.iter_mut().rev().filter(|(_, stream, _, _)| *stream == of);
        for (_, _, _, held) in kept {
            if let Held::Bytes(held) = held {
                let left = held.len().saturating_sub(bytes);
                bytes -= held.len() - left;
                held.truncate(left);
            }
        }
    }
}

impl Held {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Finished | Self::Reset => 0,
        }
    }
}

#[cfg(test)]
mod tests;

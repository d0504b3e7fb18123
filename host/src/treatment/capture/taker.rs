//! A capture that has a connection: what it is told of it, and when it has had enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Capture;
use super::blackbox::BlackBox;
use super::event::{Began, Event, Stream, What};
use super::recorder::Fate;
use crate::config::{CaptureOnly, period};

#[derive(Debug)]
pub(super) struct Taker {
    capture: Arc<Capture>,
    flow: u64,
    since: Duration,
    /// Bytes that may still be kept.
    left: u64,
    /// Events that there was no room for.
    lost: u64,
    to: To,
}

#[derive(Debug)]
enum To {
    Recorder,
    Memory(Box<BlackBox>),
    /// It has had what it wanted, or cannot have it.
    Nobody,
}

/// What happens to one of a connection's streams.
#[derive(Debug)]
pub(super) enum Happened<'a> {
    Bytes(&'a [u8]),
    Finished,
    Reset,
}

impl Taker {
    pub(super) fn begin(capture: &Arc<Capture>, began: Began) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let flow = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let since = began.client.time;
        let bytes = capture.config().bytes;
        let mut taker = Self {
            capture: Arc::clone(capture),
            flow,
            since,
            left: bytes.unwrap_or(u64::MAX),
            lost: 0,
            to: To::Recorder,
        };
        match capture.config().only {
            Some(CaptureOnly::Abnormal) => {
                // How many bytes are kept is the box's business.
                taker.left = u64::MAX;
                taker.to = To::Memory(Box::new(BlackBox::new(began, bytes.unwrap_or_default())));
            }
            None => {
                if taker.send(since, What::Began(Box::new(began))) != Fate::Taken {
                    taker.to = To::Nobody;
                }
            }
        }
        taker
    }

    pub(super) fn is_of(&self, capture: &Arc<Capture>) -> bool {
        Arc::ptr_eq(&self.capture, capture)
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(self.to, To::Nobody)
    }

    pub(super) fn tell(&mut self, now: Duration, stream: Stream, at: u64, what: &Happened<'_>) {
        let config = self.capture.config();
        if !self.is_on() || !stream.is_of(config.legs) {
            return;
        }
        if let Some(longest) = config.longest.filter(|longest| now >= self.since + *longest) {
            let why = format!("captured for {}, which is as long as it may be", period(longest));
            return self.end(now, at_of(stream, at), &why);
        }
        let what = match what {
            Happened::Finished => What::Finished(stream),
            Happened::Reset => What::Reset(stream),
            Happened::Bytes(bytes) => {
                let room = usize::try_from(self.left).unwrap_or(usize::MAX);
                let kept = &bytes[..bytes.len().min(config.snap).min(room)];
                self.left -= kept.len() as u64;
                What::Bytes {
                    stream,
                    at,
                    length: bytes.len(),
                    kept: kept.into(),
                }
            }
        };
        let event = Event {
            flow: self.flow,
            time: now,
            what,
        };
        match &mut self.to {
            To::Memory(memory) => memory.add(event),
            To::Nobody => {}
            To::Recorder => match self.capture.recorder().tell(event) {
                Fate::Taken => {}
                Fate::Dropped => self.lost += 1,
                Fate::Refused => self.to = To::Nobody,
            },
        }
        if self.left == 0 {
            self.end(now, [0; 4], "as many bytes are kept as may be of one connection");
        }
    }

    /// It has had enough, and the connection goes on.
    pub(super) fn end(&mut self, now: Duration, at: [u64; 4], why: &str) {
        let was_told = matches!(self.to, To::Recorder);
        self.to = To::Nobody;
        if was_told {
            self.say_over(now, at, why);
        }
    }

    /// The connection has ended.
    pub(super) fn over(&mut self, now: Duration, at: [u64; 4], how: &str, is_abnormal: bool) {
        match std::mem::replace(&mut self.to, To::Nobody) {
            To::Recorder => self.say_over(now, at, how),
            To::Memory(memory) if is_abnormal => {
                for event in memory.open(self.flow, now) {
                    match self.capture.recorder().tell(event) {
                        Fate::Taken => {}
                        Fate::Dropped => self.lost += 1,
                        Fate::Refused => return,
                    }
                }
                self.say_over(now, at, how);
            }
            To::Memory(_) | To::Nobody => {}
        }
    }

    fn say_over(&self, now: Duration, at: [u64; 4], how: &str) {
        let how = match self.lost {
            0 => how.into(),
            lost => format!("{how}; {lost} records are missing: they came faster than they could be written").into(),
        };
        self.send(now, What::Over { how, at });
    }

    fn send(&self, time: Duration, what: What) -> Fate {
        let flow = self.flow;
        self.capture.recorder().tell(Event { flow, time, what })
    }
}

/// Where it stands on that stream alone: of the others, nothing is missing.
fn at_of(stream: Stream, at: u64) -> [u64; 4] {
    let mut all = [0; 4];
    all[stream as usize] = at;
    all
}

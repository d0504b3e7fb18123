//! The line of one direction of a live connection, and the time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use super::{Hit, Line, Step};
use crate::flow::Direction;

pub struct Faulted {
    line: Line,
    /// Of the runtime's own, to a millisecond: the worker's timers are coarser than what faults mean.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Faulted {
    /// What these faults do to bytes from now on; `None` where that is nothing, and nothing is held from before.
    pub fn follow(before: Option<Box<Self>>, hits: &[Hit], direction: Direction) -> Option<Box<Self>> {
        let now = Instant::now();
        let Some(mut faulted) = before else {
            let line = Line::new(hits.iter(), direction, now)?;
            return Some(Box::new(Self { line, sleep: None }));
        };
        faulted.line.replace(hits.iter(), now);
        (!faulted.is_over()).then_some(faulted)
    }

    /// No fault is left, and none holds anything any more.
    pub fn is_over(&self) -> bool {
        !self.line.has_faults() && self.line.is_empty()
    }

    /// Whether nothing more is to be read for now.
    pub fn is_full(&self) -> bool {
        self.line.is_full()
    }

    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.line.bytes()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.line.feed(Instant::now(), bytes);
    }

    /// The source has said its end.
    pub fn finish(&mut self) {
        self.line.finish(Instant::now());
    }

    /// What is to be done now, with the bytes that are put into `out`. Pending where that is nothing: somebody is woken when it is
    /// something.
    pub fn poll_step(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Step> {
        loop {
            let until = match self.line.step(Instant::now(), out) {
                Step::Wait(None) => return Poll::Pending,
                Step::Wait(Some(until)) => until.into(),
                step => return Poll::Ready(step),
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// All that is held, at once.
    pub fn release(mut self) -> Vec<u8> {
        let now = Instant::now();
        self.line.replace(std::iter::empty(), now);
        let (mut all, mut out) = (Vec::new(), Vec::new());
        while self.line.step(now, &mut out) == Step::Send {
            all.append(&mut out);
        }
        all
    }
}

impl fmt::Debug for Faulted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.fmt(f)
    }
}

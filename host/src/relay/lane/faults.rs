//! Bytes that faults have something to do with: what was read goes through them before it is owed to the sink.

use std::task::{Context, Poll};

use super::super::backlog::Backlog;
use super::{Copying, Lane, Path, Phase};
use crate::treatment::faults::{Faulted, Step};

/// What faults let the lane do.
pub(super) enum Let {
    /// Go on.
    Pass,
    /// Send what is owed, and ask again.
    Send,
    /// Nothing for now.
    Wait,
    /// End the connection.
    Cut { reset: bool },
}

/// How often a lane sends what faults let go before the other lanes of the worker get their turn: a slicer cuts finely.
pub(super) const SENDS: u32 = 64;

impl Lane {
    fn faulted(&mut self) -> Option<&mut Faulted> {
        self.course.as_mut()?.faulted.as_deref_mut()
    }

    #[inline]
    pub(super) fn has_faults(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.faulted.is_some())
    }

    /// Its course is another one: what faults do something to is copied, and nothing else because of them.
    pub(super) fn go_by_faults(&mut self) {
        let has_faults = self.has_faults();
        match (&mut self.path, has_faults) {
            (Path::Copy(Copying::Refused), _) => {}
            // What is in the pipe goes out first.
            (Path::Splice { pipe: Some(pipe), .. }, true) if pipe.owed() > 0 => {}
            (path, true) => *path = Path::Copy(Copying::Faults),
            (path @ Path::Copy(Copying::Faults), false) => *path = Path::Copy(Copying::Small),
            (Path::Copy(_) | Path::Splice { .. }, false) => {}
        }
    }

    /// These bytes are to be written, behind what is owed already. Mirrors are sent what faults have not touched.
    pub(super) fn owe(&mut self, bytes: &[u8]) {
        self.mirror(bytes);
        match self.faulted() {
            Some(faulted) => faulted.feed(bytes),
            None => self.backlog.push(bytes),
        }
    }

    pub(super) fn held_by_faults(&self) -> u64 {
        let faulted = self.course.as_ref().and_then(|course| course.faulted.as_ref());
        faulted.map_or(0, |faulted| faulted.len() as u64)
    }

    pub(super) fn is_full_of_faults(&self) -> bool {
        let faulted = self.course.as_ref().and_then(|course| course.faulted.as_ref());
        faulted.is_some_and(|faulted| faulted.is_full())
    }

    /// Nothing is owed when this is called.
    pub(super) fn poll_faults(&mut self, cx: &mut Context<'_>) -> Let {
        let has_ended = match self.phase {
            Phase::Open => false,
            Phase::Ended => true,
            Phase::Finishing | Phase::Closed | Phase::Broken(_) => return Let::Pass,
        };
        // What was in the pipe when faults came is gone.
        self.go_by_faults();
        let Some(faulted) = self.faulted() else {
            return Let::Pass;
        };
        if has_ended {
            faulted.finish();
        }
        let mut out = Vec::new();
        match faulted.poll_step(cx, &mut out) {
            Poll::Ready(Step::Send) => {
                self.backlog = Backlog::of(out);
                Let::Send
            }
            Poll::Ready(Step::Finish) => Let::Pass,
            Poll::Ready(Step::Cut { reset }) => Let::Cut { reset },
            Poll::Ready(Step::Wait(_)) | Poll::Pending => {
                if faulted.is_over() {
                    self.forget_faults();
                    return Let::Pass;
                }
                match has_ended || faulted.is_full() {
                    true => Let::Wait,
                    false => Let::Pass,
                }
            }
        }
    }

    /// None is left. What they hold, if anything, is lost.
    pub(in super::super) fn forget_faults(&mut self) {
        if let Some(course) = &mut self.course {
            course.faulted = None;
        }
        self.course = self.course.take().filter(|course| !course.is_nothing());
        self.go_by_faults();
    }

    /// What they hold is owed from now on.
    pub(super) fn release_faults(&mut self) {
        let Some(faulted) = self.course.as_mut().and_then(|course| course.faulted.take()) else {
            return;
        };
        self.backlog.push(&faulted.release());
        self.forget_faults();
    }
}

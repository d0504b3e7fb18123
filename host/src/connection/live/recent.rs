//! Connections that have ended: the last ones, and among them always some that failed.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::observe::Moved;
use crate::outcome::Outcome;
use crate::sys::Peer;

/// As many as are read at a glance.
const MOST: usize = 50;

/// A connection that has ended.
#[derive(Debug, Clone)]
pub struct Past {
    pub id: u64,
    pub at: SystemTime,
    pub listener: Arc<str>,
    /// `None` on a unix socket.
    pub client: Option<SocketAddr>,
    pub upstream: Option<Arc<str>>,
    pub server: Option<Arc<Peer>>,
    pub duration: Duration,
    pub outcome: Outcome,
    pub up: Moved,
    pub down: Moved,
}

/// The last ones of a worker: as many of both kinds, so that a thousand that went well do not hide one that did not.
#[derive(Debug, Default)]
pub(super) struct Recent {
    finished: VecDeque<Past>,
    failed: VecDeque<Past>,
}

impl Recent {
    pub(super) fn add(&mut self, past: Past) {
        let kind = match past.outcome.is_finished() {
            true => &mut self.finished,
            false => &mut self.failed,
        };
        if kind.len() == MOST {
            kind.pop_front();
        }
        kind.push_back(past);
    }

    pub(super) fn all(&self) -> Vec<Past> {
        self.finished.iter().chain(&self.failed).cloned().collect()
    }
}

/// The newest of these, the newest first. Half of the room is for those that failed, where there are so many, and half for the
/// others.
pub(super) fn newest(mut all: Vec<Past>) -> Vec<Past> {
    all.sort_unstable_by_key(|past| (Reverse(past.at), Reverse(past.id)));
    let (mut finished, mut failed): (Vec<_>, Vec<_>) = all.into_iter().partition(|past| past.outcome.is_finished());
    let half = MOST / 2;
    failed.truncate(half.max(MOST.saturating_sub(finished.len())));
    finished.truncate(MOST - failed.len());
    finished.append(&mut failed);
    finished.sort_unstable_by_key(|past| (Reverse(past.at), Reverse(past.id)));
    finished
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cause, Stage};

    fn past(id: u64, cause: Cause) -> Past {
        Past {
            id,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(id),
            listener: "front".into(),
            client: None,
            upstream: None,
            server: None,
            duration: Duration::ZERO,
            outcome: Outcome::new(Stage::Relay, cause, None),
            up: Moved::default(),
            down: Moved::default(),
        }
    }

    fn shown(finished: u64, failed: u64) -> (usize, usize) {
        let mut recent = Recent::default();
        (0..failed).for_each(|id| recent.add(past(id, Cause::Reset)));
        (failed..failed + finished).for_each(|id| recent.add(past(id, Cause::Finished)));
        let newest = newest(recent.all());
        assert!(newest.is_sorted_by_key(|past| Reverse(past.id)));
        let finished = newest.iter().filter(|past| past.outcome.is_finished()).count();
        (finished, newest.len() - finished)
    }

    #[test]
    fn those_that_went_well_do_not_hide_those_that_did_not() {
        for (finished, failed, expected) in [
            (0, 0, (0, 0)),
            (3, 2, (3, 2)),
            (10_000, 1, (49, 1)),
            (10_000, 10_000, (25, 25)),
            (10, 10_000, (10, 40)),
            (0, 10_000, (0, 50)),
        ] {
            assert_eq!(shown(finished, failed), expected, "{finished}, {failed}");
        }
    }
}

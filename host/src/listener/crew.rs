//! The workers of a process, as each of them sees the others.
//!
//! The kernel spreads connections over the workers by a hash (SO_REUSEPORT, socket(7)): fair in the long run, uneven for the
//! few dozen long connections that many services live with, and blind to those that have ended. So the worker that accepted
//! a connection hands it over where another one has clearly fewer.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Listener;
use crate::sys::Coarse;

/// How many connections more than another's a worker keeps. Closer than that, what is gained is less than the wake-up of the
/// other one costs.
const SLACK: usize = 8;

/// And which part of its own it may have more: of a thousand connections, two workers have 516 and 484 at the worst.
const SLACK_PART: usize = 16;

/// Stands for the number of connections of a worker that takes no more: it has more than any other.
const GONE: usize = usize::MAX;

/// How long it is not said again that no connection can be accepted. Each one that ends lets another one in, so that a shortage
/// begins anew with every connection, on every worker; it is the same one, which whoever looks at the log later should see.
const SAID: Duration = Duration::from_secs(60);

/// Clones are cheap: each is the crew as one of its workers sees it.
#[derive(Clone)]
pub struct Crew {
    members: Arc<[Member]>,
    /// Which of them we are.
    own: usize,
    /// How many connections all of them together can have.
    most: usize,
    /// When it was said last that there can be no more.
    complained: Arc<Mutex<Option<Coarse>>>,
}

/// On cache lines of its own: each is written for every connection, mostly by its own thread.
#[repr(align(128))]
struct Member {
    connections: AtomicUsize,
    idle: Notify,
    inbox: UnboundedSender<Handed>,
}

/// A connection on its way from the worker that accepted it to the one that serves it.
pub struct Handed {
    pub listener: Arc<Listener>,
    pub socket: OwnedFd,
    pub client: Option<SocketAddr>,
    pub counted: Counted,
}

/// One connection of a worker's, for as long as this lives.
pub struct Counted {
    members: Arc<[Member]>,
    whose: usize,
}

impl Crew {
    /// The crew as each of its `size` workers sees it, and what the others will hand to that one. All of them together can
    /// have `most` connections.
    pub fn gather(size: usize, most: usize) -> Vec<(Self, UnboundedReceiver<Handed>)> {
        let (inboxes, handed): (Vec<_>, Vec<_>) = (0..size).map(|_| unbounded_channel()).unzip();
        let member = |inbox| Member {
            connections: AtomicUsize::new(0),
            idle: Notify::new(),
            inbox,
        };
        let members: Arc<[_]> = inboxes.into_iter().map(member).collect();
        let complained = Arc::default();
        let seen_by = |own| Self {
            members: Arc::clone(&members),
            own,
            most,
            complained: Arc::clone(&complained),
        };
        (0..size).map(seen_by).zip(handed).collect()
    }

    /// Whether there is no room for another connection.
    pub fn is_full(&self) -> bool {
        self.connections() >= self.most
    }

    /// Those of all workers together.
    pub fn connections(&self) -> usize {
        self.loads().filter(|load| *load != GONE).sum()
    }

    /// Whether it is to be said that no connection can be accepted: not by every worker, and not again and again.
    pub fn may_complain(&self) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Coarse::now();
        let may = complained.is_none_or(|last| now.since(last) >= SAID);
        if may {
            *complained = Some(now);
        }
        may
    }

    fn loads(&self) -> impl Iterator<Item = usize> + Clone {
        self.members
            .iter()
            .map(|member| member.connections.load(Ordering::Relaxed))
    }

    /// Hands a connection to the worker with the fewest where that is clearly fairer, or gives it back, counted as ours.
    pub fn share(&self, listener: &Arc<Listener>, socket: OwnedFd, client: Option<SocketAddr>) -> Option<Handed> {
        let chosen = lighter(self.loads(), self.own).and_then(|other| self.count(other));
        let whose = chosen.as_ref().map_or(self.own, |counted| counted.whose);
        let handed = Handed {
            listener: Arc::clone(listener),
            socket,
            client,
            counted: chosen.or_else(|| self.count(self.own))?,
        };
        if whose == self.own {
            return Some(handed);
        }
        // Its thread is gone, though it was not told to: then nobody is left whom the connection could go to.
        let _ = self.members[whose].inbox.send(handed);
        None
    }

    /// `None` where that worker takes no more.
    fn count(&self, whose: usize) -> Option<Counted> {
        // There is no number above GONE.
        let one_more = |connections: usize| connections.checked_add(1);
        let connections = &self.members[whose].connections;
        connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Counted {
            members: Arc::clone(&self.members),
            whose,
        })
    }

    /// Waits until this worker has no connection, and takes none from then on.
    pub async fn leave(&self) {
        let own = &self.members[self.own];
        let gone = || {
            own.connections
                .compare_exchange(0, GONE, Ordering::Relaxed, Ordering::Relaxed)
        };
        while gone().is_err() {
            own.idle.notified().await;
        }
    }
}

/// The one to hand a connection to: where the fewest are, if `own` would have clearly more.
fn lighter(loads: impl Iterator<Item = usize> + Clone, own: usize) -> Option<usize> {
    let mine = loads.clone().nth(own)?;
    let (other, fewest) = loads.enumerate().min_by_key(|(_, load)| *load)?;
    (mine > fewest + SLACK.max(fewest / SLACK_PART)).then_some(other)
}

impl Drop for Counted {
    fn drop(&mut self) {
        let member = &self.members[self.whose];
        if member.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            member.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_handed_over_only_where_that_is_clearly_fairer() {
        let lighter = |loads: &[usize], own| lighter(loads.iter().copied(), own);
        assert_eq!(lighter(&[0], 0), None);
        assert_eq!(lighter(&[SLACK, 0], 0), None);
        assert_eq!(lighter(&[SLACK + 1, 0], 0), Some(1));
        assert_eq!(lighter(&[SLACK + 1, 0], 1), None);
        assert_eq!(lighter(&[90, 40, 50], 0), Some(1));
        assert_eq!(lighter(&[1000, 960], 0), None);
        assert_eq!(lighter(&[1021, 960], 0), Some(1));
        assert_eq!(lighter(&[1021, GONE], 0), None);
    }

    #[tokio::test]
    async fn a_worker_leaves_when_its_last_connection_has_ended_and_takes_no_more() {
        let crew: Vec<_> = Crew::gather(2, 1000).into_iter().map(|(crew, _)| crew).collect();
        let last = crew[0].count(1).unwrap();
        let ending = async {
            tokio::task::yield_now().await;
            drop(last);
        };
        tokio::join!(crew[1].leave(), ending);
        assert!(crew[0].count(1).is_none());
        assert!(crew[0].count(0).is_some());
    }
}

//! Connections that wait for a place, because every server has as many as it may have, or because none was asked yet
//! whether it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

use super::server::Place;
use super::{Upstream, Wish};
use crate::config;
use crate::worker::{Elapsed, Worker};

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: AtomicU32,
    /// First come, first served.
    freed: Notify,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// No server is up that was not tried.
    NoServer,
    /// As many wait as may.
    QueueFull,
    /// It did not come in time.
    Late,
}

impl Queue {
    pub(super) fn one_is_free(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// There are other servers than before.
    pub(super) fn all_is_new(&self) {
        self.freed.notify_waiters();
    }

    /// How many wait.
    pub(super) fn length(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// `None` where as many wait as may.
    fn join(&self, most: u32) -> Option<Waiting<'_>> {
        let more = |count: u32| (count < most).then_some(count + 1);
        let joined = self.waiting.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more);
        joined.is_ok().then_some(Waiting(self))
    }
}

struct Waiting<'a>(&'a Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A place at a server that was not `tried`. A first try waits its turn, behind those that came before; later ones do not
/// wait, since there is an error that can be told.
pub(super) async fn place(
    worker: &Worker,
    upstream: &Arc<Upstream>,
    wish: &Wish,
    tried: &[u64],
) -> Result<Place, NoPlace> {
    let queue = &upstream.queue;
    if !tried.is_empty() || queue.waiting.load(Ordering::SeqCst) == 0 {
        if let Some(place) = upstream.take_place(wish, tried) {
            return Ok(place);
        }
        if !tried.is_empty() || !upstream.may_have_a_place_later() {
            return Err(NoPlace::NoServer);
        }
    }
    let config::Queue { length, timeout } = upstream.terms().config.queue;
    let _waiting = queue.join(length).ok_or(NoPlace::QueueFull)?;
    let turn = async {
        loop {
            let mut freed = std::pin::pin!(queue.freed.notified());
            // Before looking, or what is freed between looking and waiting would wake nobody.
            freed.as_mut().enable();
            if let Some(place) = upstream.take_place(wish, tried) {
                return Ok(place);
            }
            if !upstream.may_have_a_place_later() {
                return Err(NoPlace::NoServer);
            }
            freed.await;
        }
    };
    let turn = worker.timers().within(Some(timeout), turn).await;
    turn.unwrap_or_else(|Elapsed| Err(NoPlace::Late))
}

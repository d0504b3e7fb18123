//! Those who watch: they are shown the same snapshot, one a second, which is taken while somebody watches.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{Carrier, Staying};

/// Each of them has a connection that makes no room for others, of the 64 that there are.
pub const MOST: usize = 16;

/// How often there is something new to see.
const EVERY: Duration = Duration::from_secs(1);

/// Where watchers come. Clones are the same.
#[derive(Clone)]
pub struct Watching(Arc<Shared>);

struct Shared {
    places: Arc<Semaphore>,
    /// What was seen last, as an event; `None` while nobody watches.
    seen: watch::Sender<Option<Bytes>>,
    is_looking: AtomicBool,
}

/// One of them. Whatever it does not take in time it has missed: nothing is kept for it.
pub struct Watcher {
    seen: watch::Receiver<Option<Bytes>>,
    staying: Staying,
    _place: OwnedSemaphorePermit,
}

/// What a watcher is answered: an event after the other, until nothing more is answered.
pub struct Events(Option<Pin<Box<Next>>>);

/// The next event, and the watcher again.
type Next = dyn Future<Output = Option<(Bytes, Watcher)>> + Send;

impl Default for Watching {
    fn default() -> Self {
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(MOST)),
            seen: watch::Sender::new(None),
            is_looking: AtomicBool::new(false),
        }))
    }
}

impl Watching {
    /// From now on, `look` is what is seen, once a second, as JSON; on this thread. `None` where there are too many already.
    pub fn watch<F>(&self, carrier: Carrier, look: impl Fn() -> F + 'static) -> Option<Watcher>
    where
        F: Future<Output = String> + 'static,
    {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let mut seen = self.0.seen.subscribe();
        // It is a second old at the most, and better than a second of nothing.
        seen.mark_changed();
        if !self.0.is_looking.swap(true, Ordering::Relaxed) {
            spawn_local(look_on(Arc::clone(&self.0), look));
        }
        Some(Watcher {
            seen,
            staying: carrier.stay(),
            _place: place,
        })
    }
}

/// Until nobody watches.
async fn look_on<F: Future<Output = String>>(shared: Arc<Shared>, look: impl Fn() -> F) {
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // Watchers come on this thread, too: none comes between this and that.
        if shared.seen.receiver_count() == 0 {
            shared.seen.send_replace(None);
            shared.is_looking.store(false, Ordering::Relaxed);
            return;
        }
        let event = format!("data: {}\n\n", look().await);
        shared.seen.send_replace(Some(event.into()));
    }
}

impl Watcher {
    pub fn events(self) -> Events {
        Events(Some(Box::pin(self.next())))
    }

    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            tokio::select! {
                changed = self.seen.changed() => changed.ok()?,
                () = self.staying.stopped() => return None,
            }
            let event = self.seen.borrow_and_update().clone();
            if let Some(event) = event {
                return Some((event, self));
            }
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let seen = ready!(next.as_mut().poll(cx));
        Poll::Ready(match seen {
            Some((event, watcher)) => {
                *self = watcher.events();
                Some(Ok(Frame::data(event)))
            }
            None => {
                self.0 = None;
                None
            }
        })
    }
}

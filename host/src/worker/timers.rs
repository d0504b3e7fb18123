//! The deadlines of a worker's connections.
//!
//! One timer of the runtime serves all of them, and it is set again only when it has gone off or when something earlier than
//! all before comes: setting the runtime's own timer earlier wakes its driver through an eventfd, one write and one wake-up
//! for every connection that waits for a server to answer.
//!
//! Deadlines that move later, as an idle timeout does with every byte, cost nothing: the entry stays where it is, goes off
//! too early, and is set again by whoever it woke.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::sys::Coarse;

/// The longest tick of the kernel's (CONFIG_HZ=100), which is how old a moment of the coarse clock may be. A deadline that was
/// counted from such a moment is this much later, so that none goes off too early; and what is due within the same tick is
/// worth one wake-up.
const TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Timers {
    entries: RefCell<BTreeMap<Key, Waker>>,
    last: Cell<u64>,
    /// When `run` looks again; `None` while it waits for a first entry.
    looks_at: Cell<Option<Coarse>>,
    earlier: Notify,
}

/// In the order of their deadlines; the number tells those of the same moment apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    due: Coarse,
    number: u64,
}

/// The one deadline that a task waits for at a time. Costs nothing until it is polled.
pub struct Timer<'a> {
    timers: &'a Timers,
    key: Option<Key>,
}

/// The time was over first.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Timers {
    /// Wakes those whose time has come, for as long as it is polled: a task of the worker's.
    pub async fn run(&self) {
        loop {
            let next = self.wake_due(Coarse::now());
            self.looks_at.set(next);
            match next {
                None => self.earlier.notified().await,
                Some(due) => {
                    let left = due.since(Coarse::now()).max(TICK);
                    // Over, or something earlier came: either way there is something to look at.
                    let _ = timeout(left, self.earlier.notified()).await;
                }
            }
        }
    }

    pub fn timer(&self) -> Timer<'_> {
        Timer {
            timers: self,
            key: None,
        }
    }

    /// Waits for `work`, but no longer than `limit` where there is one.
    ///
    /// # Errors
    /// The limit was over first; `work` is dropped.
    pub async fn within<T>(&self, limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let Some(limit) = limit else {
            return Ok(work.await);
        };
        self.before(Coarse::now() + limit, work).await
    }

    /// Waits for `work`, but no longer than until `deadline`.
    ///
    /// # Errors
    /// The deadline was there first; `work` is dropped.
    pub async fn before<T>(&self, deadline: Coarse, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        let mut timer = self.timer();
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => timer.poll(cx, Coarse::now(), deadline).map(Err),
        })
        .await
    }

    /// Wakes everybody who waits for a deadline, so that they look at it again.
    pub fn wake_all(&self) {
        let all: Vec<_> = self.entries.borrow().values().cloned().collect();
        all.into_iter().for_each(Waker::wake);
    }

    /// Removes and wakes what is due, and says what comes next.
    fn wake_due(&self, now: Coarse) -> Option<Coarse> {
        loop {
            let mut entries = self.entries.borrow_mut();
            let first = entries.first_entry()?;
            if now < first.key().due {
                return Some(first.key().due);
            }
            let waker = first.remove();
            // Given back first: a waker runs code that is not ours.
            drop(entries);
            waker.wake();
        }
    }

    fn insert(&self, due: Coarse, waker: Waker) -> Key {
        let number = self.last.get() + 1;
        self.last.set(number);
        let key = Key { due, number };
        self.entries.borrow_mut().insert(key, waker);
        if self.looks_at.get().is_none_or(|at| due < at) {
            self.looks_at.set(Some(due));
            self.earlier.notify_one();
        }
        key
    }
}

impl Timer<'_> {
    /// Ready once `deadline` is over; it may be another one at every call. Until then the task of `cx` is woken, perhaps too
    /// early, and has to poll again.
    pub fn poll(&mut self, cx: &Context<'_>, now: Coarse, deadline: Coarse) -> Poll<Elapsed> {
        let due = deadline + TICK;
        if due <= now {
            return Poll::Ready(Elapsed);
        }
        let wakes_in_time = |key: Key| now < key.due && key.due <= due;
        if !self.key.is_some_and(wakes_in_time) {
            self.cancel();
            self.key = Some(self.timers.insert(due, cx.waker().clone()));
        }
        Poll::Pending
    }

    fn cancel(&mut self) {
        if let Some(key) = self.key.take() {
            self.timers.entries.borrow_mut().remove(&key);
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn entries_go_off_in_their_order_and_once() {
        let timers = Timers::default();
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let now = Coarse::now();
        let mut waiting: Vec<_> = counts.iter().map(|_| timers.timer()).collect();
        for (index, (timer, count)) in waiting.iter_mut().zip(&counts).enumerate() {
            let waker = Waker::from(Arc::clone(count));
            let deadline = now + MINUTE * (2 - index as u32);
            assert!(timer.poll(&Context::from_waker(&waker), now, deadline).is_pending());
        }
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(timers.wake_due(now + MINUTE), Some(now + MINUTE + TICK));
        assert_eq!(woken(), [0, 0]);
        assert_eq!(timers.wake_due(now + MINUTE + TICK), Some(now + MINUTE * 2 + TICK));
        assert_eq!(woken(), [0, 1]);
        assert_eq!(timers.wake_due(now + MINUTE * 3), None);
        assert_eq!(woken(), [1, 1]);
    }

    #[test]
    fn a_deadline_that_moves_later_keeps_its_entry_and_an_earlier_one_moves_it() {
        let timers = Timers::default();
        let mut timer = timers.timer();
        let cx = Context::from_waker(Waker::noop());
        let now = Coarse::now();
        assert!(timer.poll(&cx, now, now + MINUTE * 2).is_pending());
        assert!(timer.poll(&cx, now, now + MINUTE * 3).is_pending());
        assert_eq!(timers.wake_due(now), Some(now + MINUTE * 2 + TICK));
        assert!(timer.poll(&cx, now, now + MINUTE).is_pending());
        assert_eq!(timers.wake_due(now), Some(now + MINUTE + TICK));
        assert_eq!(timers.entries.borrow().len(), 1);
        drop(timer);
        assert_eq!(timers.wake_due(now), None);
    }

    #[tokio::test]
    async fn work_is_dropped_when_its_time_is_over() {
        let timers = Timers::default();
        let limit = Some(Duration::from_millis(20));
        tokio::select! {
            never = timers.within(limit, std::future::pending::<()>()) => assert_eq!(never, Err(Elapsed)),
            () = timers.run() => {}
        }
        assert!(timers.entries.borrow().is_empty());
        assert_eq!(timers.within(None, async { 1 }).await, Ok(1));
    }
}

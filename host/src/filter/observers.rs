//! Tells observers what has ended: in batches, on a thread of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use anyhow::Context;

use super::abi::types::Endpoint;
use super::facts::Attribute;
use super::failure::{Failure, Kind};
use super::generation::Generation;
use super::instance::{ClosedRecord, Instance, MovedRecord};
use super::slot::Filter;
use crate::observe::{Moved, log};
use crate::outcome::Outcome;

/// Records that wait to be told. At 30 000 connections a second this is two seconds' worth, and 16 MiB at the most.
const QUEUE: usize = 65_536;
const _: () = assert!(size_of::<Item>() * QUEUE <= 16 << 20);

/// What their annotations may add to that, in bytes: a connection's are 36 KiB at the most, and no worker's share is less.
const ANNOTATED: usize = 64 << 20;

/// How long the first record of a batch waits for others. A worker wakes this thread for the first one only.
const GATHER: Duration = Duration::from_millis(20);

/// How long an instance of a replaced generation may outlive it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// The most records of one call. With more of them each costs the same; and so many have 2.3 MiB of annotations at the
/// most, which is a seventh of what a filter may have.
const BATCH: usize = 64;

/// What has become of one connection, as `observer.on-closed` is told it.
#[derive(Debug, Clone)]
pub struct Closed {
    pub connection: u64,
    pub listener: Arc<str>,
    pub client: Option<SocketAddr>,
    pub upstream: Option<Arc<str>>,
    pub server: Option<SocketAddr>,
    pub up: Moved,
    pub down: Moved,
    pub duration: Duration,
    pub outcome: Outcome,
    pub attributes: Vec<Attribute>,
}

/// The way to the observers. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Observers {
    lanes: Arc<[Lane]>,
    thread: Thread,
}

/// What the connections of one worker leave, so that workers do not wait for one another; and on a cache line of its own,
/// for the same reason.
#[repr(align(64))]
struct Lane {
    waiting: Mutex<Waiting>,
    /// For annotations.
    room: usize,
}

struct Waiting {
    items: Vec<Item>,
    /// What is left of the lane's room.
    room: usize,
    dropped: u64,
}

struct Item {
    filters: Arc<[Arc<Filter>]>,
    closed: Closed,
}

impl Observers {
    /// Starts the thread. It has told everything when the handle is joined after the last clone is gone.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start() -> anyhow::Result<(Self, JoinHandle<()>)> {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let lanes: Arc<[Lane]> = (0..count)
            .map(|_| Lane::new(QUEUE / count, ANNOTATED / count))
            .collect();
        let told = Arc::clone(&lanes);
        let thread = thread::Builder::new()
            .name("observers".to_owned())
            .spawn(move || tell(told))
            .context("cannot start the thread that tells observers")?;
        let observers = Self {
            lanes,
            thread: thread.thread().clone(),
        };
        Ok((observers, thread))
    }

    /// Never waits for an observer: where they do not keep up, records are dropped, counted, and the number is logged.
    pub fn closed(&self, filters: &Arc<[Arc<Filter>]>, closed: Closed) {
        let filters = Arc::clone(filters);
        let lane = &self.lanes[number_of_this_thread() % self.lanes.len()];
        if lane.push(Item { filters, closed }) {
            self.thread.unpark();
        }
    }
}

impl Drop for Observers {
    /// The thread has to see whether this was the last.
    fn drop(&mut self) {
        self.lanes = Arc::new([]);
        self.thread.unpark();
    }
}

/// Counted from 0.
pub(super) fn number_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

impl Lane {
    fn new(items: usize, room: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                // All of it, so that nothing grows while the lock is held. The kernel gives what is written to.
                items: Vec::with_capacity(items),
                room,
                dropped: 0,
            }),
            room,
        }
    }

    /// Whether it is the first that waits.
    fn push(&self, item: Item) -> bool {
        let annotated = item.closed.attributes.iter().map(Attribute::size).sum();
        let mut waiting = self.lock();
        if waiting.items.len() == waiting.items.capacity() || waiting.room < annotated {
            waiting.dropped += 1;
            return false;
        }
        waiting.room -= annotated;
        waiting.items.push(item);
        waiting.items.len() == 1
    }

    /// Takes what waits, for `items` in its place, and says how many were dropped since the last time.
    fn take(&self, items: &mut Vec<Item>) -> u64 {
        let mut waiting = self.lock();
        mem::swap(&mut waiting.items, items);
        waiting.room = self.room;
        mem::take(&mut waiting.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(mut lanes: Arc<[Lane]>) {
    let mut teller = Teller::default();
    let mut items = Vec::with_capacity(QUEUE / lanes.len());
    loop {
        thread::park_timeout(LOOK_AROUND);
        thread::sleep(GATHER);
        // Nobody is left to add to what is found now.
        let last = Arc::get_mut(&mut lanes).is_some();
        let mut lost = 0;
        for lane in &*lanes {
            lost += lane.take(&mut items);
            if !items.is_empty() {
                log::batch(|| teller.tell(&items));
                items.clear();
            }
        }
        if lost > 0 {
            tracing::warn!(lost, "observers do not keep up: records of connections were dropped");
        }
        if last {
            return;
        }
        teller.look_around();
    }
}

/// The observers' instances, by the names of the filters and the numbers of the generations.
#[derive(Default)]
struct Teller {
    instances: HashMap<(Arc<str>, u64), Instance>,
}

impl Teller {
    fn tell(&mut self, items: &[Item]) {
        for filter in filters(items) {
            let watches = |item: &&Item| item.filters.iter().any(|other| Arc::ptr_eq(other, filter));
            for (generation, items) in by_generation(filter, items.iter().filter(watches)) {
                for batch in items.chunks(BATCH) {
                    let records: Vec<_> = batch.iter().map(|item| record(&item.closed)).collect();
                    self.show(&generation, &records);
                }
            }
        }
    }

    /// Shows one batch to a filter's generation. One that failed gets a fresh instance with the next batch.
    fn show(&mut self, generation: &Arc<Generation>, batch: &[ClosedRecord]) {
        let name = generation.name();
        let key = (Arc::clone(name), generation.number());
        if self.instances.get(&key).is_none_or(Instance::is_spent) {
            self.instances.remove(&key);
            let Some(permit) = generation.admit() else {
                generation.failed(Kind::Budget);
                return tracing::warn!(filter = %name, "no instance left for an observer: a batch was dropped");
            };
            match Instance::new(generation, permit) {
                Ok(instance) => _ = self.instances.insert(key.clone(), instance),
                Err(failure) => return failed(generation, &failure),
            }
        }
        let Some(instance) = self.instances.get_mut(&key) else {
            return;
        };
        if let Err(failure) = instance.on_closed(batch) {
            self.instances.remove(&key);
            failed(generation, &failure);
        }
    }

    /// Frees what would keep a generation that nobody else has any more.
    fn look_around(&mut self) {
        self.instances.retain(|_, instance| instance.generation().is_current());
    }
}

/// What the filter's generations are told, of those that observe: the stable one and a canary, which gets its share of what has
/// ended, whichever of them the connections had.
fn by_generation<'a>(filter: &Filter, items: impl Iterator<Item = &'a Item>) -> Vec<(Arc<Generation>, Vec<&'a Item>)> {
    let mut told: Vec<(Arc<Generation>, Vec<&Item>)> = Vec::new();
    for item in items {
        let generation = filter.choose(item.closed.client);
        match told.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &generation)) {
            Some((_, items)) => items.push(item),
            None if generation.is_observer() => told.push((generation, vec![item])),
            None => {}
        }
    }
    told
}

fn failed(generation: &Generation, failure: &Failure) {
    generation.failed(failure.kind);
    failure.log(generation, None, "pass");
}

/// Each once, of all listeners.
fn filters(items: &[Item]) -> Vec<&Arc<Filter>> {
    let mut known: Vec<&Arc<Filter>> = Vec::new();
    for filter in items.iter().flat_map(|item| item.filters.iter()) {
        if !known.iter().any(|other| Arc::ptr_eq(other, filter)) {
            known.push(filter);
        }
    }
    known
}

fn record(closed: &Closed) -> ClosedRecord {
    ClosedRecord {
        connection: closed.connection,
        listener: closed.listener.to_string(),
        client: closed.client.map(Endpoint::from),
        upstream: closed.upstream.as_deref().map(str::to_owned),
        server: closed.server.map(Endpoint::from),
        up: moved(closed.up),
        down: moved(closed.down),
        duration_us: u64::try_from(closed.duration.as_micros()).unwrap_or(u64::MAX),
        outcome: name(closed.outcome),
        attributes: closed.attributes.iter().cloned().map(Into::into).collect(),
    }
}

/// As `to_string`, which would allocate three times while it grows.
fn name(outcome: Outcome) -> String {
    let mut name = String::with_capacity(40);
    let _ = write!(name, "{outcome}");
    name
}

fn moved(moved: Moved) -> MovedRecord {
    MovedRecord {
        copied: moved.copied,
        spliced: moved.spliced,
        filtered: moved.filtered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Value;
    use crate::flow::Side;
    use crate::outcome::{Cause, Stage};

    fn ended(connection: u64, attributes: Vec<Attribute>) -> Item {
        let closed = Closed {
            connection,
            listener: "test".into(),
            client: None,
            upstream: None,
            server: None,
            up: Moved::default(),
            down: Moved::default(),
            duration: Duration::ZERO,
            outcome: Outcome::new(Stage::Relay, Cause::Finished, Side::Client),
            attributes,
        };
        Item {
            filters: Arc::new([]),
            closed,
        }
    }

    fn annotated(bytes: usize) -> Vec<Attribute> {
        let key = "k".repeat(bytes);
        vec![Attribute {
            key,
            value: Value::Boolean(true),
        }]
    }

    #[test]
    fn what_a_lane_has_no_room_for_is_dropped_and_counted() {
        let lane = Lane::new(2, 100);
        assert!(lane.push(ended(1, Vec::new())), "the first one wakes the thread");
        assert!(!lane.push(ended(2, Vec::new())));
        assert!(!lane.push(ended(3, Vec::new())));
        let mut items = Vec::with_capacity(2);
        assert_eq!(lane.take(&mut items), 1);
        assert_eq!(
            items.iter().map(|item| item.closed.connection).collect::<Vec<_>>(),
            [1, 2]
        );

        items.clear();
        assert_eq!(lane.take(&mut items), 0);
        assert!(lane.push(ended(4, Vec::new())), "there is room again");
    }

    #[test]
    fn annotations_have_a_bound_of_their_own() {
        let lane = Lane::new(8, 100);
        lane.push(ended(1, annotated(60)));
        lane.push(ended(2, annotated(60)));
        lane.push(ended(3, annotated(40)));
        let mut items = Vec::with_capacity(8);
        assert_eq!(lane.take(&mut items), 1);
        assert_eq!(
            items.iter().map(|item| item.closed.connection).collect::<Vec<_>>(),
            [1, 3]
        );
        assert!(lane.push(ended(4, annotated(60))), "there is room again");
    }

    #[test]
    fn the_thread_ends_with_the_last_way_to_it() {
        let (observers, thread) = Observers::start().unwrap();
        let other = observers.clone();
        drop(observers);
        let Item { filters, closed } = ended(1, Vec::new());
        other.closed(&filters, closed);
        drop(other);
        thread.join().unwrap();
    }
}

//! Tells observers what has ended: in batches, on a thread of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;

use super::abi::types::Endpoint;
use super::facts::Attribute;
use super::generation::{Filter, Generation};
use super::instance::{ClosedRecord, Instance};
use crate::observe::log;

/// Records that wait to be told. At 30 000 connections a second this is two seconds' worth, and 16 MiB at the most.
const QUEUE: usize = 65_536;

/// How long the first record of a batch waits for others. The sender wakes this thread for the first one only.
const GATHER: Duration = Duration::from_millis(20);

/// How long an instance of a replaced generation may outlive it.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// The most records of one call.
const BATCH: usize = 256;

/// What has become of one connection, as `observer.on-closed` is told it.
#[derive(Debug, Clone)]
pub struct Closed {
    pub connection: u64,
    pub listener: Arc<str>,
    pub client: Option<SocketAddr>,
    pub upstream: Option<Arc<str>>,
    pub server: Option<SocketAddr>,
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub duration: Duration,
    pub outcome: String,
    pub attributes: Vec<Attribute>,
}

/// The way to the observers. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Observers {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
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
        let (queue, items) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("observers".to_owned())
            .spawn(move || tell(&items, &count))
            .context("cannot start the thread that tells observers")?;
        Ok((Self { queue, dropped }, thread))
    }

    /// Never waits: where observers do not keep up, records are dropped, counted, and the number is logged.
    pub fn closed(&self, filters: &Arc<[Arc<Filter>]>, closed: Closed) {
        let filters = Arc::clone(filters);
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item { filters, closed }) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn tell(items: &Receiver<Item>, dropped: &AtomicU64) {
    let mut instances: HashMap<Arc<str>, Instance> = HashMap::new();
    loop {
        // An instance would keep a generation that nobody else has any more.
        instances.retain(|_, instance| instance.generation().is_current());
        let first = match items.recv_timeout(LOOK_AROUND) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        thread::sleep(GATHER);
        let mut batches: HashMap<*const Filter, (Arc<Filter>, Vec<ClosedRecord>)> = HashMap::new();
        for item in std::iter::once(first).chain(items.try_iter().take(QUEUE)) {
            for filter in item.filters.iter() {
                let new = || (Arc::clone(filter), Vec::new());
                batches
                    .entry(Arc::as_ptr(filter))
                    .or_insert_with(new)
                    .1
                    .push(record(&item.closed));
            }
        }
        for (filter, records) in batches.into_values() {
            let generation = filter.current();
            if generation.is_observer() {
                records
                    .chunks(BATCH)
                    .for_each(|batch| show(&mut instances, &generation, batch));
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "observers do not keep up: records of connections were dropped");
        }
    }
}

/// Shows one batch to a filter's newest generation. One that failed gets a fresh instance with the next batch.
fn show(instances: &mut HashMap<Arc<str>, Instance>, generation: &Arc<Generation>, batch: &[ClosedRecord]) {
    let name = generation.name();
    if instances
        .get(name)
        .is_none_or(|instance| !Arc::ptr_eq(instance.generation(), generation))
    {
        instances.remove(name);
        let Some(permit) = generation.engine().admit() else {
            return tracing::warn!(filter = %name, "no instance left for an observer: a batch was dropped");
        };
        match Instance::new(generation, permit) {
            Ok(instance) => _ = instances.insert(Arc::clone(name), instance),
            Err(failure) => return failed(generation, &failure),
        }
    }
    let Some(instance) = instances.get_mut(name) else {
        return;
    };
    if let Err(failure) = log::batch(|| instance.on_closed(batch)) {
        instances.remove(name);
        failed(generation, &failure);
    }
}

fn failed(generation: &Generation, failure: &super::failure::Failure) {
    tracing::warn!(
        filter = %generation.name(),
        generation = generation.number(),
        kind = %failure.kind,
        error = %failure,
        action = "pass",
        "filter failed"
    );
}

fn record(closed: &Closed) -> ClosedRecord {
    ClosedRecord {
        connection: closed.connection,
        listener: closed.listener.to_string(),
        client: closed.client.map(Endpoint::from),
        upstream: closed.upstream.as_deref().map(str::to_owned),
        server: closed.server.map(Endpoint::from),
        bytes_up: closed.bytes_up,
        bytes_down: closed.bytes_down,
        duration_us: u64::try_from(closed.duration.as_micros()).unwrap_or(u64::MAX),
        outcome: closed.outcome.clone(),
        attributes: closed.attributes.iter().cloned().map(Into::into).collect(),
    }
}

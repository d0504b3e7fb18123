//! Writes down what workers tell of connections, where nobody waits for it.
//!
//! Workers put events into a queue and never wait: what does not fit is dropped, and counted, and the file says where. A thread
//! turns them into blocks, and writes those in batches. When a disk is full, or a file cannot be written for another reason, it
//! says so once, everything is as if nothing were captured, and it tries again later.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use rustix::fs::{Access, access};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::event::{Event, What};
use super::format::{TRAILER, Writer};
use super::ring::Ring;
use super::since_1970;
use crate::config::CaptureFiles;

/// Bytes that wait to be written: at 5 Gbit/s a twentieth of a second's worth.
const QUEUE: usize = 32 << 20;

/// How long the first event of a batch waits for others: the thread is woken once for all of them.
const GATHER: Duration = Duration::from_millis(5);

/// How often a recorder without events looks whether it may try again.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Events that are taken before what they make is written, however fast they come.
const AT_ONCE: usize = 4_096;

/// What is written at once.
const BATCH: usize = 256 << 10;

/// How long a recorder that cannot write leaves it alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is not said again that a recorder cannot write.
const SILENCE: Duration = Duration::from_secs(3_600);

/// Those that live, for captures that want the same files.
static RECORDERS: Mutex<Vec<Weak<Recorder>>> = Mutex::new(Vec::new());

/// The way to the files. The thread ends with the last capture that goes there.
#[derive(Debug)]
pub struct Recorder {
    files: CaptureFiles,
    queue: Sender<Told>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of events that wait.
    waiting: AtomicUsize,
    /// Nothing can be written for now.
    stopped: AtomicBool,
}

/// Of all recorders: they come and go.
static COUNTED: Counted = Counted {
    events: AtomicU64::new(0),
    lost: AtomicU64::new(0),
    bytes: AtomicU64::new(0),
    failures: AtomicU64::new(0),
};

struct Counted {
    events: AtomicU64,
    lost: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
}

/// What all recorders have done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events that were written, and that were dropped.
    pub events: u64,
    pub lost: u64,
    /// Of files.
    pub bytes: u64,
    /// How often writing failed.
    pub failures: u64,
}

#[derive(Debug)]
enum Told {
    Event(Event),
    /// What was told before is written, files are closed, and who asks is told.
    Close(oneshot::Sender<()>),
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Taken,
    /// There is no room for it.
    Dropped,
    /// Nothing is written for now.
    Refused,
}

impl Recorder {
    /// The one for these files.
    pub fn of(files: &CaptureFiles) -> Arc<Self> {
        let mut recorders = RECORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.retain(|recorder| recorder.strong_count() > 0);
        let known = recorders
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| known.files == *files);
        known.unwrap_or_else(|| {
            let recorder = Arc::new(Self::start(files));
            recorders.push(Arc::downgrade(&recorder));
            recorder
        })
    }

    /// Without a thread, nothing is written.
    fn start(files: &CaptureFiles) -> Self {
        let (queue, told) = channel();
        let shared = Arc::<Shared>::default();
        let (wanted, shared_too) = (files.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("capture".to_owned());
        if let Err(error) = thread.spawn(move || Scribe::new(&wanted, shared_too).run(&told)) {
            shared.stopped.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "cannot start the thread of a capture: nothing is captured");
        }
        Self {
            files: files.clone(),
            queue,
            shared,
        }
    }

    /// Never waits. The end of what was begun is always taken.
    pub fn tell(&self, event: Event) -> Fate {
        let shared = &self.shared;
        if shared.stopped.load(Ordering::Relaxed) {
            return Fate::Refused;
        }
        let weight = event.weight();
        let must = matches!(event.what, What::Over { .. });
        if !must && shared.waiting.load(Ordering::Relaxed) + weight > QUEUE {
            COUNTED.lost.fetch_add(1, Ordering::Relaxed);
            return Fate::Dropped;
        }
        shared.waiting.fetch_add(weight, Ordering::Relaxed);
        match self.queue.send(Told::Event(event)) {
            Ok(()) => Fate::Taken,
            Err(_) => Fate::Refused,
        }
    }
}

pub fn recorded() -> Recorded {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Recorded {
        events: read(&COUNTED.events),
        lost: read(&COUNTED.lost),
        bytes: read(&COUNTED.bytes),
        failures: read(&COUNTED.failures),
    }
}

/// Writes what there is, and closes every file, as far as there is time for it.
pub async fn close_all(patience: Duration) {
    let living: Vec<_> = {
        let recorders = RECORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.iter().filter_map(Weak::upgrade).collect()
    };
    let asked = living.iter().filter_map(|recorder| {
        let (done, closed) = oneshot::channel();
        recorder.queue.send(Told::Close(done)).ok()?;
        Some(closed)
    });
    let closed = async {
        for closed in asked.collect::<Vec<_>>() {
            let _ = closed.await;
        }
    };
    if timeout(patience, closed).await.is_err() {
        tracing::warn!("the end of a capture is lost: it could not be written in time");
    }
}

/// Whether files can be made there.
///
/// # Errors
/// Why they cannot.
pub fn check(directory: &Path) -> anyhow::Result<()> {
    let checked = directory.metadata().and_then(|found| match found.is_dir() {
        true => Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    let directory = directory.display();
    checked.with_context(|| {
        format!("cannot write captures to {directory}: it has to be a directory that the proxy may write to")
    })
}

struct Scribe {
    directory: PathBuf,
    ring: Ring,
    writer: Writer,
    /// Whole blocks that are not in the file yet.
    batch: Vec<u8>,
    shared: Arc<Shared>,
    /// When it tries again, where it has failed.
    again: Option<Instant>,
    /// When that was said last.
    complained: Option<Instant>,
}

impl Scribe {
    /// Looks at what is in the directory: not for a worker.
    fn new(files: &CaptureFiles, shared: Arc<Shared>) -> Self {
        Self {
            directory: files.directory.clone(),
            ring: Ring::new(files.clone(), Writer::extension(files.format)),
            writer: Writer::new(files.format),
            batch: Vec::with_capacity(BATCH),
            shared,
            again: None,
            complained: None,
        }
    }

    fn run(&mut self, told: &Receiver<Told>) {
        loop {
            let first = match told.recv_timeout(LOOK_AROUND) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            };
            if self.again.is_some_and(|again| Instant::now() >= again) {
                self.again = None;
                self.shared.stopped.store(false, Ordering::Relaxed);
            }
            let Some(first) = first else { continue };
            thread::sleep(GATHER);
            let mut asked = Vec::new();
            for told in std::iter::once(first).chain(told.try_iter().take(AT_ONCE)) {
                match told {
                    Told::Event(event) => self.take(&event),
                    Told::Close(done) => {
                        self.close();
                        asked.push(done);
                    }
                }
            }
            self.flush();
            asked.into_iter().for_each(|done| _ = done.send(()));
        }
    }

    fn take(&mut self, event: &Event) {
        self.shared.waiting.fetch_sub(event.weight(), Ordering::Relaxed);
        if self.again.is_some() {
            return;
        }
        let begins = matches!(event.what, What::Began(_));
        if !begins && !self.writer.knows(event.flow) {
            return;
        }
        let needed = self.batch.len() as u64 + self.writer.most(event) + TRAILER;
        if !self.ring.has_room(needed) {
            self.turn();
        }
        if self.again.is_some() {
            return;
        }
        self.writer.write(event, &mut self.batch);
        COUNTED.events.fetch_add(1, Ordering::Relaxed);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Goes on in the next file.
    fn turn(&mut self) {
        self.end_file();
        if self.again.is_some() {
            return;
        }
        match self.ring.turn(SystemTime::now()) {
            Ok(()) => self.writer.begin(&mut self.batch),
            Err(error) => self.fail(&error),
        }
    }

    fn close(&mut self) {
        self.end_file();
        self.ring.close();
    }

    fn end_file(&mut self) {
        if self.ring.is_open() {
            self.writer.end(since_1970(), &mut self.batch);
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut batch = mem::take(&mut self.batch);
        if !batch.is_empty() && self.ring.is_open() {
            match self.ring.append(&batch) {
                Ok(()) => {
                    let written = batch.len() as u64;
                    COUNTED.bytes.fetch_add(written, Ordering::Relaxed);
                }
                Err(error) => self.fail(&error),
            }
        }
        batch.clear();
        self.batch = batch;
    }

    /// Connections that were being captured are not any more; those that begin later may be.
    fn fail(&mut self, error: &io::Error) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        COUNTED.failures.fetch_add(1, Ordering::Relaxed);
        self.again = Some(Instant::now() + PATIENCE);
        self.ring.close();
        self.writer.forget_all();
        self.batch.clear();
        if self.complained.is_none_or(|last| last.elapsed() >= SILENCE) {
            self.complained = Some(Instant::now());
            tracing::warn!(
                directory = %self.directory.display(),
                %error,
                "cannot write a capture: nothing is captured for a minute, and then it is tried again"
            );
        }
    }
}

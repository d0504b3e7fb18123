//! A line for each connection, or a span, written where nobody waits for it.
//!
//! Workers put entries into a queue and never wait: what does not fit is dropped, and counted. A thread puts them into words
//! and writes them in batches.

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;

use super::telemetry::Spans;
use super::{Entry, Telemetry};
use crate::config::{AccessLogConfig, LogField, LogFormat, TemplatePart};

/// Entries that wait to be written: at 30 000 connections a second two seconds' worth, and about 20 MiB at the most.
const QUEUE: usize = 65_536;

/// How long the first entry of a batch waits for others: the thread is woken once for all of them.
const GATHER: Duration = Duration::from_millis(20);

/// How often a log without traffic looks whether it is to be reopened.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// What is written at once.
const BATCH: usize = 64 << 10;

/// The way to the log. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct AccessLog {
    queue: SyncSender<Box<Entry>>,
    shared: Arc<Shared>,
}

struct Shared {
    dropped: AtomicU64,
    reopen: AtomicBool,
    /// Whether there are lines, and not spans alone.
    lines: bool,
    spans: Option<Spans>,
    open: bool,
    every: Option<Duration>,
    ja4: bool,
}

impl AccessLog {
    /// Opens the log and starts its thread. It has written everything when the handle is joined after the last clone is gone.
    /// `None` where neither a log nor a collector is to be told of connections.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread to be had.
    pub fn start(config: Option<&AccessLogConfig>) -> anyhow::Result<Option<(Self, JoinHandle<()>)>> {
        let lines = config.map(Lines::open).transpose()?;
        let spans = Telemetry::spans();
        if lines.is_none() && spans.is_none() {
            return Ok(None);
        }
        let (queue, entries) = sync_channel(QUEUE);
        let wants_ja4 = |config: &AccessLogConfig| match &config.format {
            LogFormat::Json => true,
            LogFormat::Template(parts) => parts.contains(&TemplatePart::Field(LogField::Ja4)),
        };
        let shared = Arc::new(Shared {
            dropped: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            lines: lines.is_some(),
            open: config.is_some_and(|config| config.open),
            every: config.and_then(|config| config.every),
            ja4: spans.is_some() || config.is_some_and(wants_ja4),
            spans,
        });
        let writer = Writer {
            lines,
            shared: Arc::clone(&shared),
            failing: false,
        };
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(&entries))
            .context("cannot start the thread of the access log")?;
        Ok(Some((Self { queue, shared }, thread)))
    }

    /// Whether it is to be told of that connection at all.
    pub fn wants(&self, connection: u64) -> bool {
        self.shared.lines || self.shared.spans.as_ref().is_some_and(|spans| spans.wants(connection))
    }

    /// Never waits.
    pub fn write(&self, entry: Box<Entry>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(entry) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, soon: it may have been moved away (logrotate(8)).
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Whether the beginnings of connections are written.
    pub fn wants_open(&self) -> bool {
        self.shared.open
    }

    /// Whether a line says the fingerprint of the ClientHello.
    pub fn wants_ja4(&self) -> bool {
        self.shared.ja4
    }

    /// How often connections that live on are written.
    pub fn every(&self) -> Option<Duration> {
        self.shared.every
    }
}

struct Writer {
    lines: Option<Lines>,
    shared: Arc<Shared>,
    /// The last write failed: that was said once, and is said again only after one that did not.
    failing: bool,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Box<Entry>>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if self.shared.reopen.swap(false, Ordering::Relaxed) {
                self.reopen();
            }
            use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
            let first = match entries.recv_timeout(LOOK_AROUND) {
                Ok(first) => first,
                Err(Timeout) => continue,
                Err(Disconnected) => return self.say_dropped(),
            };
            thread::sleep(GATHER);
            let mut count = 0;
            for entry in std::iter::once(first).chain(entries.try_iter().take(QUEUE)) {
                if let Some(spans) = self.shared.spans.as_ref().filter(|spans| spans.wants(entry.connection)) {
                    spans.write(&entry);
                }
                let Some(lines) = &self.lines else { continue };
                line::write(&lines.format, &entry, &mut batch);
                count += 1;
                if batch.len() >= BATCH {
                    self.flush(&mut batch, &mut count);
                }
            }
            self.flush(&mut batch, &mut count);
            // While it fails, how many are lost is not known yet.
            if !self.failing {
                self.say_dropped();
            }
        }
    }

    fn flush(&mut self, batch: &mut Vec<u8>, count: &mut u64) {
        let Some(lines) = &mut self.lines else { return };
        match lines.target.write(batch) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.dropped.fetch_add(*count, Ordering::Relaxed);
                if !self.failing {
                    tracing::warn!(%error, "cannot write the access log: lines are dropped");
                }
                self.failing = true;
            }
        }
        batch.clear();
        *count = 0;
    }

    fn reopen(&mut self) {
        let Some(lines) = &mut self.lines else { return };
        match lines.target.reopen() {
            Ok(()) => tracing::info!("access log reopened"),
            Err(error) => tracing::warn!(%error, "cannot reopen the access log: the old file is written on"),
        }
    }

    fn say_dropped(&self) {
        let lost = self.shared.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "lines of the access log were dropped");
        }
    }
}

struct Lines {
    target: Target,
    format: LogFormat,
}

impl Lines {
    fn open(config: &AccessLogConfig) -> anyhow::Result<Self> {
        Ok(Self {
            target: Target::open(config.file.as_deref())?,
            format: config.format.clone(),
        })
    }
}

enum Target {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Target {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout);
        };
        let file = append_to(path).with_context(|| format!("cannot open the access log {}", path.display()))?;
        Ok(Self::File {
            path: path.to_owned(),
            file,
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = append_to(path)?;
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

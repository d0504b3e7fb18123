//! What happens while one watches: answers, keys, and the end.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::seen::{Answer, PATH, read, told};
use crate::cli::ask::Asker;

pub enum Happening {
    Answer(Answer),
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// Somebody has told the process to end.
    End,
    /// There is no terminal any more.
    Lost(io::Error),
}

pub struct Happenings {
    to_come: Receiver<Happening>,
    tell: SyncSender<Happening>,
}

/// A worker that does not answer has five seconds; twice that is enough for a proxy.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the picture says how old it is, where nothing happens.
const NOTHING: Duration = Duration::from_secs(1);

/// So many keys may wait until they are looked at.
const WAITING: usize = 64;

/// Asks that often, from now on, on a thread of its own.
///
/// # Errors
/// There is no thread to be had.
pub fn happenings(asker: Asker, every: Duration) -> io::Result<Happenings> {
    let (tell, to_come) = sync_channel(WAITING);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let teller = tell.clone();
    thread::Builder::new().name("ask".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = asking(&asker, every, &teller) => {}
                error = ending() => {
                    let end = error.map_or(Happening::End, Happening::Lost);
                    teller.send(end).ok();
                }
            }
        });
    })?;
    Ok(Happenings { to_come, tell })
}

/// Reads keys from now on: not before the terminal gives them one by one.
///
/// # Errors
/// There is no thread to be had.
pub fn keys(happenings: &Happenings) -> io::Result<()> {
    let tell = happenings.tell.clone();
    let reading = move || {
        loop {
            let happening = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Happening::Key(key),
                Ok(Event::Resize(..)) => Happening::Resized,
                Ok(_) => continue,
                Err(error) => Happening::Lost(error),
            };
            let lost = matches!(happening, Happening::Lost(_));
            if tell.send(happening).is_err() || lost {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(reading)
        .map(|_| ())
}

impl Happenings {
    /// What has happened by now, or happens next; none where that takes long.
    pub fn next(&self) -> Vec<Happening> {
        match self.to_come.recv_timeout(NOTHING) {
            Ok(first) => std::iter::once(first)
                .chain(self.to_come.try_iter().take(WAITING))
                .collect(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }
}

/// Until nobody listens.
async fn asking(asker: &Asker, every: Duration, tell: &SyncSender<Happening>) {
    let mut ticks = interval(every);
    // An answer that came late does not bring the next one sooner.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = asker.answer("GET", PATH, None, PATIENCE).await;
        let answer = answer
            .map_err(|trouble| told(&trouble))
            .and_then(|answer| read(&answer));
        if tell.send(Happening::Answer(answer.map(Box::new))).is_err() {
            return;
        }
    }
}

/// Until a signal tells it to end: unanswered, it would leave the terminal as it is.
async fn ending() -> Option<io::Error> {
    let [terminate, hang_up, interrupt] = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let (mut terminate, mut hang_up, mut interrupt) = match (signal(terminate), signal(hang_up), signal(interrupt)) {
        (Ok(terminate), Ok(hang_up), Ok(interrupt)) => (terminate, hang_up, interrupt),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Some(error),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
    None
}

//! The proxy's log, read as it is written.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::DEADLINE;

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Value);

impl Event {
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// A field's text; empty where there is no such field.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// A field's number. A number that the log writes as text counts too.
    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        let value = &self.0[field];
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap_or_else(|| panic!("no number {field:?} in {self}"))
    }

    pub fn has(&self, field: &str) -> bool {
        !self.0[field].is_null()
    }

    pub fn field(&self, field: &str) -> &Value {
        &self.0[field]
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many bytes a connection moved, and in which way: from its `connection ended`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    pub outcome: String,
    pub up_copied: u64,
    pub up_spliced: u64,
    pub up_filtered: u64,
    pub down_copied: u64,
    pub down_spliced: u64,
    pub down_filtered: u64,
}

impl Transfer {
    pub fn of(event: &Event) -> Self {
        Self {
            outcome: event.text("outcome").to_owned(),
            up_copied: event.number("up_copied"),
            up_spliced: event.number("up_spliced"),
            up_filtered: event.number("up_filtered"),
            down_copied: event.number("down_copied"),
            down_spliced: event.number("down_spliced"),
            down_filtered: event.number("down_filtered"),
        }
    }

    pub fn up(&self) -> u64 {
        self.up_copied + self.up_spliced + self.up_filtered
    }

    pub fn down(&self) -> u64 {
        self.down_copied + self.down_spliced + self.down_filtered
    }
}

#[derive(Clone)]
pub(crate) struct Logs {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    events: Vec<Event>,
    ended: bool,
}

impl Logs {
    pub(crate) fn read(stream: impl Read + Send + 'static) -> Self {
        let logs = Self { shared: Arc::default() };
        let writer = logs.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                writer.change(|state| {
                    // A line that is no JSON, such as a panic's, is kept for whoever reads the failure.
                    if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line) {
                        state.events.push(Event(event));
                    }
                    state.lines.push(line);
                });
            }
            writer.change(|state| state.ended = true);
        });
        logs
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.shared;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// Waits until the log answers; `None` at the deadline or once the log has ended without an answer.
    pub(crate) fn wait<T>(&self, ask: impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        self.wait_within(DEADLINE, ask)
    }

    /// The same for what takes its time.
    pub(crate) fn wait_within<T>(&self, within: Duration, mut ask: impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        let (state, changed) = &*self.shared;
        let until = Instant::now() + within;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let answer = ask(&state.events);
            let left = until.saturating_duration_since(Instant::now());
            if answer.is_some() || state.ended || left.is_zero() {
                return answer;
            }
            state = changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .events
            .clone()
    }

    /// As written, for a failure's report and for what is said in no event.
    pub(crate) fn text(&self) -> String {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }
}

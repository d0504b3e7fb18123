//! Hears what a filter says, and how it failed, where there is no log for either: when it is tried outside of a proxy.

use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Level;

use super::failure::Failure;

#[derive(Default)]
pub struct Witness(Mutex<Heard>);

/// What was heard since somebody asked last.
#[derive(Debug, Default)]
pub struct Heard {
    pub records: Vec<Record>,
    pub failures: Vec<String>,
}

/// One of the filter's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub level: Level,
    pub message: String,
    /// As people read them.
    pub fields: Vec<(String, String)>,
}

/// What is kept of a filter that logs without end, in records: more than anybody reads.
const MOST: usize = 10_000;

impl Witness {
    pub(super) fn record(&self, record: Record) {
        let mut heard = self.heard();
        if heard.records.len() < MOST {
            heard.records.push(record);
        }
    }

    pub(super) fn failure(&self, failure: &Failure) {
        let mut text = format!("{failure} ({})", failure.kind);
        for line in failure.backtrace.iter().flat_map(|backtrace| backtrace.lines()) {
            text.push_str("\n  ");
            text.push_str(line);
        }
        self.heard().failures.push(text);
    }

    pub fn take(&self) -> Heard {
        mem::take(&mut *self.heard())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Record {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.fields
            .iter()
            .try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

//! `log`: a guest's records, under its filter's name.

use crate::filter::abi::base::spliceway::filter::log::{Host, Level};
use crate::filter::abi::types::{Attribute, Value};
use crate::filter::instance::State;
use crate::observe::log;

/// Records of one call.
const MOST_RECORDS: usize = 64;
const MOST_RECORDS_OFF_PATH: usize = 4096;

const LONGEST_MESSAGE: usize = 4 << 10;
const MOST_FIELDS: usize = 32;
const LONGEST_FIELD: usize = 1 << 10;

impl Host for State {
    fn enabled(&mut self, level: Level) -> bool {
        log::guest_enabled(level.into())
    }

    fn emit(&mut self, level: Level, mut message: String, fields: Vec<Attribute>) {
        cut(&mut message, LONGEST_MESSAGE);
        if matches!(level, Level::Error) {
            self.last_words = Some(message.clone());
        }
        if !log::guest_enabled(level.into()) || !self.may_log() {
            return;
        }
        let fields = fields.into_iter().take(MOST_FIELDS).map(field).collect();
        log::guest(log::Guest {
            level: level.into(),
            filter: self.generation.name(),
            generation: self.generation.number(),
            connection: self.facts.as_ref().map(|facts| facts.id),
            message: &message,
            fields,
        });
    }
}

impl State {
    /// A call about a connection is made by a worker, which writes the record itself; an observer has a thread of its own, and
    /// hundreds of connections in one call.
    fn may_log(&mut self) -> bool {
        let most = if self.facts.is_some() {
            MOST_RECORDS
        } else {
            MOST_RECORDS_OFF_PATH
        };
        self.logged += 1;
        if self.logged == most + 1 {
            tracing::warn!(
                filter = %self.generation.name(),
                generation = self.generation.number(),
                most,
                "a call logs too much: the rest is dropped"
            );
        }
        self.logged <= most
    }
}

fn field(attribute: Attribute) -> (String, serde_json::Value) {
    let mut key = attribute.key;
    cut(&mut key, LONGEST_FIELD);
    let value = match attribute.value {
        Value::Text(mut text) => {
            cut(&mut text, LONGEST_FIELD);
            text.into()
        }
        Value::Integer(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Bytes(mut bytes) => {
            bytes.truncate(LONGEST_FIELD / 4);
            bytes.escape_ascii().to_string().into()
        }
    };
    (key, value)
}

fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

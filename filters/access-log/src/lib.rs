//! One log line for each connection that ended. README.md has the details.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::environment;
use spliceway_sdk::log::{self, FieldValue, Level};
use spliceway_sdk::prelude::*;

/// What is logged of a connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AccessLog {
    /// Only these fields and attributes, in this order. All of them where this is not set.
    fields: Option<Vec<String>>,
    /// None of these.
    exclude: Vec<String>,
    /// The share of connections that is logged: 0.01 is one in a hundred.
    #[schemars(range(min = 0.0, max = 1.0))]
    sample: f64,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            fields: None,
            exclude: Vec::new(),
            sample: 1.0,
        }
    }
}

/// The proxy cuts a record behind these.
const MAX_FIELDS: usize = 32;

/// And a batch of records behind these, of which the annotations get what the others leave.
const MAX_KEYS: usize = 64;
const MAX_ANNOTATIONS: usize = MAX_KEYS - ENDED.len() - WAYS.len();

impl Config for AccessLog {
    fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(format!("sample: {} is not between 0 and 1", self.sample));
        }
        match &self.fields {
            Some(_) if !self.exclude.is_empty() => Err("exclude: fields says already what is logged".into()),
            Some(fields) if fields.len() > MAX_FIELDS => Err(format!("fields: a record has at most {MAX_FIELDS}")),
            _ => Ok(()),
        }
    }
}

impl Observer for AccessLog {
    fn on_closed(&self, batch: &[Closed]) {
        if log::enabled(Level::Info) {
            let drawn = batch
                .iter()
                .filter(|_| self.sample >= 1.0 || environment::sample(self.sample));
            self.log(&drawn.collect::<Vec<_>>());
        }
    }
}

export_config!(AccessLog, schema = "../schema.json");
export_observer!(AccessLog);

impl AccessLog {
    fn log(&self, connections: &[&Closed]) {
        let mut annotations = annotations(connections);
        if annotations.len() > MAX_ANNOTATIONS && connections.len() > 1 {
            let (some, others) = connections.split_at(connections.len() / 2);
            self.log(some);
            return self.log(others);
        }
        annotations.truncate(MAX_ANNOTATIONS);
        let columns = self.columns(annotations);
        let keys: Vec<_> = columns.iter().map(|column| column.key).collect();
        let mut values = Vec::with_capacity(connections.len() * columns.len());
        for closed in connections {
            values.extend(columns.iter().map(|column| column.value(closed)));
        }
        log::emit_batch(Level::Info, "connection", &keys, &values);
    }

    fn columns<'a>(&'a self, annotations: Vec<&'a str>) -> Vec<Column<'a>> {
        let Some(fields) = &self.fields else {
            let ended = ENDED.iter().map(|(key, _)| *key);
            let ways = WAYS.iter().map(|(key, _)| *key);
            let all = ended.chain(annotations).chain(ways);
            return all
                .filter(|key| !self.exclude.iter().any(|excluded| excluded == key))
                .map(Column::new)
                .collect();
        };
        fields.iter().map(|key| Column::new(key)).collect()
    }
}

/// A field of all connections.
struct Column<'a> {
    key: &'a str,
    /// None where it is an annotation.
    known: Option<Known>,
}

type Known = for<'a> fn(&'a Closed) -> Option<FieldValue<'a>>;

/// What there is to say of every connection. One that never got so far has no upstream, or no server.
const ENDED: [(&str, Known); 9] = [
    ("connection", |closed| Some(closed.connection.into())),
    ("listener", |closed| Some((&closed.listener).into())),
    ("client", |closed| closed.client.map(FieldValue::from)),
    ("upstream", |closed| closed.upstream.as_ref().map(FieldValue::from)),
    ("server", |closed| closed.server.map(FieldValue::from)),
    ("bytes-up", |closed| Some(closed.up.total().into())),
    ("bytes-down", |closed| Some(closed.down.total().into())),
    ("duration-us", |closed| Some(microseconds(closed.duration).into())),
    ("outcome", |closed| Some((&closed.outcome).into())),
];

/// How its bytes went.
const WAYS: [(&str, Known); 6] = [
    ("copied-up", |closed| unless_zero(closed.up.copied)),
    ("spliced-up", |closed| unless_zero(closed.up.spliced)),
    ("filtered-up", |closed| unless_zero(closed.up.filtered)),
    ("copied-down", |closed| unless_zero(closed.down.copied)),
    ("spliced-down", |closed| unless_zero(closed.down.spliced)),
    ("filtered-down", |closed| unless_zero(closed.down.filtered)),
];

impl<'a> Column<'a> {
    fn new(key: &'a str) -> Self {
        Self { key, known: known(key) }
    }

    fn value<'c>(&self, closed: &'c Closed) -> Option<FieldValue<'c>> {
        match self.known {
            Some(value) => value(closed),
            None => closed.attribute(self.key).map(FieldValue::from),
        }
    }
}

fn known(key: &str) -> Option<Known> {
    let mut all = ENDED.iter().chain(&WAYS);
    all.find(|(name, _)| *name == key).map(|(_, value)| *value)
}

/// The keys that filters have added, each once.
fn annotations<'a>(connections: &[&'a Closed]) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for attribute in connections.iter().flat_map(|closed| &closed.attributes) {
        let key = attribute.key.as_str();
        if !keys.contains(&key) && known(key).is_none() {
            keys.push(key);
        }
    }
    keys
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn unless_zero(bytes: u64) -> Option<FieldValue<'static>> {
    (bytes > 0).then(|| bytes.into())
}

#[cfg(test)]
mod tests;

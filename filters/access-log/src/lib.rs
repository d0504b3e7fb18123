//! One log line for each connection that ended. README.md has the details.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::log::{self, Level};
use spliceway_sdk::prelude::*;
use spliceway_sdk::{Attribute, environment};

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
        if !log::enabled(Level::Info) {
            return;
        }
        for closed in batch {
            if self.sample >= 1.0 || environment::sample(self.sample) {
                log::emit(Level::Info, "connection", self.select(everything(closed)));
            }
        }
    }
}

export_config!(AccessLog, schema = "../schema.json");
export_observer!(AccessLog);

impl AccessLog {
    fn select(&self, all: Vec<Attribute>) -> Vec<Attribute> {
        let named = |key: &String| all.iter().find(|field| field.key == *key).cloned();
        let mut selected: Vec<Attribute> = match &self.fields {
            Some(fields) => fields.iter().filter_map(named).collect(),
            None => all
                .into_iter()
                .filter(|field| !self.exclude.contains(&field.key))
                .collect(),
        };
        selected.truncate(MAX_FIELDS);
        selected
    }
}

/// What there is to say. A connection that never got so far has no upstream, or no server.
fn everything(closed: &Closed) -> Vec<Attribute> {
    let optional = |key: &str, value: Option<Value>| value.map(|value| Attribute::new(key, value));
    let microseconds = u64::try_from(closed.duration.as_micros()).unwrap_or(u64::MAX);
    let fields = [
        Some(Attribute::new("connection", closed.connection)),
        Some(Attribute::new("listener", &closed.listener)),
        optional("client", closed.client.map(Value::from)),
        optional("upstream", closed.upstream.as_ref().map(Value::from)),
        optional("server", closed.server.map(Value::from)),
        Some(Attribute::new("bytes-up", closed.bytes_up)),
        Some(Attribute::new("bytes-down", closed.bytes_down)),
        Some(Attribute::new("duration-us", microseconds)),
        Some(Attribute::new("outcome", &closed.outcome)),
    ];
    fields
        .into_iter()
        .flatten()
        .chain(closed.attributes.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests;

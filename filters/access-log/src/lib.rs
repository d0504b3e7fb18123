//! One log line for each connection that ended. README.md has the details.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::environment;
use spliceway_sdk::log::{self, Field, Level};
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
        let mut fields = Vec::with_capacity(MAX_FIELDS);
        for closed in batch {
            if self.sample >= 1.0 || environment::sample(self.sample) {
                fields.clear();
                self.select(everything(closed), &mut fields);
                log::emit(Level::Info, "connection", &fields);
            }
        }
    }
}

export_config!(AccessLog, schema = "../schema.json");
export_observer!(AccessLog);

impl AccessLog {
    fn select<'a>(&self, all: impl Iterator<Item = Field<'a>>, selected: &mut Vec<Field<'a>>) {
        let Some(names) = &self.fields else {
            let wanted = |field: &Field<'_>| !self.exclude.iter().any(|key| key == field.key);
            return selected.extend(all.filter(wanted).take(MAX_FIELDS));
        };
        let all: Vec<_> = all.collect();
        let named = |name: &String| all.iter().find(|field| field.key == name).cloned();
        selected.extend(names.iter().filter_map(named));
    }
}

/// What there is to say. A connection that never got so far has no upstream, or no server.
fn everything(closed: &Closed) -> impl Iterator<Item = Field<'_>> {
    let microseconds = u64::try_from(closed.duration.as_micros()).unwrap_or(u64::MAX);
    let fields = [
        Some(Field::new("connection", closed.connection)),
        Some(Field::new("listener", &closed.listener)),
        closed.client.map(|client| Field::new("client", client)),
        closed
            .upstream
            .as_ref()
            .map(|upstream| Field::new("upstream", upstream)),
        closed.server.map(|server| Field::new("server", server)),
        Some(Field::new("bytes-up", closed.up.total())),
        Some(Field::new("bytes-down", closed.down.total())),
        Some(Field::new("duration-us", microseconds)),
        Some(Field::new("outcome", &closed.outcome)),
    ];
    let annotations = closed.attributes.iter();
    let annotations = annotations.map(|attribute| Field::new(&attribute.key, &attribute.value));
    let ways = [
        ("copied-up", closed.up.copied),
        ("spliced-up", closed.up.spliced),
        ("filtered-up", closed.up.filtered),
        ("copied-down", closed.down.copied),
        ("spliced-down", closed.down.spliced),
        ("filtered-down", closed.down.filtered),
    ];
    let ways = ways.into_iter().filter(|(_, bytes)| *bytes > 0);
    let ways = ways.map(|(key, bytes)| Field::new(key, bytes));
    fields.into_iter().flatten().chain(annotations).chain(ways)
}

#[cfg(test)]
mod tests;

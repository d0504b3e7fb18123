//! An inspector that counts bytes in the metrics that its configuration defines, for tests of the host:
//! `{"metrics": [{"kind": "counter", "name": "bytes", "help": "Bytes."}]}`. A chunk's length is added, set, or observed.

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::metrics::{Counter, Gauge, Histogram, Metric};
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Meter {
    metrics: Vec<Definition>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Definition {
    kind: Kind,
    name: String,
    #[serde(default)]
    help: String,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One that is defined.
enum Defined {
    Counter(&'static Counter),
    Gauge(&'static Gauge),
    Histogram(&'static Histogram),
}

static DEFINED: OnceLock<Vec<Defined>> = OnceLock::new();

impl Config for Meter {
    fn check(&self) -> Result<(), String> {
        let defined: Result<Vec<Defined>, String> = self.metrics.iter().map(Definition::define).collect();
        DEFINED.set(defined?).map_err(|_| "it is configured twice".to_owned())
    }
}

impl Definition {
    fn define(&self) -> Result<Defined, String> {
        // An instance has one configuration: what is leaked is its own.
        let [name, help] = [&self.name, &self.help].map(|text| &*text.clone().leak());
        Ok(match self.kind {
            Kind::Counter => Defined::Counter(defined(Counter::new(name, help))?),
            Kind::Gauge => Defined::Gauge(defined(Gauge::new(name, help))?),
            Kind::Histogram => Defined::Histogram(defined(Histogram::new(name, help))?),
        })
    }
}

fn defined<M: Metric + 'static>(metric: M) -> Result<&'static M, String> {
    metric.define()?;
    Ok(Box::leak(Box::new(metric)))
}

struct Session;

impl Inspector for Session {
    type Config = Meter;

    fn open(_config: &Meter, _connection: &Connection) -> Self {
        Self
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Verdict {
        let bytes = chunk.bytes.len();
        for metric in DEFINED.get().into_iter().flatten() {
            match metric {
                Defined::Counter(counter) => counter.add(bytes as u64),
                Defined::Gauge(gauge) => gauge.set(bytes as f64),
                Defined::Histogram(histogram) => histogram.observe(bytes as f64),
            }
        }
        Verdict::Forward
    }
}

export_config!(Meter);
export_inspector!(Session);

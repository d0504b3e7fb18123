//! `metrics`: by name once, by number from then on.

use crate::filter::abi::base::spliceway::filter::metrics::{Host, Kind};
use crate::filter::instance::State;
use crate::filter::metrics;

impl Host for State {
    fn define(&mut self, name: String, kind: Kind, help: String) -> Result<u32, String> {
        let kind = match kind {
            Kind::Counter => metrics::Kind::Counter,
            Kind::Gauge => metrics::Kind::Gauge,
            Kind::Histogram => metrics::Kind::Histogram,
        };
        let (kept, families) = (self.generation.kept(), self.generation.families());
        kept.metrics.define(&kept.name, families, name, kind, help)
    }

    fn add(&mut self, metric: u32, by: u64) {
        self.generation.kept().metrics.add(metric, by);
    }

    fn set(&mut self, metric: u32, value: f64) {
        self.generation.kept().metrics.set(metric, value);
    }

    fn observe(&mut self, metric: u32, value: f64) {
        self.generation.kept().metrics.observe(metric, value);
    }
}

//! Counted by the proxy, shown with its own metrics under the filter's name.
//!
//! ```
//! use spliceway_sdk::Config;
//! use spliceway_sdk::metrics::{Counter, Metric};
//!
//! static REFUSED: Counter = Counter::new("refused_total", "Commands refused.");
//!
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Guard {}
//!
//! impl Config for Guard {
//!     fn metrics() -> Vec<&'static dyn Metric> {
//!         vec![&REFUSED]
//!     }
//! }
//!
//! REFUSED.add(1);
//! ```

use std::sync::OnceLock;

use crate::sys::host;

/// One that [`Config::metrics`](crate::Config::metrics) can name. A metric that it does not name counts nothing.
pub trait Metric: Sync {
    #[doc(hidden)]
    fn define(&self) -> Result<(), String>;
}

/// Only goes up.
#[derive(Debug)]
pub struct Counter(Definition);

impl Counter {
    /// Ends in `_total`, by custom.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Definition::new(name, Kind::Counter, help))
    }

    /// Counts so many more.
    pub fn add(&self, by: u64) {
        if let Some(number) = self.0.number.get() {
            host::metric_add(*number, by);
        }
    }
}

/// Goes up and down.
#[derive(Debug)]
pub struct Gauge(Definition);

impl Gauge {
    /// Ends in its unit, by custom.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Definition::new(name, Kind::Gauge, help))
    }

    /// What it is now.
    pub fn set(&self, value: f64) {
        if let Some(number) = self.0.number.get() {
            host::metric_set(*number, value);
        }
    }
}

/// Counts by size.
#[derive(Debug)]
pub struct Histogram(Definition);

impl Histogram {
    /// Ends in its unit, by custom.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Definition::new(name, Kind::Histogram, help))
    }

    /// One more of this size.
    pub fn observe(&self, value: f64) {
        if let Some(number) = self.0.number.get() {
            host::metric_observe(*number, value);
        }
    }
}

impl Metric for Counter {
    fn define(&self) -> Result<(), String> {
        self.0.define()
    }
}

impl Metric for Gauge {
    fn define(&self) -> Result<(), String> {
        self.0.define()
    }
}

impl Metric for Histogram {
    fn define(&self) -> Result<(), String> {
        self.0.define()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
struct Definition {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    number: OnceLock<u32>,
}

impl Definition {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            number: OnceLock::new(),
        }
    }

    fn define(&self) -> Result<(), String> {
        let number = host::metric_define(self.name, self.kind, self.help)
            .map_err(|reason| format!("the metric {:?}: {reason}", self.name))?;
        self.number.get_or_init(|| number);
        Ok(())
    }
}

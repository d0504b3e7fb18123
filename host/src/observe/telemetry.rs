//! Connections as spans, and the log, for a collector of OpenTelemetry's (OTLP over HTTP). Compiled in with the feature `otel`
//! alone; without it, there is nobody to tell anything.
//!
//! Nobody waits for a collector: what it does not take in time is dropped.

#[cfg(feature = "otel")]
#[path = "telemetry/otlp.rs"]
mod way;
#[cfg(not(feature = "otel"))]
#[path = "telemetry/none.rs"]
mod way;

use super::Entry;
#[cfg(feature = "otel")]
use crate::config::TelemetryConfig;

pub use way::{Log, Telemetry};

/// Where connections become spans. Cheap to clone.
#[derive(Clone)]
pub struct Spans {
    tracer: way::Tracer,
    /// Of how many of a hundred connections.
    share: u32,
}

impl Spans {
    #[cfg(feature = "otel")]
    fn new(tracer: way::Tracer, config: &TelemetryConfig) -> Option<Self> {
        let share = config.traces;
        (share > 0).then_some(Self { tracer, share })
    }

    /// Whether that connection is one of those that become spans. Neighbours are not alike in this, so that a burst is seen as
    /// well as what trickles in.
    pub fn wants(&self, connection: u64) -> bool {
        is_among(connection, self.share)
    }

    /// Of a connection that has ended.
    pub fn write(&self, entry: &Entry) {
        self.tracer.write(entry);
    }
}

/// Fibonacci hashing (Knuth, TAOCP 6.4) spreads numbers that follow each other evenly.
fn is_among(connection: u64, percent: u32) -> bool {
    let spread = connection.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    spread * 100 < u64::from(percent) << 32
}

#[cfg(test)]
mod tests {
    use super::is_among;

    #[test]
    fn so_many_of_a_hundred_are_among_them() {
        for percent in [0, 1, 10, 50, 99, 100] {
            let among = (0..100_000).filter(|number| is_among(*number, percent)).count();
            let expected = percent as usize * 1000;
            assert!(among.abs_diff(expected) <= 10, "{among} of 100 000 at {percent}%");
        }
    }
}

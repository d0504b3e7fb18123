//! Families of samples: a name, what it means, and the samples, all of one kind and behind one another.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::observe::Histogram;

pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Of a histogram.
pub struct Observed {
    pub sum: f64,
    /// By the most that is in them, the last one without a bound.
    pub buckets: Vec<(f64, u64)>,
}

impl Observed {
    pub fn of(histogram: &Histogram) -> Self {
        Self {
            sum: histogram.sum(),
            buckets: histogram.buckets(),
        }
    }
}

/// Writes families one after the other. One without a sample is left out.
pub struct Families<'e, 'w>(pub &'e mut DescriptorEncoder<'w>);

impl Families<'_, '_> {
    /// `name` without the ending `_total`, which its samples get.
    pub fn counters<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, u64)>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Counter, samples, |mut encoder, count| {
            encoder.encode_counter::<NoLabelSet, _, f64>(&count, None)
        })
    }

    /// Counters of what is no whole number.
    pub fn sums<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, f64)>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Counter, samples, |mut encoder, sum| {
            encoder.encode_counter::<NoLabelSet, _, f64>(&sum, None)
        })
    }

    pub fn gauges<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, f64)>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Gauge, samples, |mut encoder, value| {
            encoder.encode_gauge(&value)
        })
    }

    pub fn histograms<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, Observed)>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Histogram, samples, |mut encoder, observed| {
            let count = observed.buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(observed.sum, count, &observed.buckets, None)
        })
    }

    /// `name` without the ending `_info`, which its samples get: they say all that there is to say by being there.
    pub fn infos<'s>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Labels<'s>>) -> fmt::Result {
        let samples = samples.into_iter().map(|labels| (Labels::new(), labels));
        self.write(name, help, MetricType::Info, samples, |mut encoder, labels| {
            encoder.encode_info(&labels)
        })
    }

    fn write<'s, T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'s>, T)>,
        mut encode: impl FnMut(MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, &escaped(help), None, kind)?;
        while let Some((labels, value)) = samples.next() {
            // Without braces, where nothing else would be between them.
            if labels.is_empty() && samples.peek().is_none() {
                return encode(family, value);
            }
            encode(family.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

/// A help takes one line, and goes on where that ends (OpenMetrics, ABNF: escaped-string). Label values are escaped by the
/// library.
fn escaped(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

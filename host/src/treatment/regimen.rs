//! A treatment as it is configured, and what the connections share that have it.

use std::sync::Arc;

use super::bucket::Bucket;
use super::capture::Capture;
use super::clock::{self, Nanos};
use super::faults::{Fault, Hit};
use super::quota::Allowance;
use super::sharing::{Shared, Sharing, Whose};
use crate::config::{Bandwidth, Quota, TreatmentConfig};
use crate::flow::Direction;

#[derive(Debug)]
pub struct Regimen {
    config: TreatmentConfig,
    bandwidth: Vec<Pace>,
    quotas: Vec<Sharing<Allowance>>,
    captures: Vec<Arc<Capture>>,
    faults: Vec<Arc<Fault>>,
}

#[derive(Debug)]
struct Pace {
    up: Sharing<Bucket>,
    down: Sharing<Bucket>,
}

impl PartialEq for Regimen {
    /// Two that are shared by different connections are two, whatever they say.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Regimen {
    pub fn new(config: TreatmentConfig) -> Self {
        let pace = |bandwidth: &Bandwidth| Pace {
            up: Sharing::new(bandwidth.per),
            down: Sharing::new(bandwidth.per),
        };
        Self {
            bandwidth: config.bandwidth.iter().map(pace).collect(),
            faults: config.faults.iter().cloned().map(Fault::new).map(Arc::new).collect(),
            quotas: config.quotas.iter().map(|quota| Sharing::new(quota.per)).collect(),
            captures: config.captures.iter().map(Capture::new).collect(),
            config,
        }
    }

    /// In the place of this one: faults at the same place are the same, and do something else. What is shared is shared anew.
    pub fn changed(&self, config: TreatmentConfig) -> Self {
        let mut changed = Self::new(config);
        for ((fault, before), config) in changed.faults.iter_mut().zip(&self.faults).zip(&changed.config.faults) {
            *fault = Arc::new(before.changed(config.clone()));
        }
        changed
    }

    /// What its faults do to the connection of that number.
    pub fn hits(&self, connection: u64) -> impl Iterator<Item = Hit> {
        self.faults.iter().filter_map(move |fault| fault.hits(connection))
    }

    /// `None` where nothing is to be done.
    pub fn of(config: &TreatmentConfig) -> Option<Arc<Self>> {
        (!config.is_nothing()).then(|| Arc::new(Self::new(config.clone())))
    }

    pub fn config(&self) -> &TreatmentConfig {
        &self.config
    }

    /// Counts a connection; false where there are to be no more of them.
    pub fn admits(&self, whose: &Whose) -> bool {
        let now = clock::now();
        self.allowances(whose).all(|(_, allowance)| allowance.admits(now))
    }

    /// Where its connections are written down.
    pub fn captures(&self) -> &[Arc<Capture>] {
        &self.captures
    }

    /// Of a new connection.
    pub fn buckets(&self, direction: Direction, whose: &Whose) -> Vec<Arc<Bucket>> {
        let paces = self.config.bandwidth.iter().zip(&self.bandwidth);
        let bucket = |(bandwidth, pace): (&Bandwidth, &Pace)| {
            let (rate, sharing) = match direction {
                Direction::Up => (bandwidth.up?, &pace.up),
                Direction::Down => (bandwidth.down?, &pace.down),
            };
            sharing.part(whose, || Bucket::new(rate, bandwidth.burst, clock::now()))
        };
        paces.filter_map(bucket).collect()
    }

    /// Those in which bytes are counted.
    pub fn byte_quotas(&self, whose: &Whose) -> Vec<Arc<Allowance>> {
        let of_bytes = self.allowances(whose).filter(|(quota, _)| quota.bytes.is_some());
        of_bytes.map(|(_, allowance)| allowance).collect()
    }

    fn allowances(&self, whose: &Whose) -> impl Iterator<Item = (&Quota, Arc<Allowance>)> {
        let quotas = self.config.quotas.iter().zip(&self.quotas);
        quotas.filter_map(|(quota, sharing)| Some((quota, sharing.part(whose, || Allowance::new(quota))?)))
    }
}

impl Shared for Bucket {
    fn is_fresh(&self, now: Nanos) -> bool {
        self.next() <= now
    }
}

impl Shared for Allowance {
    fn is_fresh(&self, now: Nanos) -> bool {
        Self::is_fresh(self, now)
    }
}

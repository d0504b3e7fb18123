//! How the process itself is: whether its workers keep up, what they have lent, and whether its configuration is the newest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{Histogram, Sums, Traffic};
use crate::sys::PipeUse;

/// One for the whole life of a process, across its configurations.
#[derive(Debug)]
pub struct Vitals {
    started: SystemTime,
    workers: Box<[Mutex<Pulse>]>,
    traffic: Box<[Arc<Traffic>]>,
    loads: Mutex<Loads>,
}

/// What a worker says of itself, once a second.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// How late its timer came: the worker was busy, or had no processor.
    pub delay: Histogram,
    pub last: Instant,
    pub pipes: PipeUse,
}

/// How often a configuration was to come into force, the first one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loads {
    pub applied: u64,
    /// Those that changed nothing, because something is wrong with them.
    pub rejected: u64,
    pub last_was_applied: bool,
    /// When the one that is in force came into force.
    pub applied_at: SystemTime,
}

impl Vitals {
    /// Of a process that begins, with its first configuration.
    pub fn new(workers: usize) -> Self {
        let started = SystemTime::now();
        let pulse = |_| {
            Mutex::new(Pulse {
                delay: Histogram::of_delays(),
                last: Instant::now(),
                pipes: PipeUse::default(),
            })
        };
        let vitals = Self {
            started,
            workers: (0..workers).map(pulse).collect(),
            traffic: (0..workers).map(|_| Arc::default()).collect(),
            loads: Mutex::new(Loads {
                applied: 0,
                rejected: 0,
                last_was_applied: false,
                applied_at: started,
            }),
        };
        vitals.loaded(true);
        vitals
    }

    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// That worker is there, so much later than it wanted to be.
    pub fn beat(&self, worker: usize, late: Duration, pipes: PipeUse) {
        if let Some(pulse) = self.workers.get(worker) {
            let mut pulse = lock(pulse);
            pulse.delay.add(late);
            pulse.last = Instant::now();
            pulse.pipes = pipes;
        }
    }

    pub fn pulses(&self) -> impl Iterator<Item = Pulse> {
        self.workers.iter().map(|pulse| lock(pulse).clone())
    }

    /// Where that worker counts what its connections move.
    pub fn traffic(&self, worker: usize) -> Arc<Traffic> {
        self.traffic.get(worker).cloned().unwrap_or_default()
    }

    /// What the connections of each worker have moved, those that are open among them. `connections` are those that have begun.
    pub fn moved(&self) -> impl Iterator<Item = Sums> {
        self.traffic.iter().map(|traffic| traffic.sums())
    }

    /// A configuration has come into force, or was rejected.
    pub fn loaded(&self, applied: bool) {
        let mut loads = lock(&self.loads);
        loads.last_was_applied = applied;
        match applied {
            true => {
                loads.applied += 1;
                loads.applied_at = SystemTime::now();
            }
            false => loads.rejected += 1,
        }
    }

    pub fn loads(&self) -> Loads {
        *lock(&self.loads)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_rejected_leaves_the_time_of_the_one_before() {
        let vitals = Vitals::new(1);
        let first = vitals.loads();
        assert_eq!((first.applied, first.rejected, first.last_was_applied), (1, 0, true));
        vitals.loaded(false);
        let expected = Loads {
            rejected: 1,
            last_was_applied: false,
            ..first
        };
        assert_eq!(vitals.loads(), expected);
        vitals.loaded(true);
        assert_eq!(vitals.loads().applied, 2);
    }

    #[test]
    fn a_worker_s_beats_are_its_own() {
        let vitals = Vitals::new(2);
        vitals.beat(1, Duration::from_millis(30), PipeUse::default());
        let beats = |pulse: Pulse| pulse.delay.buckets().iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(vitals.pulses().map(beats).collect::<Vec<_>>(), [0, 1]);
    }
}

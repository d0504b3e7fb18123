//! What one worker thread owns: nothing of it is shared, so nothing of it is locked.

mod pulse;
mod timers;

use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Live;
use crate::filter::{Instances, Passed};
use crate::observe::Traffic;
use crate::sys::{Coarse, Pipes};
use crate::treatment::InForce;
use crate::treatment::mirror::Carried;
use crate::upstream::Spares;
pub use pulse::beat;
pub use timers::{Elapsed, Timers};

/// The size of the buffer that every copy of a worker goes through. A larger one no longer fits the second-level cache; a
/// smaller one fills so often that a lane takes a moderate message for bulk.
pub const BUFFER: usize = 64 << 10;

pub struct Worker {
    buffer: RefCell<Box<[u8]>>,
    passed: RefCell<Passed>,
    pipes: Pipes,
    instances: Instances,
    timers: Timers,
    mirrors: Carried,
    spares: Spares,
    live: Live,
    traffic: Arc<Traffic>,
    draining: Cell<Option<Draining>>,
    measures: RefCell<InForce>,
    /// How often they have changed.
    measured: Cell<u32>,
}

/// The process is about to end: when, for its connections.
#[derive(Debug, Clone, Copy)]
pub struct Draining {
    /// When idle ones begin to be ended; `None`: never.
    pub soft: Option<Coarse>,
    /// Over which time their ends are spread.
    pub spread: Duration,
    /// When all are ended; `None`: never.
    pub hard: Option<Coarse>,
}

impl Worker {
    /// `pipes` is how many pipes of 1 MiB this worker may have at once; `is_asked` says whether somebody asks which
    /// connections it has; `traffic` is where it counts what they move.
    pub fn new(pipes: usize, is_asked: bool, traffic: Arc<Traffic>) -> Self {
        Self {
            buffer: RefCell::new(vec![0; BUFFER].into()),
            passed: RefCell::default(),
            pipes: Pipes::new(pipes),
            instances: Instances::default(),
            timers: Timers::default(),
            mirrors: Carried::default(),
            spares: Spares::default(),
            live: Live::new(is_asked),
            traffic,
            draining: Cell::new(None),
            measures: RefCell::default(),
            measured: Cell::new(0),
        }
    }

    /// Where bytes are read into: used between two waits, never across one.
    pub fn buffer(&self) -> RefMut<'_, [u8]> {
        RefMut::map(self.buffer.borrow_mut(), |buffer| &mut **buffer)
    }

    /// Where filters put what they let through; as short-lived as `buffer`.
    pub fn passed(&self) -> RefMut<'_, Passed> {
        self.passed.borrow_mut()
    }

    pub fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    pub fn mirrors(&self) -> &Carried {
        &self.mirrors
    }

    pub fn spares(&self) -> &Spares {
        &self.spares
    }

    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What its connections move is counted here while they do.
    #[inline]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What operators ask to be done to connections.
    pub fn measures(&self) -> InForce {
        Arc::clone(&self.measures.borrow())
    }

    /// Another number whenever there are other measures. Looked at in each turn of each connection.
    #[inline]
    pub fn measured(&self) -> u32 {
        self.measured.get()
    }

    /// Whether one of them is a capture.
    pub fn measures_capture(&self) -> bool {
        let measures = self.measures.borrow();
        measures.iter().any(|measure| !measure.regimen.captures().is_empty())
    }

    /// From now on it is these.
    pub fn measure(&self, measures: InForce) {
        *self.measures.borrow_mut() = measures;
        self.measured.set(self.measured.get().wrapping_add(1));
        self.live.wake_all();
    }

    pub fn draining(&self) -> Option<Draining> {
        self.draining.get()
    }

    /// From now on connections have an end in sight.
    pub fn drain(&self, draining: Draining) {
        self.draining.set(Some(draining));
        self.spares.clear();
        self.timers.wake_all();
    }
}

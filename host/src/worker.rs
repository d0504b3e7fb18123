//! What one worker thread owns: nothing of it is shared, so nothing of it is locked.

use std::cell::{Cell, RefCell, RefMut};

use tokio::sync::Notify;

use crate::filter::Instances;
use crate::sys::Pipes;

/// The size of the buffer that every copy of a worker goes through. A larger one no longer fits the second-level cache; a
/// smaller one fills so often that a lane takes a moderate message for bulk.
pub const BUFFER: usize = 64 << 10;

pub struct Worker {
    buffer: RefCell<Box<[u8]>>,
    passed: RefCell<Vec<u8>>,
    pipes: Pipes,
    instances: Instances,
    connections: Cell<usize>,
    idle: Notify,
}

impl Worker {
    /// `pipes` is how many pipes of 1 MiB this worker may have at once.
    pub fn new(pipes: usize) -> Self {
        Self {
            buffer: RefCell::new(vec![0; BUFFER].into()),
            passed: RefCell::default(),
            pipes: Pipes::new(pipes),
            instances: Instances::default(),
            connections: Cell::new(0),
            idle: Notify::new(),
        }
    }

    /// Where bytes are read into: used between two waits, never across one.
    pub fn buffer(&self) -> RefMut<'_, [u8]> {
        RefMut::map(self.buffer.borrow_mut(), |buffer| &mut **buffer)
    }

    /// Where filters put what they let through; as short-lived as `buffer`.
    pub fn passed(&self) -> RefMut<'_, Vec<u8>> {
        self.passed.borrow_mut()
    }

    pub fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Counts a connection for as long as the guard lives.
    pub fn count(&self) -> Counted<'_> {
        self.connections.set(self.connections.get() + 1);
        Counted(self)
    }

    /// Waits until there is no connection.
    pub async fn idle(&self) {
        while self.connections.get() > 0 {
            self.idle.notified().await;
        }
    }
}

pub struct Counted<'a>(&'a Worker);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        if self.0.connections.get() == 0 {
            self.0.idle.notify_one();
        }
    }
}

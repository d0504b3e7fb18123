//! The connection that a request came by, for whoever answers it without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Every request has one, as an extension.
#[derive(Debug, Clone)]
pub struct Carrier {
    stays: Arc<AtomicBool>,
    stop: watch::Receiver<()>,
}

/// For as long as this lives, the connection does not make room for others.
#[derive(Debug)]
pub struct Staying(Carrier);

impl Carrier {
    pub(super) fn new(stop: watch::Receiver<()>) -> Self {
        Self {
            stays: Arc::default(),
            stop,
        }
    }

    pub(super) fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed)
    }

    pub fn stay(self) -> Staying {
        self.stays.store(true, Ordering::Relaxed);
        Staying(self)
    }
}

impl Staying {
    /// Returns when nothing more is answered.
    pub async fn stopped(&mut self) {
        let _ = self.0.stop.changed().await;
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        self.0.stays.store(false, Ordering::Relaxed);
    }
}

//! Notice to connections of a kind that they are not to stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::config::OnChange;
use crate::sys::Coarse;
use crate::worker::Draining;

/// What many connections look at: given once to all of them, and sometimes taken back.
#[derive(Debug, Default)]
pub struct Notice {
    /// Spares those who look at every wake-up the way to what is nearly never there.
    is_given: AtomicBool,
    draining: ArcSwapOption<Draining>,
}

impl Notice {
    /// When they have to end; `None`: not because of this.
    pub fn given(&self) -> Option<Draining> {
        if !self.is_given.load(Ordering::Relaxed) {
            return None;
        }
        self.draining.load().as_deref().copied()
    }

    /// Whoever waits for something else has yet to be woken.
    pub fn give(&self, draining: Draining) {
        self.draining.store(Some(Arc::new(draining)));
        self.is_given.store(true, Ordering::Relaxed);
    }

    /// As the operator wants it when a reload changes or removes what the connections came through.
    pub fn give_by(&self, fate: OnChange) {
        let now = Coarse::now();
        match fate {
            OnChange::Keep => {}
            OnChange::Drain(time) => self.give(Draining {
                soft: Some(now),
                spread: time / 5,
                hard: Some(now + time),
            }),
            OnChange::Kill => self.give(Draining {
                soft: None,
                spread: Duration::ZERO,
                hard: Some(now),
            }),
        }
    }

    pub fn take_back(&self) {
        self.is_given.store(false, Ordering::Relaxed);
        self.draining.store(None);
    }
}

//! A place where clients connect, and the listener that serves whoever comes now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Listener;

/// What the workers that accept at one address share. It stays where its listener changes: the sockets are the same.
pub struct Post {
    listener: ArcSwap<Listener>,
    closed: watch::Sender<bool>,
}

impl Post {
    pub fn new(listener: Arc<Listener>) -> Self {
        Self {
            listener: ArcSwap::new(listener),
            closed: watch::Sender::new(false),
        }
    }

    /// Of those who come now.
    pub fn listener(&self) -> Arc<Listener> {
        self.listener.load_full()
    }

    /// From now on, clients are this listener's. Connections keep the one that they have come to.
    pub fn hand_to(&self, listener: Arc<Listener>) {
        self.listener.store(listener);
    }

    /// Nothing more is accepted but what waits by now.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// For a worker that accepts here: becomes true when it is to stop.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }
}

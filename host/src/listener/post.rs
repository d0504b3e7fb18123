//! A place where clients connect, and the listener that serves whoever comes now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Listener;
use crate::handover::Offer;
use crate::sys::Peer;

/// What the workers that accept at one address share. It stays where its listener changes: the sockets are the same.
pub struct Post {
    listener: ArcSwap<Listener>,
    address: Peer,
    offer: Offer,
    closed: watch::Sender<bool>,
}

impl Post {
    pub fn new(listener: Arc<Listener>, address: Peer, offer: Offer) -> Self {
        Self {
            listener: ArcSwap::new(listener),
            address,
            offer,
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

    /// With the port that the kernel chose for port 0.
    pub fn address(&self) -> &Peer {
        &self.address
    }

    /// Its sockets, for the process that takes the place of this one.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Nothing more is accepted but what waits by now.
    pub fn close(&self) {
        self.offer.close();
        self.closed.send_replace(true);
    }

    /// For a worker that accepts here: becomes true when it is to stop.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }
}

//! What the proxy answers over HTTP, on a thread with a runtime of its own: nobody who asks waits for a worker, and no worker
//! waits for whoever asks.

mod accept;
mod carrier;
mod patient;

use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::config::ListenerConfig;
use crate::handover::Offer;
use crate::listener;
use crate::sys::Peer;
use accept::Listening;
pub use carrier::{Carrier, Staying};

/// An address at which nobody is answered yet.
pub struct Bound {
    socket: OwnedFd,
    address: Peer,
    offer: Offer,
}

/// How much whoever asks may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Connections at once. One more takes the place of the oldest, which has had the most time to ask: so nobody keeps others
    /// out by asking slowly. Those that are answered without end are left alone: whoever answers so bounds how many there are.
    pub most: usize,
    /// How long the head of a request may take, and how long a peer may take nothing of what it is answered; where there is one
    /// request alone, until its answer has been taken.
    pub patience: Duration,
    /// Bytes of a request's head. hyper takes no less than 8 KiB for a bound.
    pub longest_head: usize,
    /// Whether a connection may ask again.
    pub keep_alive: bool,
}

/// Answers until it is dropped; what was asked by then is still answered.
pub struct Service {
    address: Peer,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bound {
    /// Errors call it by `whom` it is for. What matters of `config` is the address, and its socket file.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or may not be bound.
    pub fn new(whom: &str, config: &ListenerConfig) -> anyhow::Result<Self> {
        let (sockets, address) = listener::bind_for(whom, config, 1)?;
        let offer = Offer::new(whom, &config.address, &sockets)?;
        let socket = sockets.into_iter().next().context("no socket to answer at")?;
        Ok(Self { socket, address, offer })
    }

    /// The socket of somebody who answers there, or did.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn again(offer: &Offer, address: &Peer) -> anyhow::Result<Self> {
        let sockets = offer.sockets()?;
        let (_, socket) = sockets.into_iter().next().context("no socket to answer at")?;
        Ok(Self {
            socket,
            address: address.clone(),
            offer: offer.clone(),
        })
    }

    /// Its socket, for the process that takes the place of this one.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

impl Service {
    /// Answers on a thread of that name.
    ///
    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(name: &'static str, bound: Bound, terms: Terms, answers: Router) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let (started, starting) = channel();
        let Bound { socket, address, .. } = bound;
        let is_unix = matches!(address, Peer::Unix(_));
        let serve = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = runtime.and_then(|runtime| {
                let listening = Listening::new(socket, is_unix, &runtime)?;
                Ok((runtime, listening))
            });
            match runtime {
                Ok((runtime, listening)) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(listening.serve(answers, terms, stopped));
                    // Without waiting for what was asked last: it may be a compiler's work.
                    runtime.shutdown_background();
                }
                Err(error) => _ = started.send(Err(error)),
            }
        };
        let failed = || format!("cannot start the thread that serves {name}");
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .with_context(failed)?;
        starting.recv()?.with_context(failed)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// With the port that the kernel chose for port 0.
    pub fn address(&self) -> &Peer {
        &self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

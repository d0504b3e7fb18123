//! What router filters and a client say to each other before there is an upstream.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use super::find;
use super::options::{Asked, asked};
use crate::connection::Accepted;
use crate::filter::{Attribute, Decision, Facts, Generation, Stop, Window, ask, blame};
use crate::sys::{Coarse, Stream};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// The most that is held of a client's bytes before its upstream is chosen: the largest ClientHello in practice, and more
/// than any other protocol's first message.
const WINDOW: usize = 16 << 10;

/// Exchanges that one filter may have with one client. STARTTLS, SOCKS and PostgreSQL need two or three.
const MOST_EXCHANGES: u32 = 16;

pub(super) struct Dialogue<'a> {
    worker: &'a Worker,
    accepted: &'a Accepted,
    window: Window,
    deadline: Option<Coarse>,
}

/// What a router decided.
pub(super) struct Chosen {
    pub upstream: Arc<Upstream>,
    /// What it has otherwise than the listener and the upstream.
    pub asked: Asked,
}

/// Why a dialogue ended without a route.
pub(super) enum End {
    Stopped(Stop),
    /// The client's socket failed.
    Failed,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(worker: &'a Worker, accepted: &'a Accepted) -> Self {
        let window = Window {
            bytes: Vec::new(),
            round: 0,
            finished: false,
            timed_out: false,
            full: false,
        };
        Self {
            worker,
            accepted,
            window,
            deadline: None,
        }
    }

    /// What was read and not consumed: it belongs to the upstream.
    pub(super) fn into_seen(self) -> Vec<u8> {
        self.window.bytes
    }

    /// What the first router with an opinion chose.
    pub(super) async fn ask_routers(&mut self) -> Result<Option<Chosen>, End> {
        let Some(facts) = &self.accepted.facts else {
            return Ok(None);
        };
        // All routers together have one deadline, which runs while a client is waited for.
        self.deadline = self.accepted.listener.timeouts.route.map(|limit| Coarse::now() + limit);
        for generation in self
            .accepted
            .generations
            .iter()
            .filter(|generation| generation.is_router())
        {
            self.window.round = 0;
            if let Some(chosen) = self.ask_router(generation, facts).await? {
                return Ok(Some(chosen));
            }
        }
        Ok(None)
    }

    async fn ask_router(&mut self, generation: &Arc<Generation>, facts: &Arc<Facts>) -> Result<Option<Chosen>, End> {
        loop {
            let decision = ask(self.worker.instances(), generation, facts, &self.window).map_err(End::Stopped)?;
            let complaint = match decision {
                Decision::Pass => return Ok(None),
                // There will be no more: it had its chance to decide on what there is.
                Decision::Need(_) if self.is_over() => return Ok(None),
                Decision::Need(more) => {
                    self.read(more).await?;
                    continue;
                }
                Decision::Exchange { consume, reply } => match self.exchange(consume, &reply).await? {
                    None => continue,
                    Some(complaint) => complaint,
                },
                Decision::Route { upstream, options } => match self.chosen(&upstream, &options) {
                    Ok(chosen) => return Ok(Some(chosen)),
                    Err(complaint) => complaint,
                },
            };
            blame(generation, facts, complaint).map_err(End::Stopped)?;
            return Ok(None);
        }
    }

    /// Or what the contract forbids about it.
    fn chosen(&self, name: &str, options: &[Attribute]) -> Result<Chosen, String> {
        let missing = || format!("it chose the upstream \"{name}\", which the configuration does not have");
        Ok(Chosen {
            upstream: find(&self.accepted.listener, name).ok_or_else(missing)?,
            asked: asked(options)?,
        })
    }

    fn is_over(&self) -> bool {
        self.window.finished || self.window.timed_out || self.window.full
    }

    /// Waits for `more` bytes than there are, or until there will be no more.
    async fn read(&mut self, more: usize) -> Result<(), End> {
        let wanted = self.window.bytes.len().saturating_add(more);
        while self.window.bytes.len() < wanted && !self.is_over() {
            if self.window.bytes.len() >= WINDOW {
                self.window.full = true;
                return Ok(());
            }
            let reading = read_some(self.worker, &self.accepted.socket, &mut self.window.bytes);
            match in_time(self.worker, self.deadline, reading).await {
                None => self.window.timed_out = true,
                Some(Ok(0)) => self.window.finished = true,
                Some(Ok(_)) => {}
                Some(Err(_)) => return Err(End::Failed),
            }
        }
        Ok(())
    }

    /// Consumes and replies; or says what the contract forbids about it.
    async fn exchange(&mut self, consume: usize, reply: &[u8]) -> Result<Option<String>, End> {
        let there = self.window.bytes.len();
        if consume > there {
            return Ok(Some(format!(
                "it consumed {consume} bytes of the {there} that there are"
            )));
        }
        if self.window.round >= MOST_EXCHANGES {
            return Ok(Some(format!(
                "it had {MOST_EXCHANGES} exchanges with the client and wants another"
            )));
        }
        self.window.bytes.drain(..consume);
        self.window.full = false;
        self.window.round += 1;
        let writing = write(&self.accepted.socket, reply);
        match in_time(self.worker, self.deadline, writing).await {
            Some(Ok(())) => Ok(None),
            Some(Err(_)) => Err(End::Failed),
            None => {
                self.window.timed_out = true;
                Ok(None)
            }
        }
    }
}

/// Reads what is there, up to a full window. The client's end is looked at and not consumed: the relay meets it again.
async fn read_some(worker: &Worker, client: &Stream, window: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut buffer = worker.buffer();
        let room = WINDOW - window.len();
        let read = client.poll_recv(cx, &mut buffer[..room]);
        read.map_ok(|bytes| {
            window.extend_from_slice(&buffer[..bytes]);
            bytes
        })
    })
    .await
}

async fn write(client: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = poll_fn(|cx| client.poll_send(cx, bytes)).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// `None` where the deadline came first.
async fn in_time<T>(worker: &Worker, deadline: Option<Coarse>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => worker.timers().before(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

//! What router filters and a client say to each other before there is an upstream.

use std::mem;
use std::sync::Arc;

use super::find;
use super::options::{Asked, asked};
use crate::config::TlsStart;
use crate::connection::{self, Accepted, Answer, Doing, Here, Note, Outcome, micros_since};
use crate::detect::{self, Found, Sight};
use crate::filter::{Attribute, Decision, Facts, Generation, Stop, Window, ask, blame};
use crate::sys::Coarse;
use crate::tls::Terminator;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// The most that is held of a client's bytes before its upstream is chosen: the largest ClientHello in practice, and more
/// than any other protocol's first message.
pub const WINDOW: usize = 16 << 10;

/// Exchanges that one filter may have with one client. STARTTLS, SOCKS and PostgreSQL need two or three.
pub const MOST_EXCHANGES: u32 = 16;

pub(super) struct Dialogue<'a> {
    worker: &'a Worker,
    here: &'a Here,
    accepted: Box<Accepted>,
    window: Window,
    sight: Sight,
    /// What filters know of the window.
    found: Option<Found>,
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
    /// It is over already.
    Over(Outcome),
}

impl<'a> Dialogue<'a> {
    /// With a client that has sent `seen` so far, and perhaps its end.
    pub(super) fn new(
        worker: &'a Worker,
        here: &'a Here,
        accepted: Box<Accepted>,
        seen: Vec<u8>,
        finished: bool,
    ) -> Self {
        let window = Window {
            bytes: seen,
            round: 0,
            finished,
            timed_out: false,
            full: false,
        };
        Self {
            worker,
            here,
            sight: accepted.listener.sight(),
            found: None,
            accepted,
            window,
            deadline: None,
        }
    }

    /// The connection, and what was read of it and not consumed: that belongs to the upstream.
    pub(super) fn into_parts(self) -> (Box<Accepted>, Vec<u8>) {
        (self.accepted, self.window.bytes)
    }

    /// What the first router with an opinion chose.
    pub(super) async fn ask_routers(&mut self) -> Result<Option<Chosen>, End> {
        let Some(facts) = self.accepted.facts.clone() else {
            return Ok(None);
        };
        let generations = self.accepted.generations.iter().enumerate();
        let routers: Vec<(u8, _)> = generations
            .filter(|(_, generation)| generation.is_router())
            .map(|(filter, generation)| (filter.try_into().unwrap_or(u8::MAX), Arc::clone(generation)))
            .collect();
        if routers.is_empty() {
            return Ok(None);
        }
        let may_start = |tls: &Arc<Terminator>| tls.config().start != TlsStart::AtOnce;
        let can_have_tls = self.accepted.socket.session().is_none();
        facts.offer_tls(can_have_tls && self.accepted.listener.tls.as_ref().is_some_and(may_start));
        // All routers together have one deadline, which runs while a client is waited for.
        self.deadline = self.accepted.listener.timeouts.route.map(|limit| Coarse::now() + limit);
        for (filter, generation) in &routers {
            self.window.round = 0;
            let began = self.here.clock();
            let (answer, chosen) = self.ask_router(*filter, generation, &facts).await?;
            self.here.note(|| {
                Note::Asked(connection::Asked {
                    filter: *filter,
                    answer,
                    exchanges: self.window.round.try_into().unwrap_or(u8::MAX),
                    micros: micros_since(began),
                })
            });
            if chosen.is_some() {
                return Ok(chosen);
            }
        }
        Ok(None)
    }

    async fn ask_router(
        &mut self,
        filter: u8,
        generation: &Arc<Generation>,
        facts: &Arc<Facts>,
    ) -> Result<(Answer, Option<Chosen>), End> {
        loop {
            self.here.does(Doing::Router { filter, seen: 0 });
            self.here.has_seen(self.window.bytes.len());
            self.look(facts);
            let decision = ask(self.worker.instances(), generation, facts, &self.window).map_err(End::Stopped)?;
            let wants_tls = facts.take_request_for_tls();
            let complaint = match decision {
                Decision::Exchange { consume, reply } => match self.exchange(consume, &reply).await? {
                    None if wants_tls => {
                        self.start_tls(facts).await?;
                        continue;
                    }
                    None => continue,
                    Some(complaint) => complaint,
                },
                _ if wants_tls => "it asked for TLS, and answered with something else than an exchange".to_owned(),
                Decision::Pass => return Ok((Answer::Passed, None)),
                // There will be no more: it had its chance to decide on what there is.
                Decision::Need(_) if self.is_over() => return Ok((Answer::TooLittle, None)),
                Decision::Need(more) => {
                    self.read(more).await?;
                    continue;
                }
                Decision::Route { upstream, options } => match self.chosen(&upstream, &options) {
                    Ok(chosen) => return Ok((Answer::Chose, Some(chosen))),
                    Err(complaint) => complaint,
                },
            };
            blame(generation, facts, complaint).map_err(End::Stopped)?;
            return Ok((Answer::Failed, None));
        }
    }

    /// Lets filters know what the window says of the connection.
    fn look(&mut self, facts: &Facts) {
        self.sight.look(&self.window.bytes);
        let found = self.sight.found(&self.window.bytes);
        if found != self.found {
            self.found.clone_from(&found);
            found.into_iter().for_each(|found| facts.learn(Arc::new(found)));
        }
    }

    /// What the client sends from now on is encrypted, and so is what it has sent behind what was consumed.
    async fn start_tls(&mut self, facts: &Facts) -> Result<(), End> {
        let Some(terminator) = self.accepted.listener.tls.clone() else {
            return Ok(());
        };
        let seen = mem::take(&mut self.window.bytes);
        let deadline = Coarse::now() + terminator.config().timeout;
        let secured = detect::secure(self.worker, &mut self.accepted, &terminator, seen, deadline).await;
        secured.map_err(End::Over)?;
        detect::learn(&self.accepted);
        facts.offer_tls(false);
        self.sight = self.accepted.listener.sight();
        self.window.finished = false;
        // The time that the handshake took is not the client's.
        self.deadline = self.accepted.listener.timeouts.route.map(|limit| Coarse::now() + limit);
        Ok(())
    }

    /// Or what the contract forbids about it.
    fn chosen(&self, name: &str, options: &[Attribute]) -> Result<Chosen, String> {
        let missing = || format!("it chose the upstream \"{name}\", which the configuration does not have");
        let upstream = find(&self.accepted.listener, name).ok_or_else(missing)?;
        let asked = asked(options)?;
        asked.prescription.check(&self.accepted.listener)?;
        Ok(Chosen { upstream, asked })
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
            self.here.has_seen(self.window.bytes.len());
            let reading = self
                .accepted
                .socket
                .read_into(self.worker, &mut self.window.bytes, WINDOW);
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
        let writing = self.accepted.socket.send_all(reply);
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

/// `None` where the deadline came first.
async fn in_time<T>(worker: &Worker, deadline: Option<Coarse>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => worker.timers().before(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

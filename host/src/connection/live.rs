//! The connections that a worker has now, for whoever asks. Present where there is somebody to ask.
//!
//! Nothing is written here on the way of the bytes. Who asks raises a flag that is the worker's, wakes the connections that he
//! asks about, and each of them says how far it is, or ends, at its next turn. What could not be found out then is noted on
//! its way, a few times in its life: [`super::notes`].

mod recent;
mod survey;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, yield_now};

use super::notes::{self, Choice, Doing, Note, micros_since};
use super::{Accepted, Routed, Stage};
use crate::filter::{Facts, Role, Watcher};
use crate::listener::Listener;
use crate::observe::Moved;
use crate::proxy_header::Identified;
use crate::relay::{Standing, Way};
use crate::sys::Peer;
use crate::tls::Established;
use crate::upstream::{Connected, Upstream};
pub use recent::Past;
use recent::Recent;
pub use survey::Survey;

/// How many connections are looked at before others have their turn: some 10 microseconds' worth.
const CHUNK: usize = 256;

/// How many turns connections have to answer. One is enough where they are in their queue before who asks is again.
const TURNS: usize = 4;

/// Empty while there is nobody to ask.
#[derive(Default)]
pub struct Live(OnceCell<Rc<Table>>);

#[derive(Default)]
struct Table {
    /// By their numbers, so that a page goes on where the one before ended, whatever has come and gone meanwhile.
    entries: RefCell<BTreeMap<u64, Rc<Entry>>>,
    /// How many are asking now.
    asking: Cell<u32>,
    /// Whoever has asked hears the answers before another asks the same ones.
    turn: Mutex<()>,
    /// Those that have ended.
    recent: RefCell<Recent>,
}

/// One connection. What is told of it once is told here too; the rest is asked for.
struct Entry {
    id: u64,
    table: Rc<Table>,
    listener: Arc<Listener>,
    client: Cell<Option<SocketAddr>>,
    started: Instant,
    stage: Cell<Stage>,
    upstream: OnceCell<Arc<Upstream>>,
    /// That it has, or that is asked whether it may have it.
    server: Cell<Option<Arc<Peer>>>,
    /// From the choice of an upstream until a server had answered.
    connect: Cell<Option<Duration>>,
    route: Cell<Option<u32>>,
    /// The generations that it keeps.
    filters: Box<[Kept]>,
    notes: RefCell<Vec<Note>>,
    doing: Cell<Doing>,
    choice: Cell<Choice>,
    /// Its server's answer was there before it was asked for.
    is_spare: Cell<bool>,
    /// How long its server took to answer, in microseconds.
    answer: Cell<u32>,
    /// Of its task, which has the same one for all of its life.
    waker: OnceCell<Waker>,
    task: OnceCell<AbortHandle>,
    /// Why somebody has ended it.
    killed: OnceCell<Box<str>>,
    /// Who asks wants to know why, too.
    is_traced: Cell<bool>,
    /// What it has said of itself since it was asked.
    said: Cell<Option<Box<Said>>>,
}

/// A filter that a connection began with.
struct Kept {
    filter: Arc<str>,
    generation: u64,
    /// It may want to see bytes.
    watches: bool,
}

struct Said {
    /// Up and down.
    moved: [Moved; 2],
    relaying: Option<Relaying>,
}

/// A connection's place in the table, for as long as this lives. Every connection keeps one: it is as small as can be.
#[derive(Default)]
pub struct Here(Option<Rc<Entry>>);

/// Which connections are asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub listener: Option<String>,
    pub upstream: Option<String>,
    pub client: Option<IpNet>,
    /// Those with higher numbers than this.
    pub after: u64,
    pub limit: usize,
}

/// What a connection is at this moment.
#[derive(Debug, Clone)]
pub struct Shown {
    pub id: u64,
    pub listener: Arc<str>,
    /// `None` on a unix socket.
    pub client: Option<SocketAddr>,
    pub age: Duration,
    pub stage: Stage,
    pub upstream: Option<Arc<str>>,
    pub server: Option<Arc<Peer>>,
    /// From the choice of an upstream until a server had answered.
    pub connect: Option<Duration>,
    pub route: Option<String>,
    /// Filters and their generations.
    pub filters: Box<[(Arc<str>, u64)]>,
    pub up: Moved,
    pub down: Moved,
    /// Where it was asked for.
    pub traced: Option<Box<Traced>>,
}

/// From what it is told why a connection goes as it does.
#[derive(Clone)]
pub struct Traced {
    pub listener: Arc<Listener>,
    pub upstream: Option<Arc<Upstream>>,
    /// That it has, or that is being tried.
    pub server: Option<Arc<Peer>>,
    /// The route that chose its upstream.
    pub route: Option<u32>,
    /// Of its filters, in their order: whether they may watch.
    pub watches: Vec<bool>,
    pub notes: Vec<Note>,
    pub doing: Doing,
    pub choice: Choice,
    pub is_spare: bool,
    /// How long its server took to answer.
    pub answer: Duration,
    /// Where it has a server.
    pub relaying: Option<Relaying>,
}

impl std::fmt::Debug for Traced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traced")
            .field("notes", &self.notes)
            .field("doing", &self.doing)
            .field("relaying", &self.relaying)
            .finish_non_exhaustive()
    }
}

/// How bytes go at this moment.
#[derive(Debug, Clone)]
pub struct Relaying {
    /// Up and down.
    pub ways: [Way; 2],
    pub watchers: Vec<Watcher>,
    /// Filters that have failed, and how the connection went on.
    pub failed: Vec<(Arc<str>, &'static str)>,
    /// With the client, and with the server.
    pub tls: [Option<Arc<Established>>; 2],
}

impl Live {
    /// A table, or none.
    pub fn new(is_asked: bool) -> Self {
        let live = Self::default();
        if is_asked {
            live.begin();
        }
        live
    }

    /// From now on somebody may ask: for the connections that begin from now on.
    pub fn begin(&self) {
        self.0.get_or_init(Rc::default);
    }

    pub fn enter(&self, accepted: &Accepted) -> Here {
        Here(self.0.get().map(|table| {
            let filters = accepted.generations.iter();
            let entry = Rc::new(Entry {
                id: accepted.id,
                table: Rc::clone(table),
                listener: Arc::clone(&accepted.listener),
                client: Cell::new(accepted.client),
                started: accepted.started,
                stage: Cell::new(Stage::Accept),
                upstream: OnceCell::new(),
                server: Cell::new(None),
                connect: Cell::new(None),
                route: Cell::new(None),
                filters: filters
                    .map(|generation| Kept {
                        filter: Arc::clone(generation.name()),
                        generation: generation.number(),
                        watches: generation.has_role(Role::Inspector) || generation.has_role(Role::Transformer),
                    })
                    .collect(),
                notes: RefCell::default(),
                doing: Cell::default(),
                choice: Cell::default(),
                is_spare: Cell::new(false),
                answer: Cell::new(0),
                waker: OnceCell::new(),
                task: OnceCell::new(),
                killed: OnceCell::new(),
                is_traced: Cell::new(false),
                said: Cell::new(None),
            });
            table.entries.borrow_mut().insert(entry.id, Rc::clone(&entry));
            entry
        }))
    }

    /// Has every connection look around.
    pub fn wake_all(&self) {
        let Some(table) = self.0.get() else { return };
        for entry in table.entries.borrow().values() {
            if let Some(waker) = entry.waker.get() {
                waker.wake_by_ref();
            }
        }
    }

    /// By which a connection is ended that has nothing yet to be reset.
    pub fn is_served_by(&self, id: u64, task: impl FnOnce() -> AbortHandle) {
        if let Some(entry) = self.get(id) {
            let _ = entry.task.set(task());
        }
    }

    /// Whether connections should look whether they are meant. Looked at in each turn of each connection, so it is the worker's,
    /// and not theirs.
    pub fn is_asking(&self) -> bool {
        self.0.get().is_some_and(|table| table.asking.get() > 0)
    }

    /// Those that the query asks for, in the order of their numbers.
    pub async fn list(&self, query: &Query) -> Vec<Shown> {
        let Some(table) = self.0.get() else {
            return Vec::new();
        };
        let found = table.find(query).await;
        let _turn = table.turn.lock().await;
        table.ask(&found).await;
        found.iter().map(|entry| entry.show()).collect()
    }

    /// One of them, and why it goes as it does.
    pub async fn show(&self, id: u64) -> Option<Shown> {
        let (table, entry) = (self.0.get()?, self.get(id)?);
        let _turn = table.turn.lock().await;
        entry.is_traced.set(true);
        table.ask(std::slice::from_ref(&entry)).await;
        entry.is_traced.set(false);
        Some(entry.trace())
    }

    /// Ends a connection, and returns what it was.
    pub async fn kill(&self, id: u64, reason: Box<str>) -> Option<Shown> {
        let (table, entry) = (self.0.get()?, self.get(id)?);
        // Of two who want it, the first has his reason told.
        let _ = entry.killed.set(reason);
        let _turn = table.turn.lock().await;
        table.ask(std::slice::from_ref(&entry)).await;
        // One that has a server has reset both of its sockets by now.
        if let Some(task) = entry.task.get() {
            task.abort();
        }
        Some(entry.show())
    }

    fn get(&self, id: u64) -> Option<Rc<Entry>> {
        self.0.get()?.entries.borrow().get(&id).cloned()
    }
}

impl Table {
    async fn find(&self, query: &Query) -> Vec<Rc<Entry>> {
        let mut found = Vec::new();
        let mut after = query.after;
        loop {
            let mut seen = 0;
            for (id, entry) in self.entries.borrow().range(after.saturating_add(1)..).take(CHUNK) {
                seen += 1;
                after = *id;
                if found.len() < query.limit && query.wants(entry) {
                    found.push(Rc::clone(entry));
                }
            }
            if seen < CHUNK || found.len() >= query.limit {
                return found;
            }
            yield_now().await;
        }
    }

    /// Wakes those that are asked, and waits until they have had their turn.
    async fn ask(&self, asked: &[Rc<Entry>]) {
        self.asking.set(self.asking.get() + 1);
        for entry in asked {
            entry.said.set(None);
            if let Some(waker) = entry.waker.get() {
                waker.wake_by_ref();
            }
        }
        for _ in 0..TURNS {
            yield_now().await;
            if asked.iter().all(|entry| entry.has_answered()) {
                break;
            }
        }
        self.asking.set(self.asking.get() - 1);
    }
}

impl Query {
    fn wants(&self, entry: &Entry) -> bool {
        let is_from = |network: &IpNet| {
            let client = entry.client.get().map(|client| client.ip());
            client.is_some_and(|client| network.contains(&client))
        };
        let goes_to = |name: &String| entry.upstream.get().is_some_and(|upstream| **upstream.name() == **name);
        self.listener.as_ref().is_none_or(|name| *entry.listener.name == **name)
            && self.upstream.as_ref().is_none_or(goes_to)
            && self.client.as_ref().is_none_or(is_from)
    }
}

impl Entry {
    /// Nothing moves before there is a server.
    fn has_answered(&self) -> bool {
        let said = self.said.take();
        let answered = said.is_some() || self.stage.get() != Stage::Relay;
        self.said.set(said);
        answered
    }

    fn show(&self) -> Shown {
        self.shown(self.said.take().map(|said| said.moved))
    }

    fn trace(&self) -> Shown {
        let said = self.said.take().map(|said| (said.moved, said.relaying));
        let (moved, relaying) = said.unzip();
        let traced = Traced {
            listener: Arc::clone(&self.listener),
            upstream: self.upstream.get().cloned(),
            server: self.server(),
            route: self.route.get(),
            watches: self.filters.iter().map(|kept| kept.watches).collect(),
            notes: self.notes.borrow().clone(),
            doing: self.doing.get(),
            choice: self.choice.get(),
            is_spare: self.is_spare.get(),
            answer: Duration::from_micros(self.answer.get().into()),
            relaying: relaying.flatten(),
        };
        Shown {
            traced: Some(Box::new(traced)),
            ..self.shown(moved)
        }
    }

    fn shown(&self, moved: Option<[Moved; 2]>) -> Shown {
        let [up, down] = moved.unwrap_or_default();
        let name = |route: u32| self.listener.rules.name(route as usize).to_owned();
        Shown {
            id: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client.get(),
            age: self.started.elapsed(),
            stage: self.stage.get(),
            upstream: self.upstream.get().map(|upstream| Arc::clone(upstream.name())),
            // Before, it is not its own.
            server: self.server().filter(|_| self.stage.get() == Stage::Relay),
            connect: self.connect.get(),
            route: self.route.get().map(name),
            filters: self
                .filters
                .iter()
                .map(|kept| (Arc::clone(&kept.filter), kept.generation))
                .collect(),
            up,
            down,
            traced: None,
        }
    }

    fn server(&self) -> Option<Arc<Peer>> {
        let server = self.server.take();
        self.server.set(server.clone());
        server
    }
}

impl Here {
    /// The connection's task has begun.
    pub(super) fn begins(&self, waker: &Waker) {
        if let Some(entry) = &self.0 {
            let _ = entry.waker.set(waker.clone());
        }
    }

    /// The connection is asked how it stands. Returns whether it has to end.
    pub(super) fn is_to_end(&self, standing: &Standing<'_>, facts: Option<&Arc<Facts>>) -> bool {
        let Some(entry) = &self.0 else { return false };
        let relaying = || Relaying {
            ways: standing.ways(),
            watchers: standing.watchers(),
            failed: facts.map(|facts| facts.failed()).unwrap_or_default(),
            tls: [standing.client(), standing.upstream()]
                .map(|channel| Some(Arc::clone(channel.session()?.established()))),
        };
        entry.said.set(Some(Box::new(Said {
            moved: standing.moved(),
            relaying: entry.is_traced.get().then(relaying),
        })));
        entry.killed.get().is_some()
    }

    /// Why somebody has ended it, where somebody has.
    pub(super) fn killed(&self) -> Option<&str> {
        self.0.as_ref()?.killed.get().map(|reason| &**reason)
    }

    /// The clock, where somebody may ask how long something took.
    pub fn clock(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// What it waits for from now on.
    pub fn does(&self, doing: Doing) {
        if let Some(entry) = &self.0 {
            entry.doing.set(doing);
        }
    }

    /// So many bytes of what it waits for are there.
    pub fn has_seen(&self, bytes: usize) {
        let Some(entry) = &self.0 else { return };
        let seen = bytes.try_into().unwrap_or(u32::MAX);
        entry.doing.set(match entry.doing.get() {
            Doing::FirstBytes(_) => Doing::FirstBytes(seen),
            Doing::Router { filter, .. } => Doing::Router { filter, seen },
            other => other,
        });
    }

    /// Keeps what `note` says, where somebody may ask.
    pub fn note(&self, note: impl FnOnce() -> Note) {
        if let Some(entry) = &self.0 {
            let mut notes = entry.notes.borrow_mut();
            if notes.len() < notes::MOST {
                // Nearly all have one, or none.
                notes.reserve_exact(1);
                notes.push(note());
            }
        }
    }

    /// By what its server is chosen.
    pub fn chooses(&self, choice: impl FnOnce() -> Choice) {
        if let Some(entry) = &self.0 {
            entry.choice.set(choice());
        }
    }

    /// The server that is tried now.
    pub fn tries(&self, server: &Arc<Peer>, attempt: usize) {
        if let Some(entry) = &self.0 {
            entry.server.set(Some(Arc::clone(server)));
            entry.doing.set(Doing::Server(attempt.try_into().unwrap_or(u8::MAX)));
        }
    }

    /// A server has answered that was asked when it `began`; a spare connection's has before.
    pub fn was_answered(&self, began: Option<Instant>, is_spare: bool) {
        if let Some(entry) = &self.0 {
            entry.answer.set(micros_since(began));
            entry.is_spare.set(is_spare);
        }
    }

    /// From here on, the client is the one for whom a proxy came.
    pub(super) fn identified(&self, identified: &Identified) {
        if let Some(entry) = &self.0 {
            entry.client.set(identified.0.client);
        }
    }

    pub(super) fn inspects(&self) {
        self.is_at(Stage::Detect);
    }

    pub(super) fn inspected(&self) {
        self.is_at(Stage::Route);
    }

    pub(super) fn routed(&self, routed: &Routed) {
        self.is_at(Stage::Connect);
        if let Some(entry) = &self.0 {
            let _ = entry.upstream.set(Arc::clone(&routed.upstream));
            entry
                .route
                .set(routed.route.and_then(|route| u32::try_from(route).ok()));
        }
    }

    pub(super) fn connected(&self, connected: &Connected, took: Option<Duration>) {
        self.is_at(Stage::Relay);
        if let Some(entry) = &self.0 {
            entry.server.set(Some(Arc::clone(connected.place.server().peer())));
            entry.connect.set(took);
        }
    }

    /// The connection is over, and this is how it was.
    pub(super) fn ended(&self, past: impl FnOnce() -> Past) {
        if let Some(entry) = &self.0 {
            entry.table.recent.borrow_mut().add(past());
        }
    }

    fn is_at(&self, stage: Stage) {
        if let Some(entry) = &self.0 {
            entry.stage.set(stage);
            entry.doing.set(Doing::Nothing);
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if let Some(entry) = &self.0 {
            entry.table.entries.borrow_mut().remove(&entry.id);
        }
    }
}

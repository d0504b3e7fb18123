//! The connections that a worker has now, for whoever asks. Present where there is somebody to ask.
//!
//! Nothing is written here on the way of the bytes. Who asks raises a flag that is the worker's, wakes the connections that he
//! asks about, and each of them says how far it is, or ends, at its next turn.

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

use super::{Accepted, Routed, Stage};
use crate::listener::Listener;
use crate::observe::Moved;
use crate::proxy_header::Identified;
use crate::sys::Peer;
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
    server: OnceCell<Arc<Peer>>,
    /// How long it took until a server had answered.
    connect: Cell<Option<Duration>>,
    route: Cell<Option<u32>>,
    /// The generations that it keeps.
    filters: Box<[(Arc<str>, u64)]>,
    /// Of its task, which has the same one for all of its life.
    waker: OnceCell<Waker>,
    task: OnceCell<AbortHandle>,
    is_killed: Cell<bool>,
    /// What it has said of itself since it was asked, up and down.
    moved: Cell<Option<Box<[Moved; 2]>>>,
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
                server: OnceCell::new(),
                connect: Cell::new(None),
                route: Cell::new(None),
                filters: filters
                    .map(|generation| (Arc::clone(generation.name()), generation.number()))
                    .collect(),
                waker: OnceCell::new(),
                task: OnceCell::new(),
                is_killed: Cell::new(false),
                moved: Cell::new(None),
            });
            table.entries.borrow_mut().insert(entry.id, Rc::clone(&entry));
            entry
        }))
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

    pub async fn show(&self, id: u64) -> Option<Shown> {
        let (table, entry) = (self.0.get()?, self.get(id)?);
        let _turn = table.turn.lock().await;
        table.ask(std::slice::from_ref(&entry)).await;
        Some(entry.show())
    }

    /// Ends a connection, and returns what it was.
    pub async fn kill(&self, id: u64) -> Option<Shown> {
        let (table, entry) = (self.0.get()?, self.get(id)?);
        entry.is_killed.set(true);
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
            entry.moved.set(None);
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
        let moved = self.moved.take();
        let answered = moved.is_some() || self.stage.get() != Stage::Relay;
        self.moved.set(moved);
        answered
    }

    fn show(&self) -> Shown {
        let [up, down] = self.moved.take().map(|moved| *moved).unwrap_or_default();
        let name = |route: u32| self.listener.rules.name(route as usize).to_owned();
        Shown {
            id: self.id,
            listener: Arc::clone(&self.listener.name),
            client: self.client.get(),
            age: self.started.elapsed(),
            stage: self.stage.get(),
            upstream: self.upstream.get().map(|upstream| Arc::clone(upstream.name())),
            server: self.server.get().cloned(),
            connect: self.connect.get(),
            route: self.route.get().map(name),
            filters: self.filters.clone(),
            up,
            down,
        }
    }
}

impl Here {
    /// The connection's task has begun.
    pub(super) fn begins(&self, waker: &Waker) {
        if let Some(entry) = &self.0 {
            let _ = entry.waker.set(waker.clone());
        }
    }

    /// The connection is asked how much it has moved. Returns whether it has to end.
    pub(super) fn is_to_end(&self, up: Moved, down: Moved) -> bool {
        let Some(entry) = &self.0 else { return false };
        entry.moved.set(Some(Box::new([up, down])));
        entry.is_killed.get()
    }

    pub(super) fn is_killed(&self) -> bool {
        self.0.as_ref().is_some_and(|entry| entry.is_killed.get())
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
            let _ = entry.server.set(Arc::clone(connected.place.server().peer()));
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

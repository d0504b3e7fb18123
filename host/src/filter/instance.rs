//! One running copy of a filter: its memory, its limits, and the calls into it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceAny;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use super::abi::{inspector, lifecycle, observer, router};
use super::engine::{Permit, ticks};
use super::facts::Facts;
use super::failure::{Failure, Kind};
use super::generation::Generation;
use super::wasi::Wasi;
use crate::config::FilterLimits;
use crate::flow::Direction;
use crate::sys::thread_cpu_time;

pub(super) use super::abi::types::Directions;
pub(super) use inspector::exports::spliceway::filter::inspector::Verdict;
pub(super) use observer::exports::spliceway::filter::observer::{Closed as ClosedRecord, Moved as MovedRecord};
pub(super) use router::exports::spliceway::filter::router::Decision;
pub use router::exports::spliceway::filter::router::Window;

/// What host functions work with while an instance runs.
pub(super) struct State {
    pub generation: Arc<Generation>,
    /// The connection that the current call is about.
    pub facts: Option<Arc<Facts>>,
    pub limits: Limits,
    pub wasi: Option<Box<Wasi>>,
    /// The last thing that the guest said at the level `error` during the current call: when it traps, that is its panic message.
    pub last_words: Option<String>,
    /// How many log records the current call has made.
    pub logged: usize,
    /// For the current call: its limit, and the CPU time of this thread when the call was first found to be long.
    deadline: Deadline,
}

#[derive(Default)]
struct Deadline {
    limit: Duration,
    seen_at: Option<Duration>,
}

pub(super) struct Instance {
    guest: Guest,
    lifecycle: Option<lifecycle::LifecycleExport>,
    router: Option<router::RouterExport>,
    inspector: Option<inspector::InspectorExport>,
    observer: Option<observer::ObserverExport>,
    _permit: Permit,
}

/// The memory of an instance, and the door into it.
struct Guest {
    store: Store<State>,
    /// Set by the first failure: what follows a trap is undefined, so nothing is called again.
    failed: bool,
}

impl Instance {
    /// A fresh instance, configured: `init` has been called.
    pub fn new(generation: &Arc<Generation>, permit: Permit) -> Result<Self, Failure> {
        let linked = generation.linked();
        let mut store = Store::new(linked.pre.engine(), State::new(generation));
        store.limiter(|state| &mut state.limits);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().look_at_the_clock()));
        let limits = generation.limits();
        store.data_mut().deadline.limit = limits.init;
        store.set_epoch_deadline(ticks(limits.init / 2));

        let failed = |store: &mut Store<State>, error| store.data_mut().explain(error);
        let instance = linked
            .pre
            .instantiate(&mut store)
            .map_err(|error| failed(&mut store, error))?;
        macro_rules! load {
            ($role:ident) => {
                match &linked.roles.$role {
                    None => None,
                    Some(role) => match role.load(&mut store, &instance) {
                        Ok(role) => Some(role),
                        Err(error) => return Err(failed(&mut store, error)),
                    },
                }
            };
        }
        let mut new = Self {
            lifecycle: load!(lifecycle),
            router: load!(router),
            inspector: load!(inspector),
            observer: load!(observer),
            guest: Guest { store, failed: false },
            _permit: permit,
        };
        new.init(limits.init, generation.config())?;
        Ok(new)
    }

    fn init(&mut self, limit: Duration, config: &str) -> Result<(), Failure> {
        let Some(lifecycle) = &self.lifecycle else {
            return Ok(());
        };
        let guest = lifecycle.spliceway_filter_lifecycle();
        let answer = self.guest.call(None, limit, |store| guest.call_init(store, config))?;
        answer.map_err(|message| Failure::new(Kind::Init, message))
    }

    pub fn route(&mut self, facts: &Arc<Facts>, window: &Window) -> Result<Decision, Failure> {
        let router = self
            .router
            .as_ref()
            .ok_or_else(|| Failure::contract("it is no router"))?;
        let guest = router.spliceway_filter_router();
        let limit = self.guest.limits().call;
        self.guest
            .call(Some(facts), limit, |store| guest.call_route(store, window))
    }

    /// Begins a session, and asks what it wants to see.
    pub fn open_session(&mut self, facts: &Arc<Facts>) -> Result<(Session, Directions), Failure> {
        let inspector = self
            .inspector
            .as_ref()
            .ok_or_else(|| Failure::contract("it is no inspector"))?;
        let guest = inspector.spliceway_filter_inspector().session();
        let limit = self.guest.limits().call;
        self.guest.call(Some(facts), limit, |store| {
            let session = guest.call_constructor(&mut *store)?;
            let interest = guest.call_interest(store, session)?;
            Ok((Session(session), interest))
        })
    }

    pub fn on_bytes(
        &mut self,
        session: Session,
        facts: &Arc<Facts>,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
    ) -> Result<Verdict, Failure> {
        let inspector = self
            .inspector
            .as_ref()
            .ok_or_else(|| Failure::contract("it is no inspector"))?;
        let guest = inspector.spliceway_filter_inspector().session();
        let limit = self.guest.limits().call;
        self.guest.call(Some(facts), limit, |store| {
            guest.call_on_bytes(store, session.0, direction.into(), bytes, finished)
        })
    }

    /// Ends a session of an instance that others share. One that is alone in its instance is dropped with it.
    pub fn close_session(&mut self, session: Session) {
        let limit = self.guest.limits().call;
        // A destructor that fails has failed its instance, and the next session gets a fresh one.
        let _ = self.guest.call(None, limit, |store| session.0.resource_drop(store));
    }

    pub fn on_closed(&mut self, batch: &[ClosedRecord]) -> Result<(), Failure> {
        let observer = self
            .observer
            .as_ref()
            .ok_or_else(|| Failure::contract("it is no observer"))?;
        let guest = observer.spliceway_filter_observer();
        // Off the data path, and about many connections at once: the limit for work that is nobody's wait.
        let limit = self.guest.limits().init;
        self.guest.call(None, limit, |store| guest.call_on_closed(store, batch))
    }

    pub fn generation(&self) -> &Arc<Generation> {
        &self.guest.store.data().generation
    }

    pub fn has_failed(&self) -> bool {
        self.guest.failed
    }
}

impl Guest {
    fn limits(&self) -> FilterLimits {
        self.store.data().generation.limits()
    }

    /// Every call goes through here: it is about one connection, it has a limit, and the first failure is the last call.
    fn call<R>(
        &mut self,
        facts: Option<&Arc<Facts>>,
        limit: Duration,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        if self.failed {
            return Err(Failure::new(
                Kind::Trap,
                "another session of the same instance failed".to_owned(),
            ));
        }
        self.store.data_mut().enter(facts, limit);
        self.store.set_epoch_deadline(ticks(limit / 2));
        let answer = call(&mut self.store);
        let state = self.store.data_mut();
        state.facts = None;
        answer.map_err(|error| {
            self.failed = true;
            state.explain(error)
        })
    }
}

/// A session of an inspector: it means something to its own instance only.
#[derive(Clone, Copy)]
pub(super) struct Session(ResourceAny);

impl State {
    fn new(generation: &Arc<Generation>) -> Self {
        Self {
            generation: Arc::clone(generation),
            facts: None,
            limits: Limits {
                memory: usize::try_from(generation.limits().memory).unwrap_or(usize::MAX),
                exceeded: false,
            },
            wasi: generation.linked().wasi.then(|| Box::new(Wasi::new(generation))),
            last_words: None,
            logged: 0,
            deadline: Deadline::default(),
        }
    }

    fn enter(&mut self, facts: Option<&Arc<Facts>>, limit: Duration) {
        self.facts = facts.cloned();
        self.last_words = None;
        self.logged = 0;
        self.limits.exceeded = false;
        self.deadline = Deadline { limit, seen_at: None };
    }

    /// Called when a call has lasted for half of its limit, and again for each further half.
    ///
    /// A limit is CPU time: on a busy machine a worker may stand still in the middle of a call through no fault of the
    /// filter's. Reading that clock is a system call, too dear for every call, so it is first read when half of the time is
    /// gone by the wall clock, and the call is over when the thread has worked for the other half.
    fn look_at_the_clock(&mut self) -> UpdateDeadline {
        let half = self.deadline.limit / 2;
        let now = thread_cpu_time();
        let since = *self.deadline.seen_at.get_or_insert(now);
        if now.saturating_sub(since) >= half {
            return UpdateDeadline::Interrupt;
        }
        UpdateDeadline::Continue(ticks(half))
    }

    /// Turns wasmtime's error into ours, with what the guest said about it.
    fn explain(&mut self, error: wasmtime::Error) -> Failure {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Failure::new(Kind::Budget, format!("there is no room for another instance ({error})"));
        }
        let words = self.last_words.take().or_else(|| self.wasi.as_ref()?.last_words());
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::Interrupt) {
            let limit = self.deadline.limit;
            return Failure::new(
                Kind::Deadline,
                format!("a call took more than its {limit:?} of CPU time"),
            );
        }
        let mut message = match trap {
            Some(trap) => trap.to_string(),
            None => format!("{error:#}"),
        };
        if self.limits.exceeded {
            let memory = self.limits.memory;
            return Failure::new(
                Kind::Memory,
                format!("it wanted more than its {memory} bytes of memory ({message})"),
            );
        }
        if let Some(words) = words {
            message = format!("{words} ({message})");
        }
        Failure::new(Kind::Trap, message)
    }
}

/// What an instance may grow to.
pub(super) struct Limits {
    memory: usize,
    /// The current call was refused memory.
    exceeded: bool,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= maximum.unwrap_or(usize::MAX).min(self.memory);
        self.exceeded |= !granted;
        Ok(granted)
    }

    /// The pool bounds tables by itself.
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

//! One running copy of a filter: its memory, its limits, and the calls into it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceAny;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use super::abi::{inspector, lifecycle, observer, router, transformer};
use super::backtrace;
use super::engine::{Permit, ticks};
use super::facts::Facts;
use super::failure::{Failure, Kind};
use super::generation::Generation;
use super::tally::{Role, Tally};
use super::wasi::Wasi;
use crate::config::FilterLimits;
use crate::flow::Direction;
use crate::sys::{Coarse, thread_cpu_time};

pub(super) use super::abi::types::Directions;
pub(super) use inspector::exports::spliceway::filter::inspector::Verdict;
pub(super) use observer::exports::spliceway::filter::observer::{Closed as ClosedRecord, Moved as MovedRecord};
pub(super) use router::exports::spliceway::filter::router::Decision;
pub use router::exports::spliceway::filter::router::Window;
pub(super) use transformer::exports::spliceway::filter::transformer::{Next, Output};

/// What host functions work with while an instance runs.
pub(super) struct State {
    pub generation: Arc<Generation>,
    /// The connection that the current call is about.
    pub facts: Option<Arc<Facts>>,
    pub limits: Limits,
    pub wasi: Option<Box<Wasi>>,
    /// The last thing that the guest said at the level `error` during the current call: when it traps, that is its panic message.
    pub last_words: Option<String>,
    /// How many log records the current call has made, and how many of them count for no limit but its own.
    pub logged: usize,
    pub logs_besides: usize,
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
    transformer: Option<transformer::TransformerExport>,
    observer: Option<observer::ObserverExport>,
    begun: Coarse,
    /// Connections.
    served: u64,
}

/// The memory of an instance, and the door into it.
struct Guest {
    generation: Arc<Generation>,
    /// `None` after the first failure: what follows a trap is undefined, so nothing is called again, and what the instance has
    /// taken is given back at once, whoever still holds on to it.
    running: Option<Running>,
}

struct Running {
    store: Store<State>,
    /// Behind the store: whoever gets it next finds the memory free.
    _permit: Permit,
}

/// What one call may pass to us, in bytes: twice the most that it may answer with. What is refused here need not be copied
/// first, and one string of a guest's can be in a list a million times.
const MOST_PASSED: usize = 8 << 20;

impl Instance {
    /// A fresh instance, configured: `init` has been called.
    pub fn new(generation: &Arc<Generation>, permit: Permit) -> Result<Self, Failure> {
        let mut new = Self::unconfigured(generation, permit)?;
        new.init(generation.limits().init, generation.config())?;
        Ok(new)
    }

    /// The schema of the configuration that it takes, where it says one. Its `init` is not called.
    pub fn schema(generation: &Arc<Generation>, permit: Permit) -> Result<Option<String>, Failure> {
        let mut new = Self::unconfigured(generation, permit)?;
        let Some(lifecycle) = &new.lifecycle else {
            return Ok(None);
        };
        let guest = lifecycle.spliceway_filter_lifecycle();
        let limit = generation.limits().init;
        let schema = new
            .guest
            .call(None, None, limit, |store| guest.call_config_schema(store))?;
        Ok(Some(schema).filter(|schema| !schema.is_empty()))
    }

    fn unconfigured(generation: &Arc<Generation>, permit: Permit) -> Result<Self, Failure> {
        let linked = generation.linked();
        let mut store = Store::new(linked.pre.engine(), State::new(generation));
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(MOST_PASSED);
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
        Ok(Self {
            lifecycle: load!(lifecycle),
            router: load!(router),
            inspector: load!(inspector),
            transformer: load!(transformer),
            observer: load!(observer),
            guest: Guest {
                generation: Arc::clone(generation),
                running: Some(Running { store, _permit: permit }),
            },
            begun: Coarse::now(),
            served: 0,
        })
    }

    fn init(&mut self, limit: Duration, config: &str) -> Result<(), Failure> {
        let Some(lifecycle) = &self.lifecycle else {
            return Ok(());
        };
        let guest = lifecycle.spliceway_filter_lifecycle();
        let answer = self
            .guest
            .call(None, None, limit, |store| guest.call_init(store, config))?;
        answer.map_err(|message| Failure::new(Kind::Init, cut(message)))
    }

    pub fn route(&mut self, facts: &Arc<Facts>, window: &Window) -> Result<Decision, Failure> {
        let router = exported(&self.router, Role::Router)?;
        // A connection is asked about again after each exchange.
        self.served += u64::from(window.round == 0);
        let guest = router.spliceway_filter_router();
        let limit = self.guest.limits().call;
        self.guest.call(Some(Role::Router), Some(facts), limit, |store| {
            guest.call_route(store, window)
        })
    }

    /// Begins a session as an inspector or as a transformer, and asks what it wants to see.
    pub fn open_session(&mut self, role: Role, facts: &Arc<Facts>) -> Result<(Session, Directions), Failure> {
        self.served += 1;
        let limit = self.guest.limits().call;
        macro_rules! open {
            ($session:expr) => {{
                let guest = $session;
                self.guest.call(Some(role), Some(facts), limit, |store| {
                    let session = guest.call_constructor(&mut *store)?;
                    let interest = guest.call_interest(store, session)?;
                    Ok((Session(session), interest))
                })
            }};
        }
        match (role, &self.inspector, &self.transformer) {
            (Role::Inspector, Some(inspector), _) => open!(inspector.spliceway_filter_inspector().session()),
            (Role::Transformer, _, Some(transformer)) => open!(transformer.spliceway_filter_transformer().session()),
            (role, _, _) => Err(Failure::contract(format!("it is no {}", role.name()))),
        }
    }

    pub fn on_bytes(
        &mut self,
        session: Session,
        facts: &Arc<Facts>,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
    ) -> Result<Verdict, Failure> {
        let inspector = exported(&self.inspector, Role::Inspector)?;
        let guest = inspector.spliceway_filter_inspector().session();
        let limit = self.guest.limits().call;
        self.guest.call(Some(Role::Inspector), Some(facts), limit, |store| {
            guest.call_on_bytes(store, session.0, direction.into(), bytes, finished)
        })
    }

    pub fn transform(
        &mut self,
        session: Session,
        facts: &Arc<Facts>,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
    ) -> Result<Output, Failure> {
        let transformer = exported(&self.transformer, Role::Transformer)?;
        let guest = transformer.spliceway_filter_transformer().session();
        let limit = self.guest.limits().call;
        self.guest.call(Some(Role::Transformer), Some(facts), limit, |store| {
            guest.call_on_bytes(store, session.0, direction.into(), bytes, finished)
        })
    }

    /// Ends a session of an instance that others share. One that is alone in its instance is dropped with it.
    pub fn close_session(&mut self, session: Session) {
        if self.has_failed() {
            return;
        }
        let limit = self.guest.limits().call;
        let closed = self
            .guest
            .call(None, None, limit, |store| session.0.resource_drop(store));
        // Its connection has ended; a destructor that fails has failed its instance, and the next session gets a fresh one.
        if let Err(failure) = closed {
            self.generation().failed(failure.kind);
            failure.log(self.generation(), None, "pass");
        }
    }

    pub fn on_closed(&mut self, batch: &[ClosedRecord]) -> Result<(), Failure> {
        let observer = exported(&self.observer, Role::Observer)?;
        let guest = observer.spliceway_filter_observer();
        // Off the data path, and about many connections at once: the limit for work that is nobody's wait.
        let limit = self.guest.limits().init;
        self.served += batch.len() as u64;
        self.guest.call(Some(Role::Observer), None, limit, |store| {
            store.data_mut().logs_besides = batch.len();
            guest.call_on_closed(store, batch)
        })
    }

    pub fn generation(&self) -> &Arc<Generation> {
        &self.guest.generation
    }

    pub fn has_failed(&self) -> bool {
        self.guest.running.is_none()
    }

    /// Whether it has served for long enough: it gets no new connections.
    pub fn is_spent(&self) -> bool {
        let config = self.generation().terms();
        let retire = &config.retire;
        let used = self
            .guest
            .running
            .as_ref()
            .map_or(0, |running| running.store.data().limits.used);
        retire.age.is_some_and(|most| Coarse::now().since(self.begun) >= most)
            || retire.sessions.is_some_and(|most| self.served >= most)
            || used as u64 >= retire.watermark(config.limits.memory)
    }
}

/// What it needs to have to be asked as this.
fn exported<T>(export: &Option<T>, role: Role) -> Result<&T, Failure> {
    let missing = || Failure::contract(format!("it is no {}", role.name()));
    export.as_ref().ok_or_else(missing)
}

impl Guest {
    fn limits(&self) -> FilterLimits {
        self.generation.limits()
    }

    /// Every call goes through here: it is about one connection, it has a limit, and the first failure is the last call.
    /// It is counted where it is one of a role's.
    fn call<R>(
        &mut self,
        role: Option<Role>,
        facts: Option<&Arc<Facts>>,
        limit: Duration,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let Some(Running { store, .. }) = &mut self.running else {
            return Err(Failure::new(
                Kind::Trap,
                "another session of the same instance failed".to_owned(),
            ));
        };
        let began = role.and_then(|role| store.data().generation.tally().call(role));
        store.data_mut().enter(facts, limit);
        store.set_epoch_deadline(ticks(limit / 2));
        let answer = call(store);
        let state = store.data_mut();
        state.facts = None;
        if let Some(began) = began {
            state.generation.tally().took(began.elapsed());
        }
        let answer = answer.map_err(|error| state.explain(error));
        if answer.is_err() {
            self.running = None;
        }
        answer
    }
}

/// A session of an inspector or a transformer: it means something to its own instance only.
#[derive(Clone, Copy)]
pub(super) struct Session(ResourceAny);

impl State {
    fn new(generation: &Arc<Generation>) -> Self {
        Self {
            generation: Arc::clone(generation),
            facts: None,
            limits: Limits::new(generation.limits().memory, generation.tally()),
            wasi: generation.linked().wasi.then(|| Box::new(Wasi::new(generation))),
            last_words: None,
            logged: 0,
            logs_besides: 0,
            deadline: Deadline::default(),
        }
    }

    fn enter(&mut self, facts: Option<&Arc<Facts>>, limit: Duration) {
        self.facts = facts.cloned();
        self.last_words = None;
        self.logged = 0;
        self.logs_besides = 0;
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
        if now.saturating_sub(since) + JITTER >= half {
            return UpdateDeadline::Interrupt;
        }
        // One less than from anywhere: a tick has just passed.
        UpdateDeadline::Continue(ticks(half) - 1)
    }

    /// Turns wasmtime's error into ours, with what the guest said about it, and where it was.
    fn explain(&mut self, error: wasmtime::Error) -> Failure {
        let (kind, message) = self.reason(&error);
        Failure {
            backtrace: backtrace::of(&error),
            ..Failure::new(kind, cut(message))
        }
    }

    fn reason(&mut self, error: &wasmtime::Error) -> (Kind, String) {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return (Kind::Budget, format!("there is no room for another instance ({error})"));
        }
        let words = self.last_words.take().or_else(|| self.wasi.as_ref()?.last_words());
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::Interrupt) {
            let limit = self.deadline.limit;
            return (
                Kind::Deadline,
                format!("a call took more than its {limit:?} of CPU time"),
            );
        }
        let mut message = trap.map_or_else(|| backtrace::message(error), ToString::to_string);
        if self.limits.exceeded {
            let memory = self.limits.memory;
            return (
                Kind::Memory,
                format!("it wanted more than its {memory} bytes of memory ({message})"),
            );
        }
        if let Some(words) = words {
            message = format!("{words} ({message})");
        }
        (Kind::Trap, message)
    }
}

/// What is kept of what a guest says about its failure.
fn cut(mut message: String) -> String {
    const LONGEST: usize = 4 << 10;
    message.truncate(message.floor_char_boundary(LONGEST));
    message
}

/// A thread that has worked all the time between two ticks may have worked so much less than they are apart: the ticker
/// wakes late now and then. Without it, every other limit would last a tick longer.
const JITTER: Duration = Duration::from_millis(1);

/// What an instance may grow to, all its memories together, and what they have. Counted for as long as it lives.
pub(super) struct Limits {
    memory: usize,
    used: usize,
    /// The current call was refused memory.
    exceeded: bool,
    tally: Arc<Tally>,
}

impl Limits {
    fn new(memory: u64, tally: &Arc<Tally>) -> Self {
        let tally = Arc::clone(tally);
        tally.instances(1);
        Self {
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            used: 0,
            exceeded: false,
            tally,
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.tally.instances(-1);
        self.tally.memory(-signed(self.used));
    }
}

/// Memory is at most some megabytes.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl ResourceLimiter for Limits {
    /// What is granted counts as used, also where the machine then has none to give: `memory_grow_failed` does not say by how
    /// much a memory did not grow, and is called for growths that were never granted too.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let granted = maximum.is_none_or(|maximum| desired <= maximum) && more <= self.memory.saturating_sub(self.used);
        if granted {
            self.tally.memory(signed(more));
            self.used += more;
        }
        self.exceeded |= !granted;
        Ok(granted)
    }

    /// The pool bounds tables by itself.
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_an_instance_share_one_limit() {
        let tally = Arc::default();
        let mut limits = Limits::new(100, &tally);
        let mut grow = |from, to, maximum| limits.memory_growing(from, to, maximum).unwrap();
        assert!(grow(0, 60, None), "the first memory begins");
        assert!(grow(0, 20, None), "the second one begins");
        assert!(!grow(0, 21, None), "no room for a third one of this size");
        assert!(!grow(20, 30, Some(25)), "more than its type allows");
        assert!(grow(60, 80, None), "the first one grows");
        assert!(!grow(20, 21, None), "which leaves the second one nothing");
        assert!(limits.exceeded);
        assert_eq!((tally.totals().instances, tally.totals().memory), (1, 100));
        drop(limits);
        assert_eq!((tally.totals().instances, tally.totals().memory), (0, 0));
    }
}

//! A worker's instances: who gets one of its own, who shares, and when one has served for long enough.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::failure::{Failure, Kind};
use super::generation::Generation;
use super::instance::{Decision, Directions, Instance, Output, Session, Verdict, Window};
use super::tally::Role;
use crate::config::AtBudget;
use crate::flow::Direction;
use crate::sys::Coarse;

/// The instances that more than one connection of this worker uses: one per filter for routing, and one that is being
/// filled with sessions. Everything here belongs to a filter's newest generation; an older one's instances live in their
/// sessions alone, so that they go with the last of them.
#[derive(Default)]
pub struct Instances {
    routers: RefCell<Vec<Shared>>,
    watchers: RefCell<Vec<Shared>>,
    /// Filters that have just used up the time of a call, and until when they let others go first.
    overdue: RefCell<Vec<(Arc<str>, Coarse)>>,
    /// Sessions that had to share since `said`, when that was last logged.
    crowded: Cell<u64>,
    said: Cell<Option<Coarse>>,
}

#[derive(Clone)]
struct Shared {
    generation: Arc<Generation>,
    instance: Rc<RefCell<Instance>>,
    sessions: u32,
}

/// A session of one connection with one inspector or transformer.
pub(super) struct OpenSession {
    instance: Rc<RefCell<Instance>>,
    session: Session,
    shared: bool,
}

impl Instances {
    /// Asks a router. It is stateless, so one instance per worker answers for all connections.
    pub(super) fn route(
        &self,
        generation: &Arc<Generation>,
        facts: &Arc<Facts>,
        window: &Window,
    ) -> Result<Decision, Failure> {
        let instance = self.router(generation)?;
        let answer = instance.borrow_mut().route(facts, window);
        if answer.is_err() {
            self.routers
                .borrow_mut()
                .retain(|shared| !Rc::ptr_eq(&shared.instance, &instance));
        }
        answer
    }

    fn router(&self, generation: &Arc<Generation>) -> Result<Rc<RefCell<Instance>>, Failure> {
        let mut routers = self.routers.borrow_mut();
        let known = routers
            .iter()
            .find(|shared| Arc::ptr_eq(&shared.generation, generation));
        if let Some(shared) = known
            && shared.may_serve()
        {
            return Ok(Rc::clone(&shared.instance));
        }
        let instance = own_instance(generation)?;
        if generation.is_current() {
            routers.retain(Shared::may_serve);
            routers.push(Shared {
                generation: Arc::clone(generation),
                instance: Rc::clone(&instance),
                sessions: 0,
            });
        }
        Ok(instance)
    }

    /// Begins a session: in an instance of its own, in one that still has room, or, when the machine affords no more
    /// instances, in any that there is.
    pub(super) fn open(
        &self,
        generation: &Arc<Generation>,
        role: Role,
        facts: &Arc<Facts>,
    ) -> Result<(OpenSession, Directions), Failure> {
        let (instance, shared) = self.watcher(generation)?;
        let (session, interest) = instance.borrow_mut().open_session(role, facts)?;
        let open = OpenSession {
            instance,
            session,
            shared,
        };
        Ok((open, interest))
    }

    fn watcher(&self, generation: &Arc<Generation>) -> Result<(Rc<RefCell<Instance>>, bool), Failure> {
        let room = generation.sessions_per_instance();
        let may_share = generation.terms().at_budget == AtBudget::Share;
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(Shared::may_serve);
        let known = watchers
            .iter_mut()
            .find(|shared| Arc::ptr_eq(&shared.generation, generation));
        if let Some(shared) = known {
            if shared.sessions < room {
                shared.sessions += 1;
                return Ok((Rc::clone(&shared.instance), true));
            }
            return match own_instance(generation) {
                Err(Failure { kind: Kind::Budget, .. }) if may_share => {
                    self.note_sharing(generation);
                    shared.sessions += 1;
                    Ok((Rc::clone(&shared.instance), true))
                }
                Err(failure) => Err(failure),
                Ok(instance) => {
                    shared.instance = Rc::clone(&instance);
                    shared.sessions = 1;
                    Ok((instance, room > 1))
                }
            };
        }
        let instance = own_instance(generation)?;
        if generation.is_current() && (room > 1 || may_share) {
            watchers.push(Shared {
                generation: Arc::clone(generation),
                instance: Rc::clone(&instance),
                sessions: 1,
            });
        }
        Ok((instance, room > 1))
    }

    /// Isolation was given up for a session: said at most once a minute, with how many there were.
    fn note_sharing(&self, generation: &Generation) {
        const PAUSE: Duration = Duration::from_secs(60);
        self.crowded.set(self.crowded.get() + 1);
        let now = Coarse::now();
        if self.said.get().is_none_or(|said| now.since(said) >= PAUSE) {
            self.said.set(Some(now));
            let sessions = self.crowded.take();
            tracing::warn!(
                filter = %generation.name(),
                generation = generation.number(),
                sessions,
                "no instances left: new sessions share one"
            );
        }
    }

    /// A filter has failed. One that has used up its time had all of this worker's, and every loop costs it a session: so new
    /// ones wait for as long as it took, and others have half of the time at least.
    pub(super) fn failed(&self, generation: &Generation, failure: &Failure) {
        if failure.kind == Kind::Deadline {
            let until = Coarse::now() + generation.limits().call;
            let mut overdue = self.overdue.borrow_mut();
            overdue.retain(|(name, _)| name != generation.name());
            overdue.push((Arc::clone(generation.name()), until));
        }
    }

    /// How long a connection with these filters has to wait until it is their turn again.
    pub fn pause(&self, generations: &[Arc<Generation>]) -> Option<Duration> {
        let mut overdue = self.overdue.borrow_mut();
        if overdue.is_empty() {
            return None;
        }
        let now = Coarse::now();
        overdue.retain(|(_, until)| *until > now);
        let is_of = |name: &Arc<str>| generations.iter().any(|generation| generation.name() == name);
        let waits = overdue.iter().filter(|(name, _)| is_of(name));
        waits.map(|(_, until)| until.since(now)).max()
    }

    /// Lets go of what belongs to generations that connections do not begin with any more.
    pub fn retire(&self) {
        for instances in [&self.routers, &self.watchers] {
            instances.borrow_mut().retain(|shared| shared.generation.is_current());
        }
    }
}

impl Shared {
    /// Whether it is for connections that begin now. What they do not get any more goes with the last session that it has.
    fn may_serve(&self) -> bool {
        let instance = self.instance.borrow();
        self.generation.is_current() && !instance.has_failed() && !instance.is_spent()
    }
}

fn own_instance(generation: &Arc<Generation>) -> Result<Rc<RefCell<Instance>>, Failure> {
    let permit = generation.admit().ok_or_else(|| {
        Failure::new(
            Kind::Budget,
            "every instance that the machine affords is in use".to_owned(),
        )
    })?;
    Instance::new(generation, permit).map(|instance| Rc::new(RefCell::new(instance)))
}

impl OpenSession {
    pub(super) fn on_bytes(
        &self,
        facts: &Arc<Facts>,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
    ) -> Result<Verdict, Failure> {
        self.instance
            .borrow_mut()
            .on_bytes(self.session, facts, direction, bytes, finished)
    }

    pub(super) fn transform(
        &self,
        facts: &Arc<Facts>,
        direction: Direction,
        bytes: &[u8],
        finished: bool,
    ) -> Result<Output, Failure> {
        self.instance
            .borrow_mut()
            .transform(self.session, facts, direction, bytes, finished)
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        if self.shared {
            self.instance.borrow_mut().close_session(self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Engine, Filter, Group, Groups, Occasion};
    use super::*;
    use crate::config::FilterConfig;

    struct NoGroups;

    impl Groups for NoGroups {
        fn get(&self, _: &str) -> Option<Group> {
            None
        }

        fn all(&self) -> Vec<Group> {
            Vec::new()
        }
    }

    /// Opens a session while there are instances, and one more when there are none.
    fn beyond_the_budget(at_budget: AtBudget) -> Result<(), Kind> {
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/v0.1/transformer-pass.wasm");
        let engine = Engine::new().unwrap();
        let config = FilterConfig {
            at_budget,
            ..FilterConfig::new("pass", component)
        };
        let filter = Filter::new(config, &engine, Arc::new(NoGroups));
        filter.reload(Occasion::Request).unwrap();
        let generation = filter.choose(None);
        let facts = Arc::new(Facts::new(1, None, None, "test".into()));
        let instances = Instances::default();
        let open = || instances.open(&generation, Role::Transformer, &facts);

        let first = open().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| engine.admit(1)).collect();
        let second = open().map(drop).map_err(|failure| failure.kind);
        drop(all);
        assert!(open().is_ok(), "there are instances again");
        drop(first);
        second
    }

    #[test]
    fn beyond_the_budget_a_session_shares_an_instance_or_is_refused() {
        assert_eq!(beyond_the_budget(AtBudget::Share), Ok(()));
        assert_eq!(beyond_the_budget(AtBudget::Refuse), Err(Kind::Budget));
    }
}

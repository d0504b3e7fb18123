//! A worker's instances: who gets one of its own, and who shares.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::facts::Facts;
use super::failure::{Failure, Kind};
use super::generation::Generation;
use super::instance::{Decision, Directions, Instance, Session, Verdict, Window};
use crate::flow::Direction;
use crate::sys::Coarse;

/// The instances that more than one connection of this worker uses: one per filter for routing, and one that is being
/// filled with sessions. Everything here belongs to a filter's newest generation; an older one's instances live in their
/// sessions alone, so that they go with the last of them.
#[derive(Default)]
pub struct Instances {
    routers: RefCell<Vec<Shared>>,
    inspectors: RefCell<Vec<Shared>>,
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

/// A session of one connection with one inspector.
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
        if let Some(shared) = routers
            .iter()
            .find(|shared| Arc::ptr_eq(&shared.generation, generation))
        {
            return Ok(Rc::clone(&shared.instance));
        }
        let instance = own_instance(generation)?;
        if generation.is_current() {
            routers.retain(|shared| shared.generation.name() != generation.name());
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
        facts: &Arc<Facts>,
    ) -> Result<(OpenSession, Directions), Failure> {
        let (instance, shared) = self.inspector(generation)?;
        let (session, interest) = instance.borrow_mut().open_session(facts)?;
        let open = OpenSession {
            instance,
            session,
            shared,
        };
        Ok((open, interest))
    }

    fn inspector(&self, generation: &Arc<Generation>) -> Result<(Rc<RefCell<Instance>>, bool), Failure> {
        let room = generation.sessions_per_instance();
        let mut inspectors = self.inspectors.borrow_mut();
        inspectors.retain(|shared| shared.generation.is_current() && !shared.instance.borrow().has_failed());
        let known = inspectors
            .iter_mut()
            .find(|shared| Arc::ptr_eq(&shared.generation, generation));
        if let Some(shared) = known {
            if shared.sessions < room {
                shared.sessions += 1;
                return Ok((Rc::clone(&shared.instance), true));
            }
            return match own_instance(generation) {
                Err(Failure { kind: Kind::Budget, .. }) => {
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
        if generation.is_current() {
            inspectors.push(Shared {
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

    /// Lets go of what belongs to generations that connections do not begin with any more.
    pub fn retire(&self) {
        for instances in [&self.routers, &self.inspectors] {
            instances.borrow_mut().retain(|shared| shared.generation.is_current());
        }
    }
}

fn own_instance(generation: &Arc<Generation>) -> Result<Rc<RefCell<Instance>>, Failure> {
    let permit = generation.engine().admit().ok_or_else(|| {
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
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        if self.shared {
            self.instance.borrow_mut().close_session(self.session);
        }
    }
}

//! The roles as the host calls them. `Router<T>` is the contract's router, made of an author's `T: crate::Router`.

#![allow(missing_docs, reason = "for the export macros alone")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::time::Duration;

use super::bindings::base::spliceway::filter::types;
use super::bindings::{
    inspector::exports::spliceway::filter::inspector as inspector_wit,
    lifecycle::exports::spliceway::filter::lifecycle as lifecycle_wit,
    observer::exports::spliceway::filter::observer as observer_wit,
    router::exports::spliceway::filter::router as router_wit,
    transformer::exports::spliceway::filter::transformer as transformer_wit,
};
use super::{host, panic};
use crate::{Attribute, Chunk, Closed, Config, Connection, Decision, Direction, Directions, Ending, Moved, Next};
use crate::{Output, Refusal, Verdict, Window, config};

pub use super::bindings::inspector::{self, inspector_world};
pub use super::bindings::lifecycle::{self, lifecycle_world};
pub use super::bindings::observer::{self, observer_world};
pub use super::bindings::router::{self, router_world};
pub use super::bindings::transformer::{self, transformer_world};

pub struct Lifecycle<C, S>(PhantomData<(C, S)>);

pub trait Schema {
    fn schema<C: Config>() -> String;
}

pub struct Derived;

impl Schema for Derived {
    fn schema<C: Config>() -> String {
        config::schema::<C>().as_value().to_string()
    }
}

impl<C: Config, S: Schema> lifecycle_wit::Guest for Lifecycle<C, S> {
    fn config_schema() -> String {
        panic::install();
        S::schema::<C>()
    }

    fn init(json: String) -> Result<(), String> {
        panic::install();
        CONFIG.set(Some(Box::leak(Box::new(config::load::<C>(&json)?))));
        Ok(())
    }
}

pub struct Router<R>(PhantomData<R>);

impl<R: crate::Router> router_wit::Guest for Router<R> {
    fn route(seen: router_wit::Window) -> router_wit::Decision {
        panic::install();
        let window = Window {
            bytes: seen.bytes,
            round: seen.round,
            finished: seen.finished,
            timed_out: seen.timed_out,
            full: seen.full,
        };
        match configured::<R>().route(&window, &Connection::current()) {
            Decision::Pass => router_wit::Decision::Pass,
            Decision::Need(more) => router_wit::Decision::Need(count(more)),
            Decision::Exchange { consume, reply } => router_wit::Decision::Exchange(router_wit::Exchange {
                consume: count(consume),
                reply,
            }),
            Decision::Route(choice) => router_wit::Decision::Route(router_wit::Choice {
                upstream: choice.upstream,
                options: choice.options.into_iter().map(types::Attribute::from).collect(),
            }),
            Decision::Refuse(refusal) => router_wit::Decision::Refuse(refusal.into()),
        }
    }
}

pub struct Inspector<I>(PhantomData<I>);

impl<I: crate::Inspector> inspector_wit::Guest for Inspector<I> {
    type Session = Session<I>;
}

impl<I: crate::Inspector> inspector_wit::GuestSession for Session<I> {
    fn new() -> Self {
        panic::install();
        Self(RefCell::new(I::open(configured::<I::Config>(), &Connection::current())))
    }

    fn interest(&self) -> types::Directions {
        self.0.borrow().interest().into()
    }

    fn on_bytes(&self, direction: types::Direction, bytes: Vec<u8>, finished: bool) -> inspector_wit::Verdict {
        let chunk = Chunk::new(direction.into(), bytes, finished);
        match self.0.borrow_mut().on_bytes(chunk, &Connection::current()) {
            Verdict::Forward => inspector_wit::Verdict::Forward,
            Verdict::Hold(more) => inspector_wit::Verdict::Hold(count(more)),
            Verdict::Skip(next) => inspector_wit::Verdict::Skip(next),
            Verdict::Detach => inspector_wit::Verdict::Detach,
            Verdict::Refuse(refusal) => inspector_wit::Verdict::Refuse(refusal.into()),
        }
    }
}

pub struct Transformer<T>(PhantomData<T>);

impl<T: crate::Transformer> transformer_wit::Guest for Transformer<T> {
    type Session = Session<T>;
}

impl<T: crate::Transformer> transformer_wit::GuestSession for Session<T> {
    fn new() -> Self {
        panic::install();
        Self(RefCell::new(T::open(configured::<T::Config>(), &Connection::current())))
    }

    fn interest(&self) -> types::Directions {
        self.0.borrow().interest().into()
    }

    fn on_bytes(&self, direction: types::Direction, bytes: Vec<u8>, finished: bool) -> transformer_wit::Output {
        let chunk = Chunk::new(direction.into(), bytes, finished);
        let Output {
            to_upstream,
            to_client,
            next,
        } = self.0.borrow_mut().on_bytes(chunk, &Connection::current());
        let next = match next {
            Next::More => transformer_wit::Next::More,
            Next::Detach => transformer_wit::Next::Detach,
            Next::Refuse(refusal) => transformer_wit::Next::Refuse(refusal.into()),
        };
        transformer_wit::Output {
            to_upstream,
            to_client,
            next,
        }
    }
}

pub struct Observer<O>(PhantomData<O>);

impl<O: crate::Observer> observer_wit::Guest for Observer<O> {
    fn on_closed(batch: Vec<observer_wit::Closed>) {
        panic::install();
        let batch: Vec<Closed> = batch.into_iter().map(Closed::from).collect();
        configured::<O>().on_closed(&batch);
    }
}

/// Calls of one session never overlap, so that neither do its borrows.
pub struct Session<T>(RefCell<T>);

thread_local! {
    static CONFIG: Cell<Option<&'static dyn Any>> = const { Cell::new(None) };
}

fn configured<C: Config>() -> &'static C {
    if let Some(config) = CONFIG.get() {
        return match config.downcast_ref() {
            Some(config) => config,
            None => panic!("export_config! has another type than {}", std::any::type_name::<C>()),
        };
    }
    // A filter without `export_config!` may still have roles with nothing to set.
    match config::load::<C>("null") {
        Ok(config) => {
            let config: &'static C = Box::leak(Box::new(config));
            CONFIG.set(Some(config));
            config
        }
        Err(reason) => panic!("no configuration ({reason}): is export_config! missing?"),
    }
}

/// More than 4 GiB cannot come, and the host refuses what it cannot hold.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl From<types::Direction> for Direction {
    fn from(direction: types::Direction) -> Self {
        match direction {
            types::Direction::Up => Self::Up,
            types::Direction::Down => Self::Down,
        }
    }
}

impl From<Directions> for types::Directions {
    fn from(directions: Directions) -> Self {
        match directions {
            Directions::Up => Self::UP,
            Directions::Down => Self::DOWN,
            Directions::Both => Self::all(),
            Directions::Neither => Self::empty(),
        }
    }
}

impl From<Refusal> for types::Refusal {
    fn from(refusal: Refusal) -> Self {
        let ending = match refusal.ending {
            Ending::Graceful => types::Ending::Graceful,
            Ending::Reset => types::Ending::Reset,
        };
        Self {
            ending,
            reason: refusal.reason,
            reply: refusal.reply,
        }
    }
}

impl From<observer_wit::Closed> for Closed {
    fn from(closed: observer_wit::Closed) -> Self {
        Self {
            connection: closed.connection,
            listener: closed.listener,
            client: closed.client.map(host::address),
            upstream: closed.upstream,
            server: closed.server.map(host::address),
            up: closed.up.into(),
            down: closed.down.into(),
            duration: Duration::from_micros(closed.duration_us),
            outcome: closed.outcome,
            attributes: closed.attributes.into_iter().map(Attribute::from).collect(),
        }
    }
}

impl From<observer_wit::Moved> for Moved {
    fn from(moved: observer_wit::Moved) -> Self {
        Self {
            copied: moved.copied,
            spliced: moved.spliced,
            filtered: moved.filtered,
        }
    }
}

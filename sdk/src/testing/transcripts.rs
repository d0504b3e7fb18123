use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use spliceway_transcript as transcript;
use transcript::{Case, Decision as Decided, Observed, PerDirection, Player, Variant};

use super::Host;
use super::host::{annotated, outside_of_connection};
use super::inspector::Inspection;
use super::router::{Route, Routing};
use super::scene::Step;
use super::transformer::Transformation;
use super::watch::{Unwatched, Watch};
use crate::upstreams::Upstream;
use crate::{
    Attribute, Closed, Config, Decision, Direction, Ending, Inspector, Moved, Observer, Refusal, Router, Transformer,
    Value,
};

/// Plays transcripts with the roles of a filter: the same files that `spliceway filter test` plays in its component.
///
/// ```no_run
/// # use spliceway_sdk::prelude::*;
/// # use spliceway_sdk::testing;
/// # struct Session;
/// # impl Inspector for Session {
/// #     type Config = ();
/// #     fn open(_config: &(), _connection: &Connection) -> Self { Self }
/// #     fn on_bytes(&mut self, _chunk: Chunk, _connection: &Connection) -> Verdict { Verdict::Forward }
/// # }
/// #[test]
/// fn transcripts() {
///     testing::Transcripts::of("transcripts").inspector::<Session>().play();
/// }
/// ```
///
/// The format is that of the crate `spliceway-transcript`.
#[must_use = "`play` plays them"]
pub struct Transcripts {
    path: PathBuf,
    roles: Roles,
}

impl Transcripts {
    /// A file, or a directory of them. What is relative is so to the package, where `cargo test` runs it.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            roles: Roles::default(),
        }
    }

    /// The filter's router.
    pub fn router<R: Router>(mut self) -> Self {
        self.roles.router = Some(|json| {
            let router = load::<R>(json)?;
            Ok(Box::new(move |window, connection| router.route(window, connection)))
        });
        self
    }

    /// The filter's inspector, which watches what its router leaves. A filter that is played has this or a transformer.
    pub fn inspector<I: Inspector>(mut self) -> Self {
        self.roles.watcher = Some(|json| {
            let config = load::<I::Config>(json)?;
            Ok(Box::new(move || Box::new(Inspection::<I>::begin(config))))
        });
        self
    }

    /// The filter's transformer, which changes what its router leaves.
    pub fn transformer<T: Transformer>(mut self) -> Self {
        self.roles.watcher = Some(|json| {
            let config = load::<T::Config>(json)?;
            Ok(Box::new(move || Box::new(Transformation::<T>::begin(config))))
        });
        self
    }

    /// The filter's observer, which is told of what the play closes.
    pub fn observer<O: Observer>(mut self) -> Self {
        self.roles.observer = Some(|json| {
            let observer = load::<O>(json)?;
            Ok(Box::new(move |batch| observer.on_closed(batch)))
        });
        self
    }

    /// Plays each case whole, cut at every place, in single bytes and in random pieces. Panics with all cases that came to
    /// something else than they expect. The random pieces are others each time; `TRANSCRIPT_SEED` says which.
    #[track_caller]
    pub fn play(self) {
        let transcripts = transcript::load(&self.path).unwrap_or_else(|error| panic!("{error}"));
        let seed = seed();
        let mut native = Native {
            roles: self.roles,
            loaded: None,
        };
        let cases = transcripts.iter().flat_map(|transcript| &transcript.cases);
        let failures: Vec<String> = cases
            .filter_map(|case| transcript::run(case, &mut native, seed).err())
            .map(|failure| failure.to_string())
            .collect();
        assert!(
            failures.is_empty(),
            "{} (TRANSCRIPT_SEED={seed}):\n{}",
            match failures.len() {
                1 => "one case failed".to_owned(),
                many => format!("{many} cases failed"),
            },
            failures.join("\n")
        );
    }
}

fn seed() -> u64 {
    let given = std::env::var("TRANSCRIPT_SEED").ok();
    given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().hash_one(()))
}

/// As long as the test runs, as in an instance.
fn load<C: Config>(json: &Json) -> Result<&'static C, String> {
    Ok(Box::leak(Box::new(super::config(json)?)))
}

type Load<T> = fn(&Json) -> Result<T, String>;
type Open = Box<dyn Fn() -> Box<dyn Watch>>;
type Tell = Box<dyn Fn(&[Closed])>;

#[derive(Default)]
struct Roles {
    router: Option<Load<Box<Route<'static>>>>,
    watcher: Option<Load<Open>>,
    observer: Option<Load<Tell>>,
}

/// Roles with a configuration.
struct Loaded {
    router: Option<Box<Route<'static>>>,
    watcher: Option<Open>,
    observer: Option<Tell>,
}

impl Roles {
    fn load(&self, config: &Json) -> Result<Loaded, String> {
        Ok(Loaded {
            router: self.router.map(|load| load(config)).transpose()?,
            watcher: self.watcher.map(|load| load(config)).transpose()?,
            observer: self.observer.map(|load| load(config)).transpose()?,
        })
    }
}

struct Native {
    roles: Roles,
    /// With the configuration that was played last.
    loaded: Option<(Json, Loaded)>,
}

impl Player for Native {
    fn play(&mut self, case: &Case, variant: &Variant) -> Observed {
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(case, variant)));
        attempt.unwrap_or_else(|panic| Observed {
            failure: Some(message(panic.as_ref())),
            ..Observed::default()
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

impl Native {
    fn attempt(&mut self, case: &Case, variant: &Variant) -> Observed {
        match self.loaded(&case.given.config) {
            Ok(loaded) => {
                let (mut observed, host) = host(case).run(true, || loaded.play(variant));
                traces(&host, &mut observed);
                observed
            }
            Err(reason) => Observed {
                config_refused: Some(reason),
                ..Observed::default()
            },
        }
    }

    fn loaded(&mut self, config: &Json) -> Result<&Loaded, String> {
        let loaded = match self.loaded.take() {
            Some((json, loaded)) if json == *config => loaded,
            _ => self.roles.load(config)?,
        };
        Ok(&self.loaded.insert((config.clone(), loaded)).1)
    }
}

impl Loaded {
    /// In the order in which the proxy asks: the router, until it has decided; then who watches, from what the router left on.
    fn play(&self, variant: &Variant) -> Observed {
        let mut observed = Observed::default();
        let mut routing = self.router.as_deref().map(Routing::begin);
        let mut watch = None;
        if routing.is_none() {
            watch = Some(self.watch());
        }
        for step in &variant.steps {
            if let Some(asked) = routing.take_if(|routing| routing.is_over()) {
                watch = self.follow(&asked);
                route(asked, &mut observed);
            }
            match (play_step(step), &mut routing, &mut watch) {
                (Played::Closed(batch), ..) => self.tell(batch),
                (Played::Step(step), Some(routing), _) => routing.step(&step),
                (Played::Step(step), None, Some(watch)) => watch.step(&step),
                // Refused.
                (Played::Step(_), None, None) => {}
            }
        }
        if let Some(asked) = routing {
            watch = if asked.is_over() { self.follow(&asked) } else { None };
            route(asked, &mut observed);
        }
        if let Some(watch) = watch {
            watched(watch, &mut observed);
        }
        observed
    }

    fn watch(&self) -> Box<dyn Watch> {
        match &self.watcher {
            Some(open) => open(),
            None => Box::<Unwatched>::default(),
        }
    }

    /// Who watches what a router left, and has seen that. Nobody where it refused.
    fn follow(&self, routing: &Routing<'_>) -> Option<Box<dyn Watch>> {
        if matches!(routing.asked.decision, Decision::Refuse(_)) {
            return None;
        }
        let mut watch = self.watch();
        let window = &routing.window;
        if !window.bytes.is_empty() {
            watch.step(&Step::Bytes(Direction::Up, window.bytes.clone()));
        }
        if window.finished {
            watch.step(&Step::Finish(Direction::Up));
        }
        Some(watch)
    }

    fn tell(&self, batch: &[transcript::Closed]) {
        let Some(tell) = &self.observer else { return };
        let annotated = annotated();
        let batch: Vec<Closed> = batch.iter().map(|closed| told(closed, &annotated)).collect();
        outside_of_connection(|| tell(&batch));
    }
}

enum Played<'a> {
    Step(Step),
    Closed(&'a [transcript::Closed]),
}

fn play_step(step: &transcript::Step) -> Played<'_> {
    Played::Step(match step {
        transcript::Step::Bytes(way, bytes) => Step::Bytes(direction(*way), bytes.clone()),
        transcript::Step::Finish(way) => Step::Finish(direction(*way)),
        transcript::Step::TimeOut => Step::TimeOut,
        transcript::Step::Full => Step::Fill,
        transcript::Step::Wait(time) => Step::Wait(*time),
        transcript::Step::Closed(batch) => return Played::Closed(batch),
    })
}

fn route(routing: Routing<'_>, observed: &mut Observed) {
    let waits = !routing.is_over();
    observed.to_client.extend(&routing.asked.replies);
    match routing.asked.decision {
        _ if waits => observed.decision = Decided::Waits,
        Decision::Route(choice) => {
            observed.decision = Decided::Upstream(choice.upstream);
            observed.options = values(&choice.options);
        }
        Decision::Refuse(reason) => observed.refusal = Some(refusal(reason)),
        Decision::Pass | Decision::Need(_) | Decision::Exchange { .. } => observed.decision = Decided::Passes,
    }
}

fn watched(watch: Box<dyn Watch>, observed: &mut Observed) {
    let watched = watch.watched();
    let [up, down] = watched.shown.map(|bytes| bytes as u64);
    observed.shown = PerDirection { up, down };
    let [up, down] = watched.detached;
    observed.detached = PerDirection { up, down };
    observed.to_upstream.extend(watched.to_upstream);
    observed.to_client.extend(watched.to_client);
    observed.refusal = watched.refusal.map(refusal);
}

fn traces(host: &Host, observed: &mut Observed) {
    observed.annotations = values(host.annotations());
    observed.metrics = host.metrics();
    let record = |record: &super::Record| {
        let fields = record
            .fields
            .iter()
            .map(|field| format!(" {}={}", field.key, field.value));
        format!("{}{}", record.message, fields.collect::<String>())
    };
    observed.logs = host.logs().iter().map(record).collect();
}

fn host(case: &Case) -> Host {
    let given = &case.given;
    let upstream = |(name, upstream): (&String, &transcript::Upstream)| {
        Upstream::new(name.clone(), upstream.servers, upstream.healthy, 0)
    };
    let attributes = given.attributes.iter().map(|(key, known)| (key.clone(), value(known)));
    let mut host = Host::default();
    host.client = given.client;
    host.local = given.local;
    host.listener.clone_from(&given.listener);
    host.attributes = attributes.collect();
    host.upstreams = given.upstreams.iter().map(upstream).collect();
    host.entries = given.store;
    host.tls_offered = given.tls;
    host
}

fn told(closed: &transcript::Closed, annotated: &[Attribute]) -> Closed {
    let attributes = closed.attributes.as_ref().map(|attributes| {
        let each = attributes.iter().map(|(key, known)| Attribute::new(key, value(known)));
        each.collect()
    });
    Closed {
        connection: closed.connection,
        listener: closed.listener.clone(),
        client: closed.client,
        upstream: closed.upstream.clone(),
        server: closed.server,
        up: moved(closed.up),
        down: moved(closed.down),
        duration: closed.duration,
        outcome: closed.outcome.clone(),
        attributes: attributes.unwrap_or_else(|| annotated.to_vec()),
    }
}

fn moved(bytes: transcript::Moved) -> Moved {
    Moved {
        copied: bytes.copied,
        spliced: bytes.spliced,
        filtered: bytes.filtered,
    }
}

fn direction(direction: transcript::Direction) -> Direction {
    match direction {
        transcript::Direction::Up => Direction::Up,
        transcript::Direction::Down => Direction::Down,
    }
}

fn refusal(refusal: Refusal) -> transcript::Refusal {
    transcript::Refusal {
        reason: refusal.reason,
        ending: match refusal.ending {
            Ending::Graceful => transcript::Ending::Graceful,
            Ending::Reset => transcript::Ending::Reset,
        },
        reply: refusal.reply,
    }
}

fn values(attributes: &[Attribute]) -> BTreeMap<String, transcript::Value> {
    let value = |attribute: &Attribute| match attribute.value.clone() {
        Value::Text(text) => transcript::Value::Text(text),
        Value::Integer(integer) => transcript::Value::Integer(integer),
        Value::Boolean(boolean) => transcript::Value::Boolean(boolean),
        Value::Bytes(bytes) => transcript::Value::Bytes(bytes),
        Value::Address(address) => transcript::Value::Address(address),
    };
    let all = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), value(attribute)));
    all.collect()
}

fn value(known: &transcript::Value) -> Value {
    match known.clone() {
        transcript::Value::Text(text) => Value::Text(text),
        transcript::Value::Integer(integer) => Value::Integer(integer),
        transcript::Value::Boolean(boolean) => Value::Boolean(boolean),
        transcript::Value::Bytes(bytes) => Value::Bytes(bytes),
        transcript::Value::Address(address) => Value::Address(address),
    }
}

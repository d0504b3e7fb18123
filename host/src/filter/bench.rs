//! What a connection asks of a filter, without the connection, and how long that takes: for `benches/filters.rs`, and for
//! `spliceway filter bench`, so that their figures mean the same.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::instance::{ClosedRecord, Instance, MovedRecord};
use super::{
    Chain, Engine, Facts, Filter, Generation, Group, Groups, Instances, Occasion, Passed, Role, Tally, Verdict, Window,
    ask,
};
use crate::config::FilterConfig;
use crate::flow::Direction;

/// A filter in one worker.
pub struct Loaded {
    instances: Instances,
    generations: [Arc<Generation>; 1],
    facts: Arc<Facts>,
    _filter: Filter,
}

/// A connection's session with an inspector or a transformer.
pub struct Session {
    chain: Box<Chain>,
    passed: Passed,
}

/// What is counted of a generation.
#[derive(Default)]
pub struct Counting(Tally);

struct NoGroups;

impl Groups for NoGroups {
    fn get(&self, _: &str) -> Option<Group> {
        None
    }

    fn all(&self) -> Vec<Group> {
        Vec::new()
    }
}

impl Loaded {
    /// # Errors
    /// The file is no filter that takes this configuration.
    pub fn new(file: &Path, config: serde_json::Value, sessions_per_instance: u32) -> anyhow::Result<Self> {
        let config = FilterConfig {
            config,
            sessions_per_instance,
            ..FilterConfig::new("measured", file.to_owned())
        };
        Self::of(config)
    }

    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of(config: FilterConfig) -> anyhow::Result<Self> {
        let engine = Engine::new()?;
        let filter = Filter::new(config, &engine, Arc::new(NoGroups));
        filter.reload(Occasion::Request)?;
        Ok(Self {
            instances: Instances::default(),
            generations: [filter.choose(None)],
            facts: Arc::new(Facts::new(1, None, None, "bench".into())),
            _filter: filter,
        })
    }

    /// `None` where the filter does not want to see anything, or failed.
    pub fn session(&self) -> Option<Session> {
        let chain = Chain::open(&self.instances, &self.generations, &self.facts).ok()??;
        let passed = Passed::default();
        Some(Session { chain, passed })
    }

    /// What a router that was shown these bytes says; whether it has said anything.
    pub fn decide(&self, bytes: &[u8]) -> bool {
        let window = Window {
            bytes: bytes.to_vec(),
            round: 0,
            finished: false,
            timed_out: false,
            full: false,
        };
        ask(&self.instances, &self.generations[0], &self.facts, &window).is_ok()
    }
}

/// How often [`best`] measures, and for how long each time.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(200);

/// Nanoseconds for each, in the best of five rounds: whatever else the machine does only makes it longer.
pub fn best<T>(mut act: impl FnMut() -> T) -> f64 {
    let mut round = || {
        let mut times = 0_u32;
        let begin = Instant::now();
        while begin.elapsed() < ROUND {
            // The clock costs a tenth of the quickest of them.
            for _ in 0..16 {
                black_box(act());
            }
            times += 16;
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

impl Loaded {
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generations[0]
    }

    /// Makes an instance, and drops it; whether there is one.
    pub(crate) fn instance(&self) -> bool {
        self.fresh().is_some()
    }

    /// An instance that is told of so many connections at once, each time that it is asked. `None` where it is no observer.
    pub(crate) fn observer(&self, batch: usize) -> Option<impl FnMut() -> bool> {
        let records: Vec<ClosedRecord> = (0..batch).map(|_| closed()).collect();
        let mut instance = self.fresh().filter(|_| self.generations[0].is_observer())?;
        Some(move || instance.on_closed(&records).is_ok())
    }

    fn fresh(&self) -> Option<Instance> {
        let [generation] = &self.generations;
        Instance::new(generation, generation.admit()?).ok()
    }
}

/// A connection as they end most often.
fn closed() -> ClosedRecord {
    let moved = |copied| MovedRecord {
        copied,
        spliced: 0,
        filtered: 0,
    };
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 40000));
    ClosedRecord {
        connection: 1,
        listener: "bench".to_owned(),
        client: Some(client.into()),
        upstream: Some("default".to_owned()),
        server: Some(client.into()),
        up: moved(100),
        down: moved(1000),
        duration_us: 1000,
        outcome: "relay.finished.client".to_owned(),
        attributes: Vec::new(),
    }
}

impl Session {
    /// Whether the filter wants to see more of what the client sends.
    pub(crate) fn watches(&self) -> bool {
        self.chain.watches(Direction::Up)
    }

    /// How many bytes go on.
    pub fn show(&mut self, loaded: &Loaded, bytes: &[u8]) -> usize {
        let fed = self
            .chain
            .feed(&loaded.instances, Direction::Up, bytes, false, &mut self.passed);
        fed.map_or(0, |()| self.passed.onward(Direction::Up, bytes).len())
    }
}

impl Counting {
    /// What is counted for one chunk.
    pub fn chunk(&self) {
        let begun = self.0.call(Role::Inspector);
        if let Some(begun) = begun {
            self.0.took(begun.elapsed());
        }
        self.0.verdict(Role::Inspector, Verdict::Forward);
        self.0.shown(64);
    }
}

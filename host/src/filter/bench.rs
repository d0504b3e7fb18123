//! The door for `benches/filters.rs`: what a connection asks of a filter, without the connection.

use std::path::Path;
use std::sync::Arc;

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
        let engine = Engine::new()?;
        let config = FilterConfig {
            config,
            sessions_per_instance,
            ..FilterConfig::new("measured", file.to_owned())
        };
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

impl Session {
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

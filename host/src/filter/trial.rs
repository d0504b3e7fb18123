//! A filter outside of a proxy: compiled once, and tried as often as somebody wants, each time as if it had never run.
//!
//! It is asked as in a proxy: by the same instances, the same chain, and with the same limits. Only its clock is told what
//! time it is, and what it logs is for whoever tries it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::component::{Examined, Linked, examine, link};
use super::failure::{Failure, Kind};
use super::instance::{ClosedRecord, Instance, MovedRecord};
use super::router::{Decision, Window, ask};
use super::witness::{Heard, Witness};
use super::{Attribute, Chain, Engine, Facts, Filter, Generation, Groups, Instances, Stop, Totals};
use crate::artifact::Library;
use crate::config::{FilterConfig, Grant};
use crate::digest::Digest;

/// A component that has been compiled and linked.
pub struct Candidate {
    engine: Engine,
    linked: Linked,
    digest: Digest,
}

/// What can be said of a file without its configuration, also of one that does not load.
pub struct Examination {
    pub digest: Digest,
    pub bytes: Vec<u8>,
    pub examined: Examined,
    /// Where nothing is wrong with it, but perhaps for grants that it lacks.
    pub candidate: Option<Candidate>,
}

/// A filter that one worker has, and nobody else.
pub struct Trial {
    filter: Filter,
    generation: Arc<Generation>,
    instances: Instances,
    witness: Arc<Witness>,
}

/// What an observer is told, with any word for the outcome.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    pub connection: u64,
    pub listener: String,
    pub client: Option<SocketAddr>,
    pub upstream: Option<String>,
    pub server: Option<SocketAddr>,
    /// Bytes of each direction: copied, spliced, filtered.
    pub up: [u64; 3],
    pub down: [u64; 3],
    pub duration: Duration,
    pub outcome: String,
    pub attributes: Vec<Attribute>,
}

/// What a component's file is, and everything that is wrong with it before it runs.
///
/// # Errors
/// It cannot be read.
pub fn examination(engine: &Engine, file: &Path, grants: &[Grant]) -> anyhow::Result<Examination> {
    let read = Library::default().read(file)?;
    let (examined, linked) = examine(engine, &read.bytes, grants);
    let candidate = |linked| Candidate {
        engine: engine.clone(),
        linked,
        digest: read.digest,
    };
    Ok(Examination {
        digest: read.digest,
        examined,
        candidate: linked.map(candidate),
        bytes: read.bytes,
    })
}

impl Candidate {
    /// # Errors
    /// It cannot be read, or is no component that may be loaded.
    pub fn load(engine: &Engine, file: &Path, grants: &[Grant]) -> anyhow::Result<Self> {
        let read = Library::default().read(file)?;
        Ok(Self {
            engine: engine.clone(),
            linked: link(engine, &read.bytes, grants)?,
            digest: read.digest,
        })
    }

    /// With nothing kept of an earlier trial: no store, no counts, and a clock that begins again and stands still.
    ///
    /// # Errors
    /// It does not take its configuration: then the error is a [`ConfigRefused`](super::ConfigRefused), or else its `init`
    /// failed.
    pub fn trial(&self, config: FilterConfig, groups: Arc<dyn Groups>) -> anyhow::Result<Trial> {
        let witness = Arc::<Witness>::default();
        let filter = self.slot(config, groups, &witness);
        filter.adopt(self.linked.clone(), self.digest)?;
        let generation = filter.choose(None);
        Ok(Trial {
            filter,
            generation,
            instances: Instances::default(),
            witness,
        })
    }

    /// The JSON Schema of its configuration; `None` where it has none.
    ///
    /// # Errors
    /// It failed when it was asked.
    pub fn schema(&self, config: FilterConfig, groups: Arc<dyn Groups>) -> anyhow::Result<Option<String>> {
        let filter = self.slot(config, groups, &Arc::default());
        filter.schema(self.linked.clone(), self.digest)
    }

    fn slot(&self, config: FilterConfig, groups: Arc<dyn Groups>, witness: &Arc<Witness>) -> Filter {
        let (library, witness) = (Arc::default(), Some(Arc::clone(witness)));
        Filter::within(config, &self.engine, groups, library, Clock::told(), witness)
    }
}

impl Trial {
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// # Errors
    /// The router refuses, or has failed.
    pub fn route(&self, facts: &Arc<Facts>, window: &Window) -> Result<Decision, Stop> {
        ask(&self.instances, &self.generation, facts, window)
    }

    /// # Errors
    /// A session cannot be opened.
    pub fn open(&self, facts: &Arc<Facts>) -> Result<Option<Box<Chain>>, Stop> {
        Chain::open(&self.instances, std::slice::from_ref(&self.generation), facts)
    }

    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Tells the observer of connections, in one batch. Where it fails, that is heard.
    pub fn closed(&self, batch: Vec<Ended>) {
        let records: Vec<_> = batch.into_iter().map(record).collect();
        let told = match self.generation.admit() {
            Some(permit) => {
                Instance::new(&self.generation, permit).and_then(|mut instance| instance.on_closed(&records))
            }
            None => Err(Failure::new(Kind::Budget, "there is no instance for it".to_owned())),
        };
        if let Err(failure) = told {
            self.witness.failure(&failure);
        }
    }

    /// The clock goes on.
    pub fn advance(&self, time: Duration) {
        self.generation.kept().clock.advance(time);
    }

    /// What it has logged, and how it has failed, since this was asked last.
    pub fn heard(&self) -> Heard {
        self.witness.take()
    }

    /// The filter itself, for what it counts.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    pub fn totals(&self) -> Totals {
        self.generation.tally().totals()
    }
}

fn record(ended: Ended) -> ClosedRecord {
    let moved = |[copied, spliced, filtered]: [u64; 3]| MovedRecord {
        copied,
        spliced,
        filtered,
    };
    ClosedRecord {
        connection: ended.connection,
        listener: ended.listener,
        client: ended.client.map(Into::into),
        upstream: ended.upstream,
        server: ended.server.map(Into::into),
        up: moved(ended.up),
        down: moved(ended.down),
        duration_us: u64::try_from(ended.duration.as_micros()).unwrap_or(u64::MAX),
        outcome: ended.outcome,
        attributes: ended.attributes.into_iter().map(Into::into).collect(),
    }
}

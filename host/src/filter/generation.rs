//! A filter's slot, and the generations that pass through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use arc_swap::ArcSwapOption;

use super::Groups;
use super::component::{Digest, Linked, link, read};
use super::engine::Engine;
use super::failure::{Failure, Kind};
use super::instance::Instance;
use super::metrics::Metrics;
use super::store::Table;
use crate::config::{FilterConfig, FilterLimits, OnError};

/// A filter of the configuration, and the generation of it that serves now.
pub struct Filter {
    kept: Arc<Kept>,
    current: ArcSwapOption<Generation>,
    /// A file that cannot load is tried once, not at every event in its directory.
    rejected: Mutex<Option<Digest>>,
}

/// What outlives a filter's generations: each of them holds on to it.
pub(super) struct Kept {
    pub name: Arc<str>,
    pub config: FilterConfig,
    pub table: Table,
    pub metrics: Metrics,
    pub groups: Arc<dyn Groups>,
    engine: Engine,
    /// The number of the generation that serves; 0 before the first.
    published: AtomicU64,
}

/// One loaded version of a filter. A connection keeps the one that it began with; it is freed with the last of them.
pub struct Generation {
    kept: Arc<Kept>,
    number: u64,
    digest: Digest,
    linked: Linked,
    /// As `init` gets it.
    config: String,
}

/// Why a filter's file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Something happened in its directory, which need not have been about this file.
    Event,
    /// Somebody asks for it: a file that was rejected before is tried once more.
    Request,
}

/// What came of looking at a filter's file.
pub enum Reloaded {
    Published,
    Unchanged,
}

/// Why a file is not published.
enum Rejection {
    /// Its content and the configuration decide that: it would be the same at the next event.
    Lasting(anyhow::Error),
    /// The machine had too much to do.
    Passing(anyhow::Error),
}

impl Filter {
    /// The slot, with nothing in it yet.
    pub fn new(config: FilterConfig, engine: &Engine, groups: Arc<dyn Groups>) -> Self {
        Self {
            kept: Arc::new(Kept {
                name: config.name.as_str().into(),
                config,
                table: Table::default(),
                metrics: Metrics::default(),
                groups,
                engine: engine.clone(),
                published: AtomicU64::new(0),
            }),
            current: ArcSwapOption::empty(),
            rejected: Mutex::default(),
        }
    }

    /// Compiles what is in the filter's file now, tries it with its configuration, and publishes it: connections that begin
    /// from here on use it. Takes tens of milliseconds: not for a worker. Calls wait for one another, so that the last one to
    /// read the file is the last one to publish.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses: what was published stays.
    pub fn reload(&self, occasion: Occasion) -> anyhow::Result<Reloaded> {
        let begun = Instant::now();
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = read(&self.kept.config.source)?;
        let digest = Digest::of(&bytes);
        let serves = self
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.digest == digest);
        if serves || (occasion == Occasion::Event && *rejected == Some(digest)) {
            return Ok(Reloaded::Unchanged);
        }
        // Now, and not when the answer is there: a file on which the compiler panics is rejected too.
        *rejected = Some(digest);
        let generated = self.generate(&bytes, digest);
        if !matches!(generated, Err(Rejection::Lasting(_))) {
            *rejected = None;
        }
        let generation = generated
            .map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)
            .with_context(|| self.kept.config.source.display().to_string())?;
        let number = generation.number;
        self.kept.published.store(number, Ordering::Relaxed);
        self.current.store(Some(generation));
        let elapsed_ms = begun.elapsed().as_millis();
        tracing::info!(filter = %self.kept.name, generation = number, %digest, elapsed_ms, "filter published");
        Ok(Reloaded::Published)
    }

    /// Compiles a component and tries it: an instance of it takes the configuration, or says why not.
    fn generate(&self, bytes: &[u8], digest: Digest) -> Result<Arc<Generation>, Rejection> {
        let generation = self.compile(bytes, digest).map_err(Rejection::Lasting)?;
        let generation = Arc::new(generation);
        let admitted = self.kept.engine.admit();
        let permit = admitted
            .context("every instance that the machine affords is in use")
            .map_err(Rejection::Passing)?;
        Instance::new(&generation, permit)?;
        Ok(generation)
    }

    fn compile(&self, bytes: &[u8], digest: Digest) -> anyhow::Result<Generation> {
        let linked = link(&self.kept.engine, bytes)?;
        ensure!(
            linked.roles.lifecycle.is_some() || self.kept.config.config.is_null(),
            "it takes no configuration (it does not export `lifecycle`), and one is given"
        );
        Ok(Generation {
            kept: Arc::clone(&self.kept),
            number: self.generation() + 1,
            digest,
            linked,
            config: self.kept.config.config.to_string(),
        })
    }

    /// The generation for a connection that begins now.
    ///
    /// # Panics
    /// Before the first successful `reload`: nothing is served until every filter has loaded once.
    pub fn current(&self) -> Arc<Generation> {
        let current = self.current.load_full();
        current.unwrap_or_else(|| unreachable!("filter {} is asked for before it was loaded", self.kept.name))
    }

    /// Says what the filter has counted. Until there is a page for it, the log is where to look.
    pub fn log_metrics(&self) {
        for metric in self.kept.metrics.all() {
            let (name, help, value) = (&metric.name, &metric.help, metric.value());
            tracing::info!(filter = %self.kept.name, metric = name, help, value, "filter metric");
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.kept.name
    }

    pub fn config(&self) -> &FilterConfig {
        &self.kept.config
    }

    /// The number of the generation that serves; 0 where none was loaded yet.
    pub fn generation(&self) -> u64 {
        self.kept.published.load(Ordering::Relaxed)
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        let failed = |failure: Failure| anyhow!("its `init` failed ({}): {failure}", failure.kind);
        match failure.kind {
            Kind::Init => Self::Lasting(anyhow!("it refuses its configuration: {failure}")),
            // Memory too: how much it may have is in the configuration, and nobody else takes of it.
            Kind::Memory | Kind::Trap | Kind::Contract => Self::Lasting(failed(failure)),
            // The same call takes more CPU time where others use the same caches and the same core.
            Kind::Deadline | Kind::Budget => Self::Passing(failed(failure)),
        }
    }
}

impl Generation {
    pub fn name(&self) -> &Arc<str> {
        &self.kept.name
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn is_router(&self) -> bool {
        self.linked.roles.router.is_some()
    }

    pub fn is_inspector(&self) -> bool {
        self.linked.roles.inspector.is_some()
    }

    pub fn is_observer(&self) -> bool {
        self.linked.roles.observer.is_some()
    }

    /// Whether connections that begin now get another one.
    pub(super) fn is_current(&self) -> bool {
        self.kept.published.load(Ordering::Relaxed) == self.number
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.kept.engine
    }

    pub(super) fn on_error(&self) -> OnError {
        self.kept.config.on_error
    }

    pub(super) fn sessions_per_instance(&self) -> u32 {
        self.kept.config.sessions_per_instance
    }

    pub(super) fn limits(&self) -> FilterLimits {
        self.kept.config.limits
    }

    pub(super) fn config(&self) -> &str {
        &self.config
    }

    pub(super) fn linked(&self) -> &Linked {
        &self.linked
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // One that was never published has no story worth telling.
        if self.number <= self.kept.published.load(Ordering::Relaxed) {
            tracing::info!(filter = %self.kept.name, generation = self.number, "generation freed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;
    use crate::filter::Group;

    /// An observer by its names alone. It compiles and links; when it is tried, its function is not of the contract's type.
    ///
    /// ```wat
    /// (component
    ///   (core module $m (func (export "f")))
    ///   (core instance $i (instantiate $m))
    ///   (func $f (canon lift (core func $i "f")))
    ///   (instance $o (export "on-closed" (func $f)))
    ///   (export "spliceway:filter/observer@0.1.0" (instance $o)))
    /// ```
    const OBSERVER_BY_NAME: &[u8] = b"\0asm\x0d\0\x01\0\
        \x01\x1f\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x04\x01\x02\0\x0b\
        \x02\x04\x01\0\0\0\
        \x06\x07\x01\0\0\x01\0\x01f\
        \x07\x05\x01\x40\0\x01\0\
        \x08\x06\x01\0\0\0\0\0\
        \x05\x10\x01\x01\x01\0\x09on-closed\x01\0\
        \x0b\x25\x01\0\x1fspliceway:filter/observer@0.1.0\x05\0\0";

    struct NoGroups;

    impl Groups for NoGroups {
        fn get(&self, _: &str) -> Option<Group> {
            None
        }

        fn all(&self) -> Vec<Group> {
            Vec::new()
        }
    }

    #[test]
    fn what_had_no_instance_is_tried_again_and_what_cannot_load_only_on_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), OBSERVER_BY_NAME).unwrap();
        let config = FilterConfig {
            name: "observer".to_owned(),
            source: file.path().to_owned(),
            config: serde_json::Value::Null,
            on_error: OnError::Close,
            limits: defaults::FILTER_LIMITS,
            sessions_per_instance: 1,
        };
        let engine = Engine::new().unwrap();
        let filter = Filter::new(config, &engine, Arc::new(NoGroups));
        let rejection = |occasion| filter.reload(occasion).err().map(|error| format!("{error:#}"));

        let all: Vec<_> = std::iter::from_fn(|| engine.admit()).collect();
        let busy = rejection(Occasion::Event).unwrap();
        assert!(busy.contains("in use"), "{busy}");
        drop(all);

        let wrong = rejection(Occasion::Event).unwrap();
        assert!(wrong.contains("type mismatch"), "{wrong}");
        assert_eq!(rejection(Occasion::Event), None, "it was not looked at again");
        assert_eq!(rejection(Occasion::Request), Some(wrong));
        assert_eq!(rejection(Occasion::Event), None, "it was not looked at again");
    }
}

//! A filter's slot, and the generations that pass through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use arc_swap::ArcSwapOption;

use super::Groups;
use super::component::{Digest, Linked, link, read};
use super::engine::Engine;
use super::failure::Kind;
use super::instance::Instance;
use super::metrics::Metrics;
use super::store::Table;
use crate::config::{FilterConfig, FilterLimits, OnError};

/// A filter of the configuration, and the generation of it that serves now.
pub struct Filter {
    kept: Arc<Kept>,
    current: ArcSwapOption<Generation>,
    /// A file that does not load is looked at once, not at every event in its directory.
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

/// What came of looking at a filter's file.
pub enum Reloaded {
    Published,
    Unchanged,
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
    /// from here on use it. Takes tens of milliseconds: not for a worker. Calls must not overlap.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses: what was published stays.
    pub fn reload(&self) -> anyhow::Result<Reloaded> {
        let begun = Instant::now();
        let bytes = read(&self.kept.config.source)?;
        let digest = Digest::of(&bytes);
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = self
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.digest == digest);
        if serves || *rejected == Some(digest) {
            return Ok(Reloaded::Unchanged);
        }
        *rejected = Some(digest);
        let generation = self
            .generate(&bytes, digest)
            .with_context(|| self.kept.config.source.display().to_string())?;
        *rejected = None;
        let number = generation.number;
        self.kept.published.store(number, Ordering::Relaxed);
        self.current.store(Some(generation));
        let elapsed_ms = begun.elapsed().as_millis();
        tracing::info!(filter = %self.kept.name, generation = number, %digest, elapsed_ms, "filter published");
        Ok(Reloaded::Published)
    }

    /// Compiles a component and tries it: an instance of it takes the configuration, or says why not.
    fn generate(&self, bytes: &[u8], digest: Digest) -> anyhow::Result<Arc<Generation>> {
        let linked = link(&self.kept.engine, bytes)?;
        ensure!(
            linked.roles.lifecycle.is_some() || self.kept.config.config.is_null(),
            "it takes no configuration (it does not export `lifecycle`), and one is given"
        );
        let generation = Arc::new(Generation {
            kept: Arc::clone(&self.kept),
            number: self.generation() + 1,
            digest,
            linked,
            config: self.kept.config.config.to_string(),
        });
        let permit = self
            .kept
            .engine
            .admit()
            .context("every instance that the machine affords is in use")?;
        Instance::new(&generation, permit).map_err(|failure| match failure.kind {
            Kind::Init => anyhow!("it refuses its configuration: {failure}"),
            kind => anyhow!("its `init` failed ({kind}): {failure}"),
        })?;
        Ok(generation)
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

//! A filter's slot, and the generations that pass through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use arc_swap::ArcSwapOption;

use super::Groups;
use super::component::{Digest, Linked, link, read};
use super::engine::Engine;
use super::instance::Instance;
use super::metrics::Metrics;
use super::store::Table;
use crate::config::{FilterConfig, FilterLimits, OnError};

/// A filter of the configuration, and the generation of it that serves now.
pub struct Filter {
    kept: Arc<Kept>,
    current: ArcSwapOption<Generation>,
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
    Published(Arc<Generation>),
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
        if self.current.load().as_ref().is_some_and(|current| current.digest == digest) {
            return Ok(Reloaded::Unchanged);
        }
        let in_file = || self.kept.config.source.display().to_string();
        let generation = Arc::new(Generation {
            kept: Arc::clone(&self.kept),
            number: self.kept.published.load(Ordering::Relaxed) + 1,
            digest,
            linked: link(&self.kept.engine, &bytes).with_context(in_file)?,
            config: self.kept.config.config.to_string(),
        });
        let permit = self.kept.engine.admit().context("every instance that the machine affords is in use")?;
        Instance::new(&generation, permit)
            .map_err(|failure| anyhow::anyhow!("its `init` failed: {failure}"))
            .with_context(in_file)?;
        self.kept.published.store(generation.number, Ordering::Relaxed);
        self.current.store(Some(Arc::clone(&generation)));
        let elapsed_ms = begun.elapsed().as_millis();
        tracing::info!(filter = %self.kept.name, generation = generation.number, %digest, elapsed_ms, "filter published");
        Ok(Reloaded::Published(generation))
    }

    /// The generation for a connection that begins now.
    ///
    /// # Panics
    /// Before the first successful `reload`: nothing is served until every filter has loaded once.
    pub fn current(&self) -> Arc<Generation> {
        let current = self.current.load_full();
        current.unwrap_or_else(|| unreachable!("filter {} is asked for before it was loaded", self.kept.name))
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

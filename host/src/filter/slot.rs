//! A filter's slot, and the generations that pass through it.

mod source;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::Groups;
use super::allowance::Allowance;
use super::clock::Clock;
use super::engine::Engine;
use super::generation::Generation;
use super::lineup::{Lineup, Trying};
use super::metrics::{Metric, Metrics};
use super::rollout::Rollout;
use super::store::Table;
use super::tally::Tally;
use super::transition::{Loaded, Transition, Transitions};
use super::witness::Witness;
use crate::artifact::Library;
use crate::config::FilterConfig;
use crate::digest::Digest;

use source::Files;
pub use source::{ConfigRefused, Occasion, Reloaded, Revision};

/// A filter of the configuration, and the generations of it that serve now.
pub struct Filter {
    kept: Arc<Kept>,
    /// What connections read; changed by whoever has `rollout`.
    lineup: ArcSwapOption<Lineup>,
    rollout: Mutex<Rollout<Arc<Generation>>>,
    transitions: Transitions,
    library: ArcSwap<Library>,
    files: Mutex<Files>,
    /// Somebody wants the registry to be asked.
    wanted: Notify,
    /// Every one that lives, held here or by its connections.
    living: Mutex<Vec<Weak<Generation>>>,
}

/// What outlives a filter's generations: each of them holds on to it.
pub(super) struct Kept {
    pub name: Arc<str>,
    /// As the next generation gets it.
    pub config: ArcSwap<FilterConfig>,
    pub table: Table,
    pub metrics: Metrics,
    pub log: Arc<Allowance>,
    pub groups: Arc<dyn Groups>,
    pub clock: Clock,
    /// Of a filter that is tried outside of a proxy: it is told what would go to the log.
    pub witness: Option<Arc<Witness>>,
    pub engine: Engine,
    /// The number of the last generation that was published or tried; 0 before the first.
    pub last: AtomicU64,
    /// Those that another one's connections may go on with, the newest first: not held from here, since they hold this.
    pub standbys: ArcSwapOption<[Weak<Generation>; 2]>,
    /// A generation has failed, or there are others than before: there may be something to decide.
    pub stirred: Notify,
}

impl Filter {
    /// The slot, with nothing in it yet. It trusts what its source has.
    pub fn new(config: FilterConfig, engine: &Engine, groups: Arc<dyn Groups>) -> Self {
        Self::from_library(config, engine, groups, Arc::default())
    }

    /// The same, for a configuration that says where pulled filters are kept and whom to trust.
    pub fn from_library(config: FilterConfig, engine: &Engine, groups: Arc<dyn Groups>, library: Arc<Library>) -> Self {
        Self::within(config, engine, groups, library, Clock::Running, None)
    }

    /// The same, with a clock of its own, and with somebody who is told what would go to the log.
    pub(super) fn within(
        config: FilterConfig,
        engine: &Engine,
        groups: Arc<dyn Groups>,
        library: Arc<Library>,
        clock: Clock,
        witness: Option<Arc<Witness>>,
    ) -> Self {
        let rollout = Rollout::new(&config);
        let limits = config.limits;
        Self {
            kept: Arc::new(Kept {
                name: config.name.as_str().into(),
                config: ArcSwap::from_pointee(config),
                table: Table::new(limits.store_entries, limits.store_bytes),
                metrics: Metrics::new(limits.metrics),
                log: Arc::new(Allowance::new(limits.log_lines)),
                groups,
                clock,
                witness,
                engine: engine.clone(),
                last: AtomicU64::new(0),
                standbys: ArcSwapOption::empty(),
                stirred: Notify::new(),
            }),
            lineup: ArcSwapOption::empty(),
            rollout: Mutex::new(rollout),
            transitions: Transitions::default(),
            library: ArcSwap::new(library),
            files: Mutex::default(),
            wanted: Notify::new(),
            living: Mutex::default(),
        }
    }

    /// The generation for a connection of this client's that begins now: see [`Lineup::choose`].
    ///
    /// # Panics
    /// Before the first successful `reload`: nothing is served until every filter has loaded once.
    pub fn choose(&self, client: Option<SocketAddr>) -> Arc<Generation> {
        match &*self.lineup.load() {
            Some(lineup) => Arc::clone(lineup.choose(client)),
            None => unreachable!("filter {} is asked for before it was loaded", self.kept.name),
        }
    }

    /// What is tried serves everybody from now on, since somebody wants it.
    pub fn promote(&self) -> Reloaded {
        self.change(None, |rollout| {
            rollout.promote_as_asked(Instant::now()).into_iter().collect()
        })
    }

    /// What is tried serves nobody from now on, or else what serves makes room for the one before it.
    pub fn roll_back(&self) -> Reloaded {
        self.change(None, |rollout| {
            rollout.roll_back_as_asked(Instant::now()).into_iter().collect()
        })
    }

    /// Waits until connections get other generations than before: because one failed, or because it is time.
    pub async fn supervise(&self) {
        loop {
            let next = lock(&self.rollout).next_look(Instant::now());
            let stirred = self.kept.stirred.notified();
            match next {
                // Either way it is looked at.
                Some(next) => _ = timeout_at(next.into(), stirred).await,
                None => stirred.await,
            }
            let judge = |rollout: &mut Rollout<_>| std::iter::from_fn(|| rollout.judge(Instant::now())).collect();
            if self.change(None, judge) == Reloaded::Changed {
                return;
            }
        }
    }

    /// The generations that live, by number: what each is, and what it has done.
    pub fn generations(&self) -> Vec<(u64, Digest, &'static str, Arc<Tally>)> {
        let living = lock(&self.living);
        let living = living.iter().filter_map(Weak::upgrade);
        living
            .map(|generation| {
                let place = generation.place().name();
                (
                    generation.number(),
                    generation.digest(),
                    place,
                    Arc::clone(generation.tally()),
                )
            })
            .collect()
    }

    /// How often each thing has happened to its generations.
    pub fn transitions(&self) -> [(&'static str, u64); Transitions::KINDS] {
        self.transitions.all()
    }

    /// What it counts itself.
    pub fn metrics(&self) -> impl Iterator<Item = &Arc<Metric>> {
        self.kept.metrics.all()
    }

    /// Says what the filter has counted: to those who have no page of metrics.
    pub fn log_metrics(&self) {
        for metric in self.kept.metrics.all() {
            let (name, help, value) = (&metric.name, &metric.help, metric.value());
            tracing::info!(filter = %self.kept.name, metric = name, help, value, "filter metric");
        }
    }

    /// Says what its generations have done.
    pub fn log_tallies(&self) {
        for (generation, _, state, tally) in self.generations() {
            let totals = tally.totals();
            tracing::info!(
                filter = %self.kept.name,
                generation,
                state,
                calls = totals.calls.iter().sum::<u64>(),
                failures = totals.failures.iter().sum::<u64>(),
                shown = totals.shown,
                skipped = totals.skipped,
                "filter served"
            );
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.kept.name
    }

    /// Whether its generations come from this one.
    pub fn is_of(&self, library: &Arc<Library>) -> bool {
        Arc::ptr_eq(&self.library.load(), library)
    }

    pub fn config(&self) -> Arc<FilterConfig> {
        self.kept.config.load_full()
    }

    /// The number of the stable generation; 0 where none was loaded yet.
    pub fn generation(&self) -> u64 {
        let lineup = self.lineup.load();
        lineup.as_ref().map_or(0, |lineup| lineup.stable.number())
    }

    /// From here on it serves, or is tried.
    fn serve(&self, generation: Arc<Generation>, loaded: Option<&Loaded>) -> Reloaded {
        self.kept.last.fetch_max(generation.number(), Ordering::Relaxed);
        self.remember(&generation);
        self.change(loaded, |rollout| rollout.publish(generation, Instant::now()))
    }

    fn remember(&self, generation: &Arc<Generation>) {
        let mut living = lock(&self.living);
        living.retain(|known| known.strong_count() > 0);
        living.push(Arc::downgrade(generation));
    }

    /// Changes which generations serve. What has changed is in effect before it is told, in the order in which it happened.
    fn change(
        &self,
        loaded: Option<&Loaded>,
        change: impl FnOnce(&mut Rollout<Arc<Generation>>) -> Vec<Transition>,
    ) -> Reloaded {
        let mut rollout = lock(&self.rollout);
        let transitions = change(&mut rollout);
        let changes = transitions.iter().any(Transition::changes);
        if changes {
            self.install(&rollout);
        }
        for transition in &transitions {
            self.transitions.count(transition);
            transition.log(&self.kept.name, loaded);
        }
        if !changes {
            return Reloaded::Unchanged;
        }
        // Whoever waits does not know yet for how long.
        self.kept.stirred.notify_one();
        Reloaded::Changed
    }

    fn install(&self, rollout: &Rollout<Arc<Generation>>) {
        let Some(stable) = rollout.stable() else { return };
        for generation in lock(&self.living).iter().filter_map(Weak::upgrade) {
            generation.move_to(rollout.place(generation.number()));
        }
        let weak = |generation: Option<&Arc<Generation>>| generation.map_or_else(Weak::new, Arc::downgrade);
        let standbys = [weak(Some(stable)), weak(rollout.previous())];
        self.kept.standbys.store(Some(Arc::new(standbys)));
        let config = self.config();
        let trying = |canary: &Arc<Generation>| Trying::new(Arc::clone(canary), config.canary.as_ref());
        self.lineup.store(Some(Arc::new(Lineup {
            stable: Arc::clone(stable),
            canary: rollout.canary().map(trying),
        })));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panicked while it had one of these was a compiler, which had changed nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A filter's slot, and the generations that pass through it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::Groups;
use super::allowance::Allowance;
use super::clock::Clock;
use super::component::{Linked, VERSION, link};
use super::engine::{Engine, Permit};
use super::failure::{Failure, Kind};
use super::families::Families;
use super::instance::Instance;
use super::lineup::{Lineup, Trying};
use super::metrics::{Metric, Metrics};
use super::rollout::{Judged, Place, Rollout, Seen};
use super::store::Table;
use super::tally::{End, Role, Tally};
use super::transition::{Loaded, Transition, Transitions, Withdrawal};
use super::witness::Witness;
use crate::artifact::{Library, Material, Origin, Trouble};
use crate::config::{FilterConfig, FilterLimits, OnError, Source};
use crate::digest::Digest;

/// A filter of the configuration, and the generations of it that serve now.
pub struct Filter {
    kept: Arc<Kept>,
    /// What connections read; changed by whoever has `rollout`.
    lineup: ArcSwapOption<Lineup>,
    rollout: Mutex<Rollout<Arc<Generation>>>,
    transitions: Transitions,
    library: Arc<Library>,
    files: Mutex<Files>,
    /// Somebody wants the registry to be asked.
    wanted: Notify,
    /// Every one that lives, held here or by its connections.
    living: Mutex<Vec<Weak<Generation>>>,
}

/// What has been seen of the source, so that it is not compiled at every event in its directory, or at every answer of its
/// registry.
#[derive(Default)]
struct Files {
    /// The last one that loaded.
    loaded: Option<Digest>,
    /// The last one that could not.
    rejected: Option<Digest>,
    /// The manifest of the last one that loaded, from a registry.
    manifest: Option<Digest>,
    /// Why the last one may not be loaded: said once.
    refusal: Option<String>,
    /// It is the cache's, since the registry did not answer or had nothing of use.
    is_behind: bool,
}

/// What outlives a filter's generations: each of them holds on to it.
pub(super) struct Kept {
    pub name: Arc<str>,
    pub config: FilterConfig,
    pub table: Table,
    pub metrics: Metrics,
    pub log: Arc<Allowance>,
    pub groups: Arc<dyn Groups>,
    pub clock: Clock,
    /// Of a filter that is tried outside of a proxy: it is told what would go to the log.
    pub witness: Option<Arc<Witness>>,
    engine: Engine,
    /// The number of the last generation that was published or tried; 0 before the first.
    last: AtomicU64,
    /// Those that another one's connections may go on with, the newest first: not held from here, since they hold this.
    standbys: ArcSwapOption<[Weak<Generation>; 2]>,
    /// A generation has failed, or there are others than before: there may be something to decide.
    stirred: Notify,
}

/// One loaded version of a filter. A connection keeps the one that it began with; it is freed with the last of them, where
/// its filter does not hold it as one that serves, that may return, or that is tried again.
pub struct Generation {
    kept: Arc<Kept>,
    number: u64,
    digest: Digest,
    linked: Linked,
    /// As `init` gets it.
    config: String,
    tally: Arc<Tally>,
    /// A [`Place`].
    place: AtomicU8,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// New connections get other generations than before.
    Changed,
    Unchanged,
}

/// Why a file is not published.
enum Rejection {
    /// Its content and the configuration decide that: it would be the same at the next event.
    Lasting(anyhow::Error),
    /// The machine had too much to do.
    Passing(anyhow::Error),
}

/// What a filter has against its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigRefused(pub String);

impl Filter {
    /// The slot, with nothing in it yet. It trusts what its source has.
    pub fn new(config: FilterConfig, engine: &Engine, groups: Arc<dyn Groups>) -> Self {
        Self::from_library(config, engine, groups, Arc::default())
    }

    /// The same, for a configuration that says where pulled filters are kept and whom to trust.
    pub fn from_library(config: FilterConfig, engine: &Engine, groups: Arc<dyn Groups>, library: Arc<Library>) -> Self {
        Self::within(config, engine, groups, library, Clock::Running, None)
    }

    /// With a clock of its own, and with somebody who is told what would go to the log.
    pub(super) fn observed(
        config: FilterConfig,
        engine: &Engine,
        groups: Arc<dyn Groups>,
        clock: Clock,
        witness: Option<Arc<Witness>>,
    ) -> Self {
        Self::within(config, engine, groups, Arc::default(), clock, witness)
    }

    fn within(
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
                config,
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
            library,
            files: Mutex::default(),
            wanted: Notify::new(),
            living: Mutex::default(),
        }
    }

    /// Looks at what its source has now: a file, or a registry. What is new is compiled, tried with its configuration, and
    /// published: connections that begin from here on use it, or some of them, where the configuration wants a canary. What
    /// is the stable generation again withdraws the canary. On request, what was rolled back or is in quarantine gets
    /// another chance. Takes tens of milliseconds, and as long as a registry takes: not for a worker. Calls wait for one another, so
    /// that the last one to read the file is the last one to publish.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses: what was published stays.
    pub fn reload(&self, occasion: Occasion) -> anyhow::Result<Reloaded> {
        let begun = Instant::now();
        let mut files = lock(&self.files);
        let Some(material) = self.obtain(occasion, &mut files)? else {
            return Ok(Reloaded::Unchanged);
        };
        match self.publish(&material, occasion, begun, &mut files) {
            // What a tag means now does not load: at the start, what it meant before is better than nothing.
            Err(error) if self.generation() == 0 && material.origin == Origin::Registry => {
                let Some(mut older) = self.older(&material) else {
                    return Err(error);
                };
                older.behind = Some(format!("{error:#}"));
                self.publish(&older, occasion, begun, &mut files)
            }
            published => published,
        }
    }

    /// What its source has, if it may be loaded; nothing where that is what is loaded already, or was refused already.
    fn obtain(&self, occasion: Occasion, files: &mut Files) -> anyhow::Result<Option<Material>> {
        let config = &self.kept.config;
        let obtained = match &config.source {
            Source::File(path) => {
                let material = self.library.read(path)?;
                self.library.check(&config.source, material, VERSION).map(Some)
            }
            Source::Oci(reference) => {
                let held = files.manifest.filter(|_| occasion == Occasion::Event);
                let first = self.generation() == 0;
                self.library.pull(reference, config.pull, first, held, VERSION)
            }
        };
        let obtained = obtained.with_context(|| config.source.to_string());
        let is_passing = |error: &anyhow::Error| error.downcast_ref::<Trouble>().is_some_and(Trouble::is_passing);
        let refusal = obtained.as_ref().err().filter(|error| !is_passing(error));
        let refusal = refusal.map(|error| format!("{error:#}"));
        let is_known = refusal.is_some() && refusal == files.refusal;
        if obtained.is_ok() || refusal.is_some() {
            files.refusal = refusal;
        }
        match obtained {
            Err(_) if is_known && occasion == Occasion::Event => Ok(None),
            obtained => obtained,
        }
    }

    /// The last good one of its tag, where that is another one.
    fn older(&self, than: &Material) -> Option<Material> {
        let Source::Oci(reference) = &self.kept.config.source else {
            return None;
        };
        let cached = self.library.cached(reference, VERSION)?.ok()?;
        (cached.digest != than.digest).then_some(cached)
    }

    fn publish(
        &self,
        material: &Material,
        occasion: Occasion,
        begun: Instant,
        files: &mut Files,
    ) -> anyhow::Result<Reloaded> {
        let digest = material.digest;
        if let Some(reloaded) = self.reload_known(digest, occasion, files) {
            if files.loaded == Some(digest) {
                self.settle(material, files);
            }
            return Ok(reloaded);
        }
        // Now, and not when the answer is there: a file on which the compiler panics is rejected too.
        files.rejected = Some(digest);
        let generated = self.generate(&material.bytes, digest);
        if !matches!(generated, Err(Rejection::Lasting(_))) {
            files.rejected = None;
        }
        let generation = generated
            .map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)
            .with_context(|| self.kept.config.source.to_string())?;
        files.loaded = Some(digest);
        self.settle(material, files);
        self.kept.last.store(generation.number, Ordering::Relaxed);
        self.remember(&generation);
        let loaded = Loaded {
            digest,
            elapsed: begun.elapsed(),
        };
        let publish = |rollout: &mut Rollout<_>| rollout.publish(generation, Instant::now());
        Ok(self.change(Some(&loaded), publish))
    }

    /// Publishes what was compiled before, as [`reload`](Self::reload) does with a file.
    ///
    /// # Errors
    /// Its `init` refuses, or fails.
    pub(super) fn adopt(&self, linked: Linked, digest: Digest) -> anyhow::Result<()> {
        let generated = self.tried(linked, digest);
        let generation = generated.map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)?;
        self.kept.last.store(generation.number, Ordering::Relaxed);
        self.remember(&generation);
        self.change(None, |rollout| rollout.publish(generation, Instant::now()));
        Ok(())
    }

    /// The schema of the configuration that it takes, whatever it thinks of the one that it has.
    ///
    /// # Errors
    /// It failed when it was asked.
    pub(super) fn schema(&self, linked: Linked, digest: Digest) -> anyhow::Result<Option<String>> {
        let generation = Arc::new(self.generation_of(linked, digest));
        let permit = generation
            .admit()
            .context("every instance that the machine affords is in use")?;
        Ok(Instance::schema(&generation, permit)?)
    }

    /// It is loaded: what it came from is what this filter is, until there is something else.
    fn settle(&self, material: &Material, files: &mut Files) {
        let Source::Oci(reference) = &self.kept.config.source else {
            return;
        };
        self.library.settle(reference, material);
        files.manifest = material.manifest;
        files.is_behind = material.behind.is_some();
        let filter = &*self.kept.name;
        let signed_by = material.signed.as_ref().map(|signed| signed.key.as_str());
        let version = material.signed.as_ref().and_then(|signed| signed.version.as_deref());
        let manifest = material.manifest.map(|manifest| manifest.to_string());
        let source = reference.to_string();
        match &material.behind {
            None => {
                tracing::info!(filter, source, manifest, signed_by, version, origin = ?material.origin, "filter pulled");
            }
            Some(error) => {
                tracing::warn!(
                    filter,
                    source,
                    manifest,
                    signed_by,
                    version,
                    error,
                    "filter is the last good one, from the cache"
                );
            }
        }
    }

    /// Whether the registry has to be asked again soon, since what serves is what the cache had.
    pub fn is_behind(&self) -> bool {
        lock(&self.files).is_behind
    }

    /// Somebody wants the registry to be asked: see [`wanted`](Self::wanted).
    pub fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits until somebody wants the registry to be asked.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// A file that needs no compiling.
    fn reload_known(&self, digest: Digest, occasion: Occasion, files: &mut Files) -> Option<Reloaded> {
        let is_it = |generation: Option<&Arc<Generation>>| generation.is_some_and(|known| known.digest == digest);
        let (stable, canary, quarantined) = {
            let rollout = lock(&self.rollout);
            (
                is_it(rollout.stable()),
                is_it(rollout.canary()),
                is_it(rollout.quarantined()),
            )
        };
        if stable {
            // Also where it was not the last one that was loaded: the file has been put back.
            let reverted = files.loaded.replace(digest) != Some(digest);
            let withdraw = |rollout: &mut Rollout<_>| rollout.withdraw(Withdrawal::Reverted);
            return Some(if reverted {
                self.change(None, withdraw)
            } else {
                Reloaded::Unchanged
            });
        }
        match occasion {
            _ if canary => Some(Reloaded::Unchanged),
            Occasion::Request if quarantined => {
                Some(self.change(None, |rollout| rollout.retry(Instant::now()).into_iter().collect()))
            }
            Occasion::Event if files.loaded == Some(digest) || files.rejected == Some(digest) => {
                Some(Reloaded::Unchanged)
            }
            Occasion::Event | Occasion::Request => None,
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
            let place = rollout.place(generation.number);
            generation.place.store(place as u8, Ordering::Relaxed);
        }
        let weak = |generation: Option<&Arc<Generation>>| generation.map_or_else(Weak::new, Arc::downgrade);
        let standbys = [weak(Some(stable)), weak(rollout.previous())];
        self.kept.standbys.store(Some(Arc::new(standbys)));
        let trying = |canary: &Arc<Generation>| Trying::new(Arc::clone(canary), self.kept.config.canary.as_ref());
        self.lineup.store(Some(Arc::new(Lineup {
            stable: Arc::clone(stable),
            canary: rollout.canary().map(trying),
        })));
    }

    fn remember(&self, generation: &Arc<Generation>) {
        let mut living = lock(&self.living);
        living.retain(|known| known.strong_count() > 0);
        living.push(Arc::downgrade(generation));
    }

    /// Compiles a component and tries it: an instance of it takes the configuration, or says why not.
    fn generate(&self, bytes: &[u8], digest: Digest) -> Result<Arc<Generation>, Rejection> {
        let linked = link(&self.kept.engine, bytes, &self.kept.config.grants).map_err(Rejection::Lasting)?;
        self.tried(linked, digest)
    }

    fn tried(&self, linked: Linked, digest: Digest) -> Result<Arc<Generation>, Rejection> {
        let generation = self.configured(linked, digest).map_err(Rejection::Lasting)?;
        let generation = Arc::new(generation);
        let permit = generation
            .admit()
            .context("every instance that the machine affords is in use")
            .map_err(Rejection::Passing)?;
        Instance::new(&generation, permit)?;
        Ok(generation)
    }

    fn configured(&self, linked: Linked, digest: Digest) -> anyhow::Result<Generation> {
        ensure!(
            linked.roles.lifecycle.is_some() || self.kept.config.config.is_null(),
            ConfigRefused("it takes no configuration (it does not export `lifecycle`), and one is given".to_owned())
        );
        Ok(self.generation_of(linked, digest))
    }

    fn generation_of(&self, linked: Linked, digest: Digest) -> Generation {
        Generation {
            kept: Arc::clone(&self.kept),
            number: self.kept.last.load(Ordering::Relaxed) + 1,
            digest,
            linked,
            config: self.kept.config.config.to_string(),
            tally: Arc::default(),
            place: AtomicU8::new(Place::New as u8),
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

    /// The generations that live, by number: what each is, and what it has done.
    pub fn generations(&self) -> Vec<(u64, Digest, &'static str, Arc<Tally>)> {
        let living = lock(&self.living);
        let living = living.iter().filter_map(Weak::upgrade);
        living
            .map(|generation| {
                let place = generation.place().name();
                (
                    generation.number,
                    generation.digest,
                    place,
                    Arc::clone(&generation.tally),
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

    pub fn config(&self) -> &FilterConfig {
        &self.kept.config
    }

    /// The number of the stable generation; 0 where none was loaded yet.
    pub fn generation(&self) -> u64 {
        let lineup = self.lineup.load();
        lineup.as_ref().map_or(0, |lineup| lineup.stable.number)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panicked while it had one of these was a compiler, which had changed nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        let failed = |failure: Failure| anyhow!("its `init` failed ({}): {failure}", failure.kind);
        match failure.kind {
            Kind::Init => Self::Lasting(ConfigRefused(format!("it refuses its configuration: {failure}")).into()),
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
        self.has_role(Role::Router)
    }

    pub fn has_role(&self, role: Role) -> bool {
        self.linked.roles.has(role)
    }

    /// Whether it is asked anything about a connection while that lives.
    pub fn asks(&self) -> bool {
        [Role::Router, Role::Inspector, Role::Transformer]
            .into_iter()
            .any(|role| self.has_role(role))
    }

    pub fn is_observer(&self) -> bool {
        self.has_role(Role::Observer)
    }

    /// Whether connections may begin to use it.
    pub(super) fn is_current(&self) -> bool {
        match self.place() {
            Place::Stable | Place::Canary => true,
            Place::Previous => self.on_error() == OnError::Previous,
            Place::New | Place::Quarantined | Place::Old => false,
        }
    }

    fn place(&self) -> Place {
        Place::of(self.place.load(Ordering::Relaxed))
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// What it has done so far.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Counts a failure, and has somebody look whether there is something to decide.
    pub(super) fn failed(&self, kind: Kind) {
        self.tally.failed(kind);
        self.kept.stirred.notify_one();
    }

    /// The one that connections go on with where this one fails: the newest of those that serve, or may return, and that were
    /// there before it.
    pub(super) fn previous(&self) -> Option<Arc<Self>> {
        let standbys = self.kept.standbys.load();
        let mut standbys = standbys.iter().flat_map(|standbys| standbys.iter());
        standbys.find_map(|standby| standby.upgrade().filter(|standby| standby.number < self.number))
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The right to one more instance of it, or `None`: then sessions share one.
    pub(super) fn admit(&self) -> Option<Permit> {
        self.kept.engine.admit(self.linked.memories)
    }

    /// What the metrics of all filters are called.
    pub(super) fn families(&self) -> &Families {
        self.kept.engine.families()
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
        if self.place() != Place::New {
            tracing::info!(filter = %self.kept.name, generation = self.number, "generation freed");
        }
    }
}

impl Judged for Arc<Generation> {
    fn number(&self) -> u64 {
        self.number
    }

    fn seen(&self) -> Seen {
        let totals = self.tally.totals();
        Seen {
            failures: totals.own_failures(),
            connections: totals.connections(),
            refused: totals.ends[End::Refused as usize],
            early: totals.ends[End::Early as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// The same with two memories: its module has one, and is instantiated twice.
    const OBSERVER_WITH_TWO_MEMORIES: &[u8] = b"\0asm\x0d\0\x01\0\
        \x01\x24\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\0\
        \x07\x05\x01\x01f\0\0\x0a\x04\x01\x02\0\x0b\
        \x02\x07\x02\0\0\0\0\0\0\
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

    fn slot(engine: &Engine, source: &std::path::Path) -> Filter {
        let config = FilterConfig::new("observer", source.to_owned());
        Filter::new(config, engine, Arc::new(NoGroups))
    }

    #[test]
    fn what_had_no_instance_is_tried_again_and_what_cannot_load_only_on_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), OBSERVER_BY_NAME).unwrap();
        let engine = Engine::new().unwrap();
        let filter = slot(&engine, file.path());
        let rejection = |occasion| filter.reload(occasion).err().map(|error| format!("{error:#}"));

        let all: Vec<_> = std::iter::from_fn(|| engine.admit(1)).collect();
        let busy = rejection(Occasion::Event).unwrap();
        assert!(busy.contains("in use"), "{busy}");
        drop(all);

        let wrong = rejection(Occasion::Event).unwrap();
        assert!(wrong.contains("type mismatch"), "{wrong}");
        assert_eq!(rejection(Occasion::Event), None, "it was not looked at again");
        assert_eq!(rejection(Occasion::Request), Some(wrong));
        assert_eq!(rejection(Occasion::Event), None, "it was not looked at again");
    }

    #[test]
    fn an_instance_takes_a_place_for_each_of_its_memories() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), OBSERVER_WITH_TWO_MEMORIES).unwrap();
        let engine = Engine::new().unwrap();
        let filter = slot(&engine, file.path());
        let rejection = || format!("{:#}", filter.reload(Occasion::Request).err().unwrap());

        let mut all: Vec<_> = std::iter::from_fn(|| engine.admit(1)).collect();
        all.pop();
        let busy = rejection();
        assert!(busy.contains("in use"), "one place is too few: {busy}");
        all.pop();
        let tried = rejection();
        assert!(tried.contains("type mismatch"), "two are enough: {tried}");
    }
}

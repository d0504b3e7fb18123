//! From what a filter's source has to a generation that serves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use super::super::component::{Linked, VERSION, link};
use super::super::failure::{Failure, Kind};
use super::super::generation::Generation;
use super::super::instance::Instance;
use super::super::rollout::Rollout;
use super::super::transition::{Loaded, Withdrawal};
use super::{Filter, lock};
use crate::artifact::{Library, Material, Origin, Trouble};
use crate::config::{FilterConfig, Source};
use crate::digest::Digest;

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

/// What a filter has against its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigRefused(pub String);

/// What has been seen of the source, so that it is not compiled at every event in its directory, or at every answer of its
/// registry.
#[derive(Default)]
pub(super) struct Files {
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

/// Another configuration of a filter, and what it has made of it.
pub struct Revision {
    config: Arc<FilterConfig>,
    library: Arc<Library>,
    /// `None` where generations are loaded as before.
    loaded: Option<(Arc<Generation>, Material, Duration)>,
}

/// Why a file is not published.
enum Rejection {
    /// Its content and the configuration decide that: it would be the same at the next event.
    Lasting(anyhow::Error),
    /// The machine had too much to do.
    Passing(anyhow::Error),
}

impl Filter {
    /// Looks at what its source has now: a file, or a registry. What is new is compiled, tried with its configuration, and
    /// published: connections that begin from here on use it, or some of them, where the configuration wants a canary. What
    /// is the stable generation again withdraws the canary. On request, what was rolled back or is in quarantine gets
    /// another chance. Takes tens of milliseconds, and as long as a registry takes: not for a worker. Calls wait for one
    /// another, so that the last one to read the file is the last one to publish.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses: what was published stays.
    pub fn reload(&self, occasion: Occasion) -> anyhow::Result<Reloaded> {
        let begun = Instant::now();
        let mut files = lock(&self.files);
        let config = self.config();
        let first = self.generation() == 0;
        let Some(material) = obtain(&config, &self.library.load(), occasion, first, &mut files)? else {
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

    /// Loads and tries what another configuration makes of it. What serves, serves on; not for a worker, as
    /// [`reload`](Self::reload) is not.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses the new configuration.
    pub fn prepare(&self, config: FilterConfig, library: &Arc<Library>) -> anyhow::Result<Revision> {
        let begun = Instant::now();
        let config = Arc::new(config);
        let revision = |loaded| Revision {
            config: Arc::clone(&config),
            library: Arc::clone(library),
            loaded,
        };
        if is_loaded_alike(&self.config(), &config) {
            return Ok(revision(None));
        }
        // Whoever looks at the source meanwhile waits, so that no two have the same number.
        let _files = lock(&self.files);
        let (generation, material) = self.load(&config, library)?;
        self.kept.last.fetch_max(generation.number(), Ordering::Relaxed);
        Ok(revision(Some((generation, material, begun.elapsed()))))
    }

    /// Whether it would load: it is compiled and tried, and nothing of that is kept. Not for a worker.
    ///
    /// # Errors
    /// It does not load, or its `init` refuses its configuration.
    pub fn examine(&self) -> anyhow::Result<()> {
        self.load(&self.config(), &self.library.load()).map(drop)
    }

    fn load(&self, config: &Arc<FilterConfig>, library: &Library) -> anyhow::Result<(Arc<Generation>, Material)> {
        let material = obtain(config, library, Occasion::Request, true, &mut Files::default())?;
        let material = material.with_context(|| format!("{} has nothing", config.source))?;
        let generated = self.generate(config, &material.bytes, material.digest);
        let generation = generated
            .map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)
            .with_context(|| config.source.to_string())?;
        Ok((generation, material))
    }

    /// From now on it is so: new connections get what was prepared, or some of them, where it wants a canary.
    pub fn commit(&self, revision: Revision) -> Reloaded {
        let mut files = lock(&self.files);
        lock(&self.rollout).reconfigure(&revision.config);
        self.kept.config.store(revision.config);
        self.library.store(revision.library);
        let Some((generation, material, elapsed)) = revision.loaded else {
            return Reloaded::Unchanged;
        };
        let digest = material.digest;
        *files = Files {
            loaded: Some(digest),
            ..Files::default()
        };
        self.settle(&material, &mut files);
        self.serve(generation, Some(&Loaded { digest, elapsed }))
    }

    /// Publishes what was compiled before, as [`reload`](Self::reload) does with a file.
    ///
    /// # Errors
    /// Its `init` refuses, or fails.
    pub(in crate::filter) fn adopt(&self, linked: Linked, digest: Digest) -> anyhow::Result<()> {
        let generated = self.tried(&self.config(), linked, digest);
        let generation = generated.map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)?;
        self.serve(generation, None);
        Ok(())
    }

    /// The schema of the configuration that it takes, whatever it thinks of the one that it has.
    ///
    /// # Errors
    /// It failed when it was asked.
    pub(in crate::filter) fn schema(&self, linked: Linked, digest: Digest) -> anyhow::Result<Option<String>> {
        let generation = Arc::new(Generation::new(&self.kept, &self.config(), linked, digest));
        let permit = generation
            .admit()
            .context("every instance that the machine affords is in use")?;
        Ok(Instance::schema(&generation, permit)?)
    }

    /// The last good one of its tag, where that is another one.
    fn older(&self, than: &Material) -> Option<Material> {
        let config = self.config();
        let Source::Oci(reference) = &config.source else {
            return None;
        };
        let cached = self.library.load().cached(reference, VERSION)?.ok()?;
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
        let config = self.config();
        let generated = self.generate(&config, &material.bytes, digest);
        if !matches!(generated, Err(Rejection::Lasting(_))) {
            files.rejected = None;
        }
        let generation = generated
            .map_err(|(Rejection::Lasting(error) | Rejection::Passing(error))| error)
            .with_context(|| config.source.to_string())?;
        files.loaded = Some(digest);
        self.settle(material, files);
        let loaded = Loaded {
            digest,
            elapsed: begun.elapsed(),
        };
        Ok(self.serve(generation, Some(&loaded)))
    }

    /// A file that needs no compiling.
    fn reload_known(&self, digest: Digest, occasion: Occasion, files: &mut Files) -> Option<Reloaded> {
        let is_it = |generation: Option<&Arc<Generation>>| generation.is_some_and(|known| known.digest() == digest);
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

    /// It is loaded: what it came from is what this filter is, until there is something else.
    fn settle(&self, material: &Material, files: &mut Files) {
        let config = self.config();
        let Source::Oci(reference) = &config.source else {
            return;
        };
        self.library.load().settle(reference, material);
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

    /// Compiles a component and tries it: an instance of it takes the configuration, or says why not.
    fn generate(&self, config: &Arc<FilterConfig>, bytes: &[u8], digest: Digest) -> Result<Arc<Generation>, Rejection> {
        let linked = link(&self.kept.engine, bytes, &config.grants).map_err(Rejection::Lasting)?;
        self.tried(config, linked, digest)
    }

    fn tried(&self, config: &Arc<FilterConfig>, linked: Linked, digest: Digest) -> Result<Arc<Generation>, Rejection> {
        let generation = self.configured(config, linked, digest).map_err(Rejection::Lasting)?;
        let generation = Arc::new(generation);
        let permit = generation
            .admit()
            .context("every instance that the machine affords is in use")
            .map_err(Rejection::Passing)?;
        Instance::new(&generation, permit)?;
        Ok(generation)
    }

    fn configured(&self, config: &Arc<FilterConfig>, linked: Linked, digest: Digest) -> anyhow::Result<Generation> {
        ensure!(
            linked.roles.lifecycle.is_some() || config.config.is_null(),
            ConfigRefused("it takes no configuration (it does not export `lifecycle`), and one is given".to_owned())
        );
        Ok(Generation::new(&self.kept, config, linked, digest))
    }
}

/// What its source has, if it may be loaded; nothing where that is what is loaded already, or was refused already.
fn obtain(
    config: &FilterConfig,
    library: &Library,
    occasion: Occasion,
    first: bool,
    files: &mut Files,
) -> anyhow::Result<Option<Material>> {
    let obtained = match &config.source {
        Source::File(path) => {
            let material = library.read(path)?;
            library.check(&config.source, material, VERSION).map(Some)
        }
        Source::Oci(reference) => {
            let held = files.manifest.filter(|_| occasion == Occasion::Event);
            library.pull(reference, config.pull, first, held, VERSION)
        }
    };
    let obtained = obtained
        .and_then(|material| material.map(|material| as_wanted(config, material)).transpose())
        .with_context(|| config.source.to_string());
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

fn as_wanted(config: &FilterConfig, material: Material) -> anyhow::Result<Material> {
    if let Some(wanted) = config.digest {
        ensure!(
            material.digest == wanted,
            "it has the digest {}: expected {wanted}",
            material.digest
        );
    }
    Ok(material)
}

/// Whether the two differ in nothing that a generation is loaded with.
fn is_loaded_alike(old: &FilterConfig, new: &FilterConfig) -> bool {
    let old = FilterConfig {
        pull: new.pull,
        canary: new.canary.clone(),
        quarantine: new.quarantine,
        ..old.clone()
    };
    old == *new
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FilterConfig;
    use crate::filter::{Engine, Group, Groups};

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

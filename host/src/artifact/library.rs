//! From a source of the configuration to bytes that may be loaded.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};

use super::cache::Cache;
use super::layout::Manifest;
use super::registry::Session;
use super::trust::Trust;
use super::{LARGEST_COMPONENT, LARGEST_SIGNATURE, Patience, Trouble, signature_file};
use crate::config::{Config, Pull, Reference, Registries, Source, Version};
use crate::digest::Digest;
use crate::signature::{Candidate, Signature, Verified};

/// Registries, the cache of what was pulled from them, and whom to trust.
#[derive(Debug, Default)]
pub struct Library {
    registries: Registries,
    trust: Trust,
    /// Opened when it is needed for the first time: not everybody pulls.
    cache: OnceLock<Option<Cache>>,
}

/// The code of a filter, and how it came here.
#[derive(Debug)]
pub struct Material {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    /// Of its manifest, where it comes from a registry.
    pub manifest: Option<Digest>,
    pub origin: Origin,
    /// Who has signed it, where somebody had to.
    pub signed: Option<Verified>,
    /// Why it is what the cache had, and not what the registry has.
    pub behind: Option<String>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    File,
    Registry,
    Cache,
}

/// How often a registry is asked at the start where nothing else is there to serve.
const TRIES_AT_START: u32 = 3;

impl Library {
    pub fn new(config: &Config) -> Self {
        Self {
            registries: config.registries.clone(),
            trust: Trust(config.trust.clone()),
            cache: OnceLock::new(),
        }
    }

    /// The files of keys: what they say is asked each time that a filter is loaded.
    pub fn key_files(&self) -> impl Iterator<Item = &Path> {
        self.trust.files()
    }

    /// A component's file, with what is known about it: not whether it may be loaded.
    ///
    /// # Errors
    /// It cannot be read, or is larger than any filter should be.
    pub fn read(&self, path: &Path) -> anyhow::Result<Material> {
        let failed = || format!("cannot read {}", path.display());
        let metadata = std::fs::metadata(path).with_context(failed)?;
        ensure!(!metadata.is_dir(), no_directory(path));
        // What is none may never end.
        ensure!(metadata.is_file(), "{} is no file", path.display());
        let size = metadata.len();
        ensure!(
            size <= LARGEST_COMPONENT,
            "{} has {size} bytes: a filter may have {LARGEST_COMPONENT}",
            path.display()
        );
        let bytes = std::fs::read(path).with_context(failed)?;
        let signature = short_text(&signature_file(path));
        Ok(Material {
            digest: Digest::of(&bytes),
            bytes,
            manifest: None,
            origin: Origin::File,
            signed: None,
            behind: None,
            signatures: signature.into_iter().map(Signature::Minisign).collect(),
        })
    }

    /// Whether it may be loaded.
    ///
    /// # Errors
    /// A rule of `[[trust]]` is about it, and it is not signed as that says.
    pub fn check(&self, source: &Source, mut material: Material, contract: &str) -> anyhow::Result<Material> {
        let name = source.name();
        let candidate = Candidate {
            name: &name,
            bytes: &material.bytes,
            digest: material.digest,
            manifest: material.manifest,
            contract,
        };
        material.signed = self.trust.check(source, candidate, &material.signatures)?;
        Ok(material)
    }

    /// What lies in a registry, checked; or nothing where that is what is held. `first` is: nothing serves yet. Then what the
    /// cache has will do where the registry does not answer, or has nothing that may be loaded.
    ///
    /// # Errors
    /// Neither the registry nor the cache has it, or it may not be loaded.
    pub fn pull(
        &self,
        reference: &Reference,
        pull: Pull,
        first: bool,
        held: Option<Digest>,
        contract: &str,
    ) -> anyhow::Result<Option<Material>> {
        let asks = reference.moving_tag().is_some() && pull != Pull::IfAbsent;
        let known = self.meaning(reference);
        if !asks {
            if held.is_some() && held == known {
                return Ok(None);
            }
            if let Some(Ok(material)) = self.cached(reference, contract) {
                return Ok(Some(material));
            }
        }
        let pulled = self.fetch(reference, held, first && known.is_none());
        let pulled = pulled.map_err(anyhow::Error::from).and_then(|pulled| {
            let check = |material| self.check(&Source::Oci(reference.clone()), material, contract);
            pulled.map(check).transpose()
        });
        match (pulled, first) {
            (Err(error), true) => match self.cached(reference, contract) {
                Some(Ok(material)) => Ok(Some(Material {
                    behind: Some(format!("{error:#}")),
                    ..material
                })),
                Some(Err(_)) | None => Err(error),
            },
            (pulled, _) => pulled,
        }
    }

    /// The last good one that a reference has meant, if the cache has all of it, and whether it may be loaded.
    pub fn cached(&self, reference: &Reference, contract: &str) -> Option<anyhow::Result<Material>> {
        let cache = self.cache()?;
        let manifest = self.meaning(reference)?;
        let parsed = Manifest::parse(&cache.blob(manifest)?).ok()?;
        let digest = parsed.component().ok()?.digest().ok()?;
        let material = Material {
            bytes: cache.blob(digest)?,
            digest,
            manifest: Some(manifest),
            origin: Origin::Cache,
            signed: None,
            behind: None,
            signatures: cache.signatures(&reference.repository, manifest),
        };
        Some(self.check(&Source::Oci(reference.clone()), material, contract))
    }

    /// It has been loaded: from now on this is what its tag means where the registry is not asked.
    pub fn settle(&self, reference: &Reference, material: &Material) {
        let (Some(cache), Some(manifest)) = (self.cache(), material.manifest) else {
            return;
        };
        if material.origin == Origin::Registry
            && let Err(error) = cache.keep_tag(reference, manifest)
        {
            not_kept(reference, &error);
        }
    }

    fn meaning(&self, reference: &Reference) -> Option<Digest> {
        match reference.version {
            Version::Digest { digest, .. } => Some(digest),
            Version::Tag(_) => self.cache()?.tag(reference),
        }
    }

    fn fetch(&self, reference: &Reference, held: Option<Digest>, patient: bool) -> Result<Option<Material>, Trouble> {
        let mut patience = Patience::default();
        let tries = if patient { TRIES_AT_START } else { 1 };
        for last in (0..tries).rev() {
            let fetched = Session::run(&self.registries, &reference.repository, async |session| {
                self.download(&session, reference, held).await
            });
            match fetched {
                Err(trouble) if last > 0 && trouble.is_passing() => {
                    tracing::warn!(source = %reference, error = %trouble, "a registry does not answer: it is asked again");
                    patience.failed();
                    std::thread::sleep(patience.wait(Pull::Always, fastrand::f64()).unwrap_or_default());
                }
                fetched => return fetched,
            }
        }
        unreachable!("the last try returns")
    }

    async fn download(
        &self,
        session: &Session,
        reference: &Reference,
        held: Option<Digest>,
    ) -> Result<Option<Material>, Trouble> {
        let (manifest, document) = match &reference.version {
            Version::Digest { digest, .. } => (*digest, session.manifest(*digest).await?),
            Version::Tag(tag) => {
                if held.is_some() && session.meaning(tag).await? == held {
                    return Ok(None);
                }
                session.tagged(tag).await?
            }
        };
        if held == Some(manifest) {
            return Ok(None);
        }
        let parsed = Manifest::parse(&document).map_err(Trouble::NoFilter)?;
        let component = parsed.component().map_err(Trouble::NoFilter)?;
        let digest = component.digest().map_err(Trouble::NoFilter)?;
        let cache = self.cache();
        let bytes = match cache.and_then(|cache| cache.blob(digest)) {
            Some(bytes) => bytes,
            None => session.blob(component, LARGEST_COMPONENT).await?,
        };
        let signatures = session.signatures(manifest).await?;
        if let Some(cache) = cache {
            let kept = cache
                .keep_blob(digest, &bytes)
                .and_then(|()| cache.keep_blob(manifest, &document))
                .and_then(|()| cache.keep_signatures(&reference.repository, manifest, &signatures));
            if let Err(error) = kept {
                not_kept(reference, &error);
            }
        }
        Ok(Some(Material {
            bytes,
            digest,
            manifest: Some(manifest),
            origin: Origin::Registry,
            signed: None,
            behind: None,
            signatures,
        }))
    }

    fn cache(&self) -> Option<&Cache> {
        let open = || match Cache::open(self.registries.cache.as_deref(), |name| std::env::var_os(name)) {
            Ok(cache) => Some(cache),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(
                    error,
                    "pulled filters are not kept: without its registry this process will not start again"
                );
                None
            }
        };
        self.cache.get_or_init(open).as_ref()
    }
}

impl Material {
    /// From a registry, without a cache and without asking whether it may be loaded: for people who want to look at it.
    ///
    /// # Errors
    /// It cannot be pulled.
    pub fn fetch(registries: &Registries, reference: &Reference) -> anyhow::Result<Self> {
        let library = Library {
            registries: registries.clone(),
            trust: Trust::default(),
            cache: OnceLock::from(None),
        };
        let fetched = library.fetch(reference, None, false)?;
        fetched.ok_or_else(|| anyhow!("{reference} is not there"))
    }

    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

/// What is no longer than a signature.
/// What is meant is most often the component of the crate that is there.
fn no_directory(path: &Path) -> String {
    let name = path.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name).unwrap_or_default();
    let component = path.join("target/filters").join(name).with_added_extension("wasm");
    let path = path.display();
    format!(
        "{path} is a directory: expected a component's file. `spliceway filter build {path}` makes one of a crate and says where: \
         {}, unless the crate is a part of a workspace",
        component.display()
    )
}

fn short_text(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= LARGEST_SIGNATURE).then(|| std::fs::read_to_string(path).ok())?
}

fn not_kept(reference: &Reference, error: &std::io::Error) {
    tracing::warn!(
        source = %reference,
        error = %error,
        "a pulled filter is not kept: it serves, and the registry is needed after a restart"
    );
}

//! What has been pulled, on disk: so that the last good one serves when the registry is away, also after a restart.
//!
//! ```text
//! blobs/sha256/HEX      manifests and components, by their digests
//! tags/HEX              what a tag meant when it was last asked; HEX is of the reference
//! signatures/HEX        the signatures of a manifest; HEX is of the repository and the manifest
//! ```
//!
//! Nothing here is believed: blobs are hashed when they are read, and signatures are checked by those who use them. A tag's
//! meaning is what somebody else must not be able to write, which is why the directory has to be ours alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::LARGEST_COMPONENT;
use crate::config::{Reference, Repository};
use crate::digest::Digest;
use crate::signature::Signature;

#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Tag {
    reference: String,
    manifest: String,
}

#[derive(Serialize, Deserialize, Default)]
struct Signatures {
    minisign: Vec<String>,
    /// Payload and signature, each in Base64.
    cosign: Vec<(String, String)>,
}

impl Cache {
    /// The one that is configured, or that of the environment: systemd's `StateDirectory=`, or a user's.
    ///
    /// # Errors
    /// There is none, it cannot be written, or somebody else can write there.
    pub fn open(configured: Option<&Path>, environment: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Self> {
        let root = match configured {
            Some(configured) => configured.to_owned(),
            None => usual(environment).context(
                "no directory to keep pulled filters in: set `cache` of `[registries]`, or `StateDirectory=` of the service",
            )?,
        };
        let failed = || format!("pulled filters cannot be kept in {}", root.display());
        make(&root).with_context(failed)?;
        let root = root.canonicalize().with_context(failed)?;
        check_owners(&root).with_context(failed)?;
        for folder in ["blobs/sha256", "tags", "signatures"] {
            make(&root.join(folder)).with_context(failed)?;
        }
        Ok(Self { root })
    }

    /// What a tag meant when it was last asked.
    pub fn tag(&self, reference: &Reference) -> Option<Digest> {
        let record: Tag = self.record(&self.tag_file(reference))?;
        // Two references with one hash are not to be had; a file that was put there by hand is.
        (record.reference == reference.to_string()).then_some(())?;
        record.manifest.parse().ok()
    }

    pub fn keep_tag(&self, reference: &Reference, manifest: Digest) -> io::Result<()> {
        let record = Tag {
            reference: reference.to_string(),
            manifest: manifest.to_string(),
        };
        replace(&self.tag_file(reference), &serde_json::to_vec(&record)?)
    }

    /// Exactly these bytes, or nothing.
    pub fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        let file = self.blob_file(digest);
        let bytes = bounded(&file)?;
        if Digest::of(&bytes) == digest {
            return Some(bytes);
        }
        tracing::warn!(file = %file.display(), "a file in the cache is not what its name says: it is removed");
        let _ = fs::remove_file(&file);
        None
    }

    pub fn keep_blob(&self, digest: Digest, bytes: &[u8]) -> io::Result<()> {
        let file = self.blob_file(digest);
        let is_there = fs::metadata(&file).is_ok_and(|found| found.len() == bytes.len() as u64);
        match is_there && self.blob(digest).is_some() {
            true => Ok(()),
            false => replace(&file, bytes),
        }
    }

    pub fn signatures(&self, repository: &Repository, manifest: Digest) -> Vec<Signature> {
        let kept: Signatures = self
            .record(&self.signature_file(repository, manifest))
            .unwrap_or_default();
        let cosign = kept.cosign.iter().filter_map(|(payload, signature)| {
            Some(Signature::Cosign {
                payload: STANDARD.decode(payload).ok()?,
                signature: STANDARD.decode(signature).ok()?,
            })
        });
        kept.minisign
            .iter()
            .cloned()
            .map(Signature::Minisign)
            .chain(cosign)
            .collect()
    }

    pub fn keep_signatures(&self, repository: &Repository, manifest: Digest, all: &[Signature]) -> io::Result<()> {
        let mut kept = Signatures::default();
        for signature in all {
            match signature {
                Signature::Minisign(text) => kept.minisign.push(text.clone()),
                Signature::Cosign { payload, signature } => {
                    kept.cosign.push((STANDARD.encode(payload), STANDARD.encode(signature)));
                }
            }
        }
        replace(&self.signature_file(repository, manifest), &serde_json::to_vec(&kept)?)
    }

    fn record<T: for<'a> Deserialize<'a>>(&self, file: &Path) -> Option<T> {
        serde_json::from_slice(&bounded(file)?).ok()
    }

    fn blob_file(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn tag_file(&self, reference: &Reference) -> PathBuf {
        let hex = Digest::of(reference.to_string().as_bytes()).hex();
        self.root.join("tags").join(hex)
    }

    fn signature_file(&self, repository: &Repository, manifest: Digest) -> PathBuf {
        let hex = Digest::of(format!("{repository}@{manifest}").as_bytes()).hex();
        self.root.join("signatures").join(hex)
    }
}

fn usual(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let find = |name: &str| environment(name).filter(|value| !value.is_empty());
    // systemd separates several by colons.
    let state = find("STATE_DIRECTORY").and_then(|all| {
        let first = all.to_string_lossy().split(':').next()?.to_owned();
        Some(PathBuf::from(first).join("filters"))
    });
    let of_user = || {
        let cache = find("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let cache = cache.or_else(|| Some(PathBuf::from(find("HOME")?).join(".cache")))?;
        Some(cache.join("spliceway/filters"))
    };
    state.or_else(of_user)
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whoever can write to a directory, or rename one above it, decides what a tag means. Where a sticky bit is, only the owner
/// of a file renames it.
fn check_owners(root: &Path) -> anyhow::Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let us = rustix::process::geteuid().as_raw();
    for folder in root.ancestors() {
        let found = fs::symlink_metadata(folder)?;
        let shared = found.mode() & OTHERS_WRITE != 0 && (found.mode() & STICKY == 0 || folder == root);
        if shared {
            bail!(
                "others can write to {}: `chmod go-w` it, or choose another directory",
                folder.display()
            );
        }
        ensure!(
            found.uid() == us || found.uid() == 0 && folder != root,
            "{} belongs to another user ({}): choose another directory",
            folder.display(),
            found.uid()
        );
    }
    Ok(())
}

/// A file of a size that we would have written.
fn bounded(file: &Path) -> Option<Vec<u8>> {
    let size = fs::metadata(file).ok()?.len();
    (size <= LARGEST_COMPONENT).then(|| fs::read(file).ok()).flatten()
}

/// All of it or nothing, also where the power fails.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&folder.path().join("cache")), |_| None).unwrap();
        (folder, cache)
    }

    fn reference() -> Reference {
        "oci://registry.example/team/guard:1.2".parse().unwrap()
    }

    #[test]
    fn what_is_kept_is_there_and_nothing_else() {
        let (_folder, cache) = cache();
        let digest = Digest::of(b"bytes");
        assert_eq!((cache.blob(digest), cache.tag(&reference())), (None, None));
        cache.keep_blob(digest, b"bytes").unwrap();
        cache.keep_tag(&reference(), digest).unwrap();
        assert_eq!(cache.blob(digest), Some(b"bytes".to_vec()));
        assert_eq!(cache.tag(&reference()), Some(digest));
        assert_eq!(
            cache.tag(&"oci://registry.example/team/guard:1.3".parse().unwrap()),
            None
        );

        let signatures = vec![
            Signature::Minisign("text".to_owned()),
            Signature::Cosign {
                payload: vec![1],
                signature: vec![2],
            },
        ];
        let repository = reference().repository;
        assert_eq!(cache.signatures(&repository, digest), []);
        cache.keep_signatures(&repository, digest, &signatures).unwrap();
        assert_eq!(cache.signatures(&repository, digest), signatures);
    }

    #[test]
    fn a_blob_that_was_changed_is_no_blob_and_is_kept_anew() {
        let (_folder, cache) = cache();
        let digest = Digest::of(b"bytes");
        cache.keep_blob(digest, b"bytes").unwrap();
        fs::write(cache.blob_file(digest), b"bites").unwrap();
        cache.keep_blob(digest, b"bytes").unwrap();
        assert_eq!(cache.blob(digest), Some(b"bytes".to_vec()), "same size, other bytes");
        fs::write(cache.blob_file(digest), b"other").unwrap();
        assert_eq!(cache.blob(digest), None);
        assert!(!cache.blob_file(digest).exists());
    }

    #[test]
    fn records_that_are_none_are_as_good_as_absent() {
        let (_folder, cache) = cache();
        let digest = Digest::of(b"");
        for text in [
            "",
            "{}",
            "[1]",
            "{\"reference\":\"oci://other/x:1\",\"manifest\":\"sha256:12\"}",
            "\u{0}",
        ] {
            fs::write(cache.tag_file(&reference()), text).unwrap();
            fs::write(cache.signature_file(&reference().repository, digest), text).unwrap();
            assert_eq!(cache.tag(&reference()), None, "{text}");
            assert_eq!(cache.signatures(&reference().repository, digest), [], "{text}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        let refused = |mode, cache: &Path| {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            Cache::open(Some(cache), |_| None)
                .err()
                .map(|error| format!("{error:#}"))
        };
        assert!(refused(0o777, &shared).unwrap().contains("others can write"));
        assert!(
            refused(0o1777, &shared).unwrap().contains("others can write"),
            "they could put a tag there"
        );
        assert!(
            refused(0o770, &shared.join("inside"))
                .unwrap()
                .contains("others can write"),
            "and rename it"
        );
        assert_eq!(refused(0o755, &shared), None);
    }

    #[test]
    fn the_environment_says_where_where_the_configuration_does_not() {
        let with = |pairs: &'static [(&str, &str)]| {
            usual(move |name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            })
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            with(&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/h")]),
            path("/var/lib/a/filters")
        );
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]),
            path("/c/spliceway/filters")
        );
        assert_eq!(
            with(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]),
            path("/h/.cache/spliceway/filters")
        );
        assert_eq!(with(&[("HOME", "")]), None);
        assert!(
            Cache::open(None, |_| None)
                .unwrap_err()
                .to_string()
                .contains("`cache` of `[registries]`")
        );
    }
}

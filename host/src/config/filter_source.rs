//! Where the code of a filter comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reference::Reference;

/// A file, or a version in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    Oci(Reference),
}

/// There is no file to work on: it lies in a registry.
#[derive(Debug, thiserror::Error)]
#[error("{0} lies in a registry: `spliceway filter pull` makes a file of it")]
pub struct NoFile(Reference);

impl Source {
    /// # Errors
    /// It lies in a registry.
    pub fn own_file(&self) -> Result<&Path, NoFile> {
        match self {
            Self::File(path) => Ok(path),
            Self::Oci(reference) => Err(NoFile(reference.clone())),
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Oci(_) => None,
        }
    }

    /// What a signature of it has to call it: the file without its ending, or the last part of the repository.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Oci(reference) => reference.repository.name().to_owned(),
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Oci(reference) => reference.fmt(f),
        }
    }
}

/// When the registry is asked what a tag means. What has been pulled serves on where there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// Once: what the cache remembers is taken as it is.
    #[default]
    IfAbsent,
    /// At each start, and when the process is told to reload.
    Always,
    /// And every so often.
    Every(Duration),
}

//! Reading PEM files, and saying everything that is wrong with them at once.

use std::fmt::Display;
use std::path::Path;

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// What is wrong, a line each.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, file: &Path, reason: impl Display) {
        let line = format!("{}: {reason}", file.display());
        // Two certificates may have one key file.
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    /// What is wrong with no file.
    pub(super) fn add_other(&mut self, reason: impl Display) {
        self.0.push(reason.to_string());
    }

    /// An error where there is a problem.
    pub(super) fn check(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.0.is_empty(), self.0.join("\n"));
        Ok(())
    }
}

/// Reads a file; `None` where it cannot be read.
pub(super) fn read(file: &Path, problems: &mut Problems) -> Option<Vec<u8>> {
    match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            problems.add(file, format_args!("cannot be read: {error}"));
            None
        }
    }
}

/// Tells contents that differ from one another.
pub(super) struct Fingerprint(Context);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn add(&mut self, content: &[u8]) {
        // Where one ends and the next begins must count.
        self.0.update(&(content.len() as u64).to_be_bytes());
        self.0.update(content);
    }

    pub(super) fn finish(self) -> Digest {
        self.0.finish()
    }
}

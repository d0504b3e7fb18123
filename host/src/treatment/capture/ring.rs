//! The files of a capture: a bounded number, each of bounded size. The oldest makes room for the next.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::config::CaptureFiles;

/// What its files are called first. Nothing else in the directory is touched.
const PREFIX: &str = "spliceway-";

/// What clients have said is for nobody but who runs the proxy.
const MODE: u32 = 0o600;

/// Names that are taken already are not tried for ever.
const TRIES: u64 = 1_000;

#[derive(Debug)]
pub struct Ring {
    files: CaptureFiles,
    extension: &'static str,
    /// The oldest first.
    kept: VecDeque<PathBuf>,
    number: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl Ring {
    /// Files that an earlier process has left there count as its own.
    pub fn new(files: CaptureFiles, extension: &'static str) -> Self {
        let kept = found(&files.directory, extension);
        let number = kept.iter().filter_map(|path| number(path)).max().unwrap_or(0);
        Self {
            files,
            extension,
            kept: kept.into(),
            number,
            open: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the file that is open takes so many bytes more.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.length.saturating_add(bytes) <= self.files.size)
    }

    /// Begins the next file, and removes those that are too many.
    pub fn turn(&mut self, now: SystemTime) -> io::Result<()> {
        self.open = None;
        let (path, file) = self.create(now)?;
        self.kept.push_back(path);
        self.open = Some(Open { file, length: 0 });
        while self.kept.len() > self.files.count as usize {
            if let Some(oldest) = self.kept.pop_front() {
                // Somebody may have moved it away.
                let _ = fs::remove_file(oldest);
            }
        }
        Ok(())
    }

    /// Adds whole blocks. Where they do not fit the disk, none of them is there.
    pub fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let written = open.file.write_all(blocks);
        match written {
            Ok(()) => open.length += blocks.len() as u64,
            Err(_) => _ = open.file.set_len(open.length),
        }
        written
    }

    pub fn close(&mut self) {
        self.open = None;
    }

    fn create(&mut self, now: SystemTime) -> io::Result<(PathBuf, File)> {
        let time = Timestamp::try_from(now).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ");
        let last = self.number + TRIES;
        loop {
            self.number += 1;
            let name = format!("{PREFIX}{time}-{:06}.{}", self.number, self.extension);
            let path = self.files.directory.join(name);
            let opened = OpenOptions::new().append(true).create_new(true).mode(MODE).open(&path);
            match opened {
                Ok(file) => return Ok((path, file)),
                // Another process, which this one takes the place of.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.number < last => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// In the order in which they were written: times come first in their names, and then numbers.
fn found(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
            && path.extension().is_some_and(|found| found == extension)
            && number(path).is_some()
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_ours)
        .collect();
    found.sort_unstable();
    found
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests;

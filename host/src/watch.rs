//! Notices that a file was replaced, written in place or renamed over: a filter, a certificate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Directories are watched, not files: a rename puts another file in the place of the one that was there, and Kubernetes
/// swaps a link two levels up. What happened is not asked; whether a file's content is new is for its reader to say.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
    changed: Arc<Notify>,
}

/// A file that is written in place is not whole at the first event: it is read when this long nothing more happened.
const QUIET: Duration = Duration::from_millis(50);

/// A directory in which something happens all the time is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// # Errors
/// The kernel has no inotify instance left for this user, or a directory cannot be watched.
pub fn watch(files: &[PathBuf]) -> anyhow::Result<Watch> {
    let changed = Arc::new(Notify::new());
    let notify = Arc::clone(&changed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !matches!(
            event,
            Ok(notify::Event {
                kind: EventKind::Access(_),
                ..
            })
        ) {
            notify.notify_one();
        }
    })
    .context("cannot watch files")?;
    for directory in directories(files) {
        watcher
            .watch(&directory, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch {}", directory.display()))?;
    }
    Ok(Watch {
        _watcher: watcher,
        changed,
    })
}

impl Watch {
    /// Waits until something changed and is quiet again.
    pub async fn changed(&self) {
        self.changed.notified().await;
        let quiet = async { while timeout(QUIET, self.changed.notified()).await.is_ok() {} };
        // A directory that is never quiet: whoever looked too early looks again.
        let _ = timeout(PATIENCE, quiet).await;
    }
}

/// Where the files lie, and where the links lead that they may be.
fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut directories = BTreeSet::new();
    for file in files {
        directories.insert(parent(file));
        if let Ok(target) = file.canonicalize() {
            directories.insert(parent(&target));
        }
    }
    directories
}

//! What has become of an upstream's mirrored connections. Counted when they have ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::replies::Verdict;
use crate::observe::Moved;
use crate::sys::Coarse;

/// How long it is not said again of an upstream that its mirrors are dropped: one that lags does so with every connection.
const SAID: Duration = Duration::from_secs(60);

/// How a mirrored connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was sent everything, and the end.
    Finished,
    /// It was too far behind.
    Lagged,
    /// No server answered.
    Unreachable,
    /// Its connection failed.
    Failed,
    /// The connection that it is a copy of was cut off, and so was it.
    CutOff,
}

impl End {
    pub const ALL: [Self; 5] = [
        Self::Finished,
        Self::Lagged,
        Self::Unreachable,
        Self::Failed,
        Self::CutOff,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Lagged => "lagged",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::CutOff => "cut-off",
        }
    }

    /// Whether it was sent less than it should have been.
    pub fn is_a_loss(self) -> bool {
        matches!(self, Self::Lagged | Self::Unreachable | Self::Failed)
    }
}

/// What the verdicts on replies are called.
pub const VERDICTS: [&str; 3] = ["equal", "different", "unknown"];

#[derive(Debug, Default)]
pub struct Tally {
    ends: [AtomicU64; End::ALL.len()],
    copied: AtomicU64,
    spliced: AtomicU64,
    verdicts: [AtomicU64; VERDICTS.len()],
    dropped: Said,
    different: Said,
}

/// When something was said last that need not be said again and again.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Option<Coarse>>);

/// The same at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Connections, by [`End`].
    pub ends: [u64; End::ALL.len()],
    /// Bytes that its servers have taken: nothing of them was filtered here.
    pub moved: Moved,
    /// Connections whose replies were compared, by [`VERDICTS`].
    pub verdicts: [u64; VERDICTS.len()],
}

impl Tally {
    pub(super) fn count(&self, end: End, moved: Moved, verdict: Option<&Verdict>) {
        self.copied.fetch_add(moved.copied, Ordering::Relaxed);
        self.spliced.fetch_add(moved.spliced, Ordering::Relaxed);
        if let Some(verdict) = verdict {
            let place = match verdict {
                Verdict::Equal => 0,
                Verdict::Different(_) => 1,
                Verdict::Unknown => 2,
            };
            self.verdicts[place].fetch_add(1, Ordering::Relaxed);
        }
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is to be said that a mirror was dropped.
    pub(super) fn may_complain(&self) -> bool {
        self.dropped.may_say()
    }

    /// Whether it is to be told where a reply differs.
    pub(super) fn may_tell(&self) -> bool {
        self.different.may_say()
    }

    /// `None` where no connection was mirrored to it that has ended.
    pub fn read(&self) -> Option<Mirrored> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let ends = self.ends.each_ref().map(read);
        ends.iter().any(|count| *count > 0).then(|| Mirrored {
            ends,
            moved: Moved {
                copied: read(&self.copied),
                spliced: read(&self.spliced),
                filtered: 0,
            },
            verdicts: self.verdicts.each_ref().map(read),
        })
    }
}

impl Said {
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub fn may_say(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Coarse::now();
        let may = said.is_none_or(|last| now.since(last) >= SAID);
        if may {
            *said = Some(now);
        }
        may
    }
}

//! One loaded version of a filter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::component::Linked;
use super::engine::Permit;
use super::failure::Kind;
use super::families::Families;
use super::rollout::{Judged, Place, Seen};
use super::slot::Kept;
use super::tally::{End, Role, Tally};
use crate::config::{FilterConfig, FilterLimits, OnError};
use crate::digest::Digest;

/// One loaded version of a filter. A connection keeps the one that it began with; it is freed with the last of them, where
/// its filter does not hold it as one that serves, that may return, or that is tried again.
pub struct Generation {
    kept: Arc<Kept>,
    /// Those of its filter when it was loaded.
    terms: Arc<FilterConfig>,
    number: u64,
    digest: Digest,
    linked: Linked,
    /// As `init` gets it.
    config: String,
    tally: Arc<Tally>,
    /// A [`Place`].
    place: AtomicU8,
}

impl Generation {
    /// The next one of its filter; its number is taken when it serves.
    pub(super) fn new(kept: &Arc<Kept>, terms: &Arc<FilterConfig>, linked: Linked, digest: Digest) -> Self {
        Self {
            kept: Arc::clone(kept),
            terms: Arc::clone(terms),
            number: kept.last.load(Ordering::Relaxed) + 1,
            digest,
            linked,
            config: terms.config.to_string(),
            tally: Arc::default(),
            place: AtomicU8::new(Place::New as u8),
        }
    }

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

    pub(super) fn place(&self) -> Place {
        Place::of(self.place.load(Ordering::Relaxed))
    }

    pub(super) fn move_to(&self, place: Place) {
        self.place.store(place as u8, Ordering::Relaxed);
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

    pub(super) fn terms(&self) -> &FilterConfig {
        &self.terms
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
        self.terms.on_error
    }

    pub(super) fn sessions_per_instance(&self) -> u32 {
        self.terms.sessions_per_instance
    }

    pub(super) fn limits(&self) -> FilterLimits {
        self.terms.limits
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

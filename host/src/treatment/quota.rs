//! How much there may be in a length of time, of whoever shares it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::{Nanos, nanos};
use crate::config::Quota;

#[derive(Debug)]
pub struct Allowance {
    connections: Option<u64>,
    bytes: Option<u64>,
    every: Nanos,
    used: Mutex<Used>,
}

/// In a length of time that began with the first of it.
#[derive(Debug, Default)]
struct Used {
    since: Option<Nanos>,
    connections: u64,
    bytes: u64,
}

impl Allowance {
    pub fn new(quota: &Quota) -> Self {
        Self {
            connections: quota.connections,
            bytes: quota.bytes,
            every: nanos(quota.every),
            used: Mutex::default(),
        }
    }

    /// Counts a connection; false where there are enough of them, or of bytes.
    pub fn admits(&self, now: Nanos) -> bool {
        let mut used = self.used(now);
        let is_full = |used: u64, most: Option<u64>| most.is_some_and(|most| used >= most);
        if is_full(used.connections, self.connections) || is_full(used.bytes, self.bytes) {
            return false;
        }
        used.since.get_or_insert(now);
        used.connections += 1;
        true
    }

    /// How many bytes there may still be.
    pub fn left(&self, now: Nanos) -> u64 {
        let Some(bytes) = self.bytes else { return u64::MAX };
        bytes.saturating_sub(self.used(now).bytes)
    }

    pub fn took(&self, now: Nanos, bytes: u64) {
        let mut used = self.used(now);
        used.since.get_or_insert(now);
        used.bytes = used.bytes.saturating_add(bytes);
    }

    /// Whether it is as if it had never been used.
    pub fn is_fresh(&self, now: Nanos) -> bool {
        self.used(now).since.is_none()
    }

    fn used(&self, now: Nanos) -> MutexGuard<'_, Used> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.since.is_some_and(|since| now.saturating_sub(since) >= self.every) {
            *used = Used::default();
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Per;

    const SECOND: Nanos = 1_000_000_000;

    fn allowance(connections: Option<u64>, bytes: Option<u64>) -> Allowance {
        Allowance::new(&Quota {
            connections,
            bytes,
            every: Duration::from_secs(60),
            per: Per::All,
        })
    }

    #[test]
    fn connections_are_counted_anew_when_the_time_is_over() {
        let quota = allowance(Some(2), None);
        assert!(quota.is_fresh(0));
        assert!(quota.admits(0) && quota.admits(SECOND) && !quota.admits(59 * SECOND));
        assert!(!quota.is_fresh(59 * SECOND) && quota.is_fresh(60 * SECOND));
        assert!(quota.admits(60 * SECOND));
    }

    #[test]
    fn who_has_used_up_the_bytes_is_not_admitted() {
        let quota = allowance(None, Some(1_000));
        assert!(quota.admits(0));
        quota.took(0, 600);
        assert!(quota.admits(SECOND));
        quota.took(SECOND, 600);
        assert!(!quota.admits(2 * SECOND));
        assert!(quota.admits(61 * SECOND));
    }
}

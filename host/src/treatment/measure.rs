//! What operators ask for while the process runs: whose connections are meant, what is done to them, and until when.
//!
//! Measures are the process's alone. They end with it, and the process that takes its place has none.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::regimen::Regimen;
use super::subject::Subject;
use crate::config::{Pattern, TreatmentConfig};

/// What connections look at that may be meant: it never changes, another one takes its place.
pub type InForce = Arc<[Arc<Measure>]>;

#[derive(Debug)]
pub struct Measure {
    pub id: u64,
    pub scope: Scope,
    pub regimen: Arc<Regimen>,
    /// `None`: until it is taken back.
    pub until: Option<Instant>,
}

/// Whose connections are meant: those to which all of it applies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    pub listener: Option<String>,
    pub route: Option<String>,
    pub upstream: Option<String>,
    pub client: Option<IpNet>,
    /// The name that it asked for in TLS.
    pub sni: Option<Pattern>,
    /// Its number.
    pub connection: Option<u64>,
    /// Of a hundred of those, so many, 0 to 100; which ones is drawn from `seed` and the connection's number.
    pub share: Option<(u32, u64)>,
}

/// The measures of a process. Clones are the same.
#[derive(Clone, Default)]
pub struct Measures(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ledger: Mutex<Ledger>,
    /// There are others than before.
    changed: Notify,
}

#[derive(Default)]
struct Ledger {
    last: u64,
    in_force: Vec<Arc<Measure>>,
    tell: Option<Box<dyn Fn(InForce) + Send>>,
}

/// More are no experiment, and each connection looks at all of them when they change.
const MOST: usize = 1024;

/// There are as many as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are {MOST} measures already")]
pub struct TooMany;

impl Measures {
    /// Whom to tell whenever they change.
    pub fn tell(&self, tell: impl Fn(InForce) + Send + 'static) {
        self.ledger().tell = Some(Box::new(tell));
    }

    /// In force from now on.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(
        &self,
        scope: Scope,
        treatment: TreatmentConfig,
        time: Option<Duration>,
    ) -> Result<Arc<Measure>, TooMany> {
        let mut ledger = self.ledger();
        if ledger.in_force.len() >= MOST {
            return Err(TooMany);
        }
        ledger.last += 1;
        let measure = Arc::new(Measure {
            id: ledger.last,
            scope,
            regimen: Arc::new(Regimen::new(treatment)),
            until: time.and_then(|time| Instant::now().checked_add(time)),
        });
        ledger.in_force.push(Arc::clone(&measure));
        ledger.publish();
        drop(ledger);
        self.0.changed.notify_one();
        Ok(measure)
    }

    /// In the place of another one, with the same number and the same end. `None` where there is none any more.
    pub fn replace(&self, id: u64, treatment: TreatmentConfig) -> Option<Arc<Measure>> {
        let mut ledger = self.ledger();
        let place = ledger.in_force.iter_mut().find(|measure| measure.id == id)?;
        let measure = Arc::new(Measure {
            id,
            scope: place.scope.clone(),
            regimen: Arc::new(place.regimen.changed(treatment)),
            until: place.until,
        });
        *place = Arc::clone(&measure);
        ledger.publish();
        Some(measure)
    }

    /// Takes one back, and says what it was.
    pub fn remove(&self, id: u64) -> Option<Arc<Measure>> {
        let mut ledger = self.ledger();
        let place = ledger.in_force.iter().position(|measure| measure.id == id)?;
        let measure = ledger.in_force.remove(place);
        ledger.publish();
        Some(measure)
    }

    /// Takes all of them back.
    pub fn clear(&self) {
        let mut ledger = self.ledger();
        if !ledger.in_force.is_empty() {
            ledger.in_force.clear();
            ledger.publish();
        }
    }

    /// In the order in which they were asked for.
    pub fn all(&self) -> Vec<Arc<Measure>> {
        self.ledger().in_force.clone()
    }

    /// Ends those whose time is over, for as long as it is polled.
    pub async fn expire(&self) {
        loop {
            let next = self.end_due(Instant::now());
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// Says when the next one ends.
    fn end_due(&self, now: Instant) -> Option<Instant> {
        let mut ledger = self.ledger();
        let is_over = |measure: &Measure| measure.until.is_some_and(|until| until <= now);
        if ledger.in_force.iter().any(|measure| is_over(measure)) {
            ledger.in_force.retain(|measure| !is_over(measure));
            ledger.publish();
        }
        ledger.in_force.iter().filter_map(|measure| measure.until).min()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn publish(&self) {
        if let Some(tell) = &self.tell {
            tell(self.in_force.as_slice().into());
        }
    }
}

impl Scope {
    /// Whether this connection is meant.
    pub fn has(&self, subject: &Subject<'_>) -> bool {
        let route = || subject.route.map(|route| subject.listener.rules.name(route));
        let is_from = |network: &IpNet| subject.client.is_some_and(|client| network.contains(&client.ip()));
        let asks_for = |pattern: &Pattern| subject.sni().is_some_and(|name| pattern.matches(&name));
        self.connection.is_none_or(|id| id == subject.id)
            && self
                .listener
                .as_ref()
                .is_none_or(|name| *subject.listener.name == **name)
            && self
                .upstream
                .as_ref()
                .is_none_or(|name| **subject.upstream.name() == **name)
            && self.route.as_ref().is_none_or(|name| route() == Some(&**name))
            && self.client.as_ref().is_none_or(is_from)
            && self.sni.as_ref().is_none_or(asks_for)
            && self.share.is_none_or(|(share, seed)| is_drawn(share, seed, subject.id))
    }
}

/// Whether one is among so many of a hundred: always the same for the same seed.
pub fn is_drawn(share: u32, seed: u64, id: u64) -> bool {
    // Its keys are none, so that a run can be repeated.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    hasher.hash_one((seed, id)) % 100 < u64::from(share)
}

impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn whoever_is_to_be_told_is_told_of_each_change() {
        let measures = Measures::default();
        let told = Arc::new(AtomicUsize::new(usize::MAX));
        let told_too = Arc::clone(&told);
        measures.tell(move |in_force| told_too.store(in_force.len(), Ordering::Relaxed));
        let now = Instant::now();
        let add = |time| {
            measures
                .add(Scope::default(), TreatmentConfig::default(), time)
                .unwrap()
        };
        let (first, second) = (add(None), add(Some(Duration::from_secs(60))));
        assert_eq!((first.id, second.id, told.load(Ordering::Relaxed)), (1, 2, 2));
        assert_eq!(measures.end_due(now), second.until);
        assert_eq!(measures.end_due(now + Duration::from_secs(120)), None);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(measures.remove(2).is_none());
        assert_eq!(measures.remove(1).unwrap().id, 1);
        assert_eq!(told.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says_and_the_same_each_time() {
        for share in [0, 10, 50, 100] {
            let drawn: Vec<_> = (0..10_000).filter(|id| is_drawn(share, 7, *id)).collect();
            let expected = share as usize * 100;
            assert!(drawn.len().abs_diff(expected) < 200, "{share}: {}", drawn.len());
            assert!(drawn.iter().all(|id| is_drawn(share, 7, *id)));
        }
        let of = |seed| (0..100).filter(|id| is_drawn(50, seed, *id)).collect::<Vec<_>>();
        assert_ne!(of(1), of(2));
    }
}

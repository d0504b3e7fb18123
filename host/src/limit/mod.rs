//! Who may connect, how many at once and how often.
//!
//! A limit is looked at once for each connection, never while bytes move; a listener without limits has none of this.

mod clients;
mod places;
mod rate;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{AtLimit, Limits};
use crate::connection::{Cause, Doing, Here, Note, Outcome, Stage, micros_since};
use crate::proxy_header::Identified;
use crate::sys::Coarse;
use crate::worker::Worker;
use clients::{Client, Clients, Held};
use places::{Place, Places};
use rate::Due;

/// Lets a connection in by every limit that concerns it; what that takes is held until the connection ends.
///
/// # Errors
/// The outcome of the connection: there were too many, and it has been told so.
pub async fn admit(worker: &Worker, identified: &Identified, here: &Here) -> Result<Vec<Admission>, Outcome> {
    let Identified(accepted) = identified;
    let mut admissions = Vec::new();
    let listener = &accepted.listener;
    for (limit, limiter) in (0..).zip(listener.limiter.iter().chain(&listener.shared_limiter)) {
        let client = accepted.client.map(|client| client.ip());
        here.does(Doing::Limit(limit));
        let began = here.clock();
        match limiter.admit(worker, client).await {
            Ok(admission) => {
                let micros = micros_since(began);
                if micros >= WORTH_TELLING {
                    here.note(|| Note::Waited { limit, micros });
                }
                admissions.push(admission);
            }
            Err(Refused { reset }) => {
                if reset {
                    accepted.socket.reset_on_close();
                } else {
                    let _ = accepted.socket.stream().finish();
                }
                return Err(Outcome::new(Stage::Accept, Cause::Limited, None));
            }
        }
    }
    Ok(admissions)
}

/// The limits of one listener, or of all together. What it counts it shares with the one before it, and with the one behind it.
pub struct Limiter {
    limits: Limits,
    places: Option<Arc<Places>>,
    due: Arc<Mutex<Due>>,
    /// Where something is limited for each client.
    clients: Option<Arc<Clients>>,
}

/// What a connection that was let in holds until it ends.
pub struct Admission {
    _place: Option<Place>,
    _of_client: Option<Held>,
}

/// A limit was reached, and waiting did not help or was not to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    /// With RST, not with FIN.
    reset: bool,
}

/// How often a connection looks whether its client has ended another one.
const LOOK: Duration = Duration::from_millis(50);

/// So many microseconds were waited for a limit, and not merely passed at it.
const WORTH_TELLING: u32 = 1_000;

impl Limiter {
    /// `None` where nothing is limited.
    pub fn new(limits: Limits) -> Option<Self> {
        Self::after(None, limits)
    }

    /// To take the place of another one, whose connections count as its own where both limit the same: those at once, those
    /// of each client, and how many there were in the last second. What was not limited was not counted.
    pub fn after(before: Option<&Self>, limits: Limits) -> Option<Self> {
        let Limits {
            connections,
            connections_per_client,
            rate,
            rate_per_client,
            ..
        } = limits;
        let of_clients = connections_per_client.or(rate_per_client);
        connections.or(of_clients).or(rate)?;
        let now = Coarse::now();
        let places = before.and_then(|before| before.places.clone());
        let due = before.map(|before| Arc::clone(&before.due));
        // Who is one client is what the table is about.
        let clients = before.filter(|before| before.limits.ipv6_prefix == limits.ipv6_prefix);
        let clients = clients.and_then(|before| before.clients.clone());
        Some(Self {
            limits,
            places: connections.map(|most| places.unwrap_or_else(|| Arc::new(Places::new(most)))),
            due: due.unwrap_or_else(|| Arc::new(Mutex::new(Due::now(now)))),
            clients: of_clients.map(|_| clients.unwrap_or_else(|| Arc::new(Clients::new(limits.ipv6_prefix, now)))),
        })
    }

    /// From now on it is this one that counts.
    pub fn begin(&self) {
        if let (Some(places), Some(most)) = (&self.places, self.limits.connections) {
            places.resize(most);
        }
    }

    /// Lets a connection in, at once or when its turn comes. What a client may have is looked at first, so that one of
    /// those who have too much does not stand in the way of the others.
    ///
    /// # Errors
    /// It is to be closed.
    async fn admit(&self, worker: &Worker, client: Option<IpAddr>) -> Result<Admission, Refused> {
        let refused = Refused {
            reset: self.limits.at_limit == AtLimit::Rst,
        };
        let patience = match self.limits.at_limit {
            AtLimit::Queue(patience) => patience,
            AtLimit::Delay => Duration::MAX,
            AtLimit::Fin | AtLimit::Rst => Duration::ZERO,
        };
        let deadline = Coarse::now() + patience;
        let left = || deadline.since(Coarse::now());
        let of_client = match (&self.clients, client) {
            (Some(clients), Some(address)) => {
                let client = clients.client(address);
                let held = self.hold(worker, clients, client, deadline).await.ok_or(refused)?;
                if let Some(rate) = self.limits.rate_per_client {
                    let wait = clients.take(client, rate, Coarse::now(), left());
                    pause(worker, wait.ok_or(refused)?).await;
                }
                held
            }
            _ => None,
        };
        if let Some(rate) = self.limits.rate {
            let wait = self.take(rate, left());
            pause(worker, wait.ok_or(refused)?).await;
        }
        let place = match &self.places {
            Some(places) => Some(places.take(worker, deadline).await.ok_or(refused)?),
            None => None,
        };
        Ok(Admission {
            _place: place,
            _of_client: of_client,
        })
    }

    fn take(&self, rate: u32, patience: Duration) -> Option<Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.take(rate, Coarse::now(), patience)
    }

    /// `Some(None)` where connections of a client are not limited; `None` where it has too many until the deadline.
    async fn hold(
        &self,
        worker: &Worker,
        clients: &Arc<Clients>,
        client: Client,
        deadline: Coarse,
    ) -> Option<Option<Held>> {
        let Some(most) = self.limits.connections_per_client else {
            return Some(None);
        };
        loop {
            let now = Coarse::now();
            if let Some(held) = clients.hold(client, most, now) {
                return Some(Some(held));
            }
            if deadline <= now {
                return None;
            }
            pause(worker, deadline.since(now).min(LOOK)).await;
        }
    }
}

async fn pause(worker: &Worker, time: Duration) {
    if !time.is_zero() {
        let _ = worker.timers().within(Some(time), std::future::pending::<()>()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    fn limits(connections: Option<u32>, rate_per_client: Option<u32>) -> Limits {
        Limits {
            connections,
            rate_per_client,
            ..defaults::LIMITS
        }
    }

    #[test]
    fn what_is_limited_before_and_after_is_counted_on() {
        let before = Limiter::new(limits(Some(5), Some(1))).unwrap();
        let after = Limiter::after(Some(&before), limits(Some(2), Some(9))).unwrap();
        let same = |one: &Option<Arc<_>>, other: &Option<Arc<_>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        assert!(same(&before.places, &after.places) && Arc::ptr_eq(&before.due, &after.due));
        let (old, new) = (before.clients.as_ref().unwrap(), after.clients.as_ref().unwrap());
        assert!(Arc::ptr_eq(old, new));

        let without = Limiter::after(Some(&before), limits(None, Some(1))).unwrap();
        assert!(without.places.is_none());
        let anew = Limiter::after(Some(&without), limits(Some(5), None)).unwrap();
        assert!(!same(&before.places, &anew.places) && anew.clients.is_none());
        let other_clients = Limits {
            ipv6_prefix: 48,
            ..limits(None, Some(1))
        };
        let other_clients = Limiter::after(Some(&before), other_clients).unwrap();
        assert!(!Arc::ptr_eq(old, other_clients.clients.as_ref().unwrap()));
        assert!(Limiter::after(Some(&before), limits(None, None)).is_none());
    }
}

//! Who shares a bucket or a quota with whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::{self, Nanos};
use super::subject::Subject;
use crate::config::Per;

/// By what a connection is told from others.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    client: Key,
    key: Option<Key>,
}

/// Enough of a client's address, or the hash of a filter's key.
type Key = u128;

/// More than one machine has clients at a time. Beyond it, newcomers share what one would have.
const MOST: usize = 65_536;

/// The part of an IPv6 address that tells clients apart: what a network is given.
const IPV6_PREFIX: u32 = 64;

/// What is shared, and by whom.
#[derive(Debug)]
pub struct Sharing<T> {
    per: Per,
    parts: Mutex<HashMap<Key, Arc<T>>>,
}

/// What can be shared.
pub trait Shared {
    /// Nobody who has it misses anything if it is made anew.
    fn is_fresh(&self, now: Nanos) -> bool;
}

impl Whose {
    pub fn of(subject: &Subject<'_>) -> Self {
        Self {
            client: subject.client.map_or(0, |client| client_of(client.ip())),
            key: subject.prescribed.and_then(|prescribed| prescribed.key).map(Key::from),
        }
    }
}

impl<T: Shared> Sharing<T> {
    pub fn new(per: Per) -> Self {
        Self {
            per,
            parts: Mutex::default(),
        }
    }

    /// The connection's part: its own, or that of all who share it. `None` where it is by a key, and the connection has none.
    pub fn part(&self, whose: &Whose, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        let key = match self.per {
            Per::Connection => return Some(Arc::new(make())),
            Per::All => 0,
            Per::Client => whose.client,
            Per::Key => whose.key?,
        };
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get(&key) {
            return Some(Arc::clone(part));
        }
        if parts.len() >= MOST {
            let now = clock::now();
            parts.retain(|_, part| Arc::strong_count(part) > 1 || !part.is_fresh(now));
        }
        let key = if parts.len() < MOST { key } else { Key::MAX };
        Some(Arc::clone(parts.entry(key).or_insert_with(|| Arc::new(make()))))
    }
}

fn client_of(address: IpAddr) -> Key {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Part;

    impl Shared for Part {
        fn is_fresh(&self, _: Nanos) -> bool {
            true
        }
    }

    fn from(client: &str, key: Option<u64>) -> Whose {
        Whose {
            client: client_of(client.parse().unwrap()),
            key: key.map(Key::from),
        }
    }

    fn share(per: Per, one: &Whose, other: &Whose) -> bool {
        let sharing = Sharing::new(per);
        let [one, other] = [one, other].map(|whose| sharing.part(whose, || Part));
        one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
    }

    #[test]
    fn clients_share_by_address_or_network_and_others_by_key() {
        let (one, same) = (from("10.0.0.1", Some(1)), from("10.0.0.1", Some(2)));
        let other = from("10.0.0.2", Some(1));
        assert!(share(Per::Client, &one, &same) && !share(Per::Client, &one, &other));
        assert!(share(Per::Key, &one, &other) && !share(Per::Key, &one, &same));
        assert!(share(Per::All, &one, &other) && !share(Per::Connection, &one, &one));
        assert!(share(
            Per::Client,
            &from("2001:db8::1", None),
            &from("2001:db8::2", None)
        ));
        assert!(!share(
            Per::Client,
            &from("2001:db8::1", None),
            &from("2001:db8:0:1::1", None)
        ));
        let keyless = from("10.0.0.1", None);
        assert!(Sharing::new(Per::Key).part(&keyless, || Part).is_none());
    }

    #[test]
    fn a_crowd_shares_what_one_would_have_and_nobody_is_forgotten() {
        let sharing = Sharing::new(Per::Client);
        let held: Vec<_> = (0..MOST as u128 + 10)
            .map(|client| sharing.part(&Whose { client, key: None }, || Part).unwrap())
            .collect();
        assert!(sharing.parts.lock().unwrap().len() <= MOST + 1);
        assert!(Arc::ptr_eq(&held[MOST], &held[MOST + 9]));
        drop(held);
        sharing.part(
            &Whose {
                client: 1 << 100,
                key: None,
            },
            || Part,
        );
        assert!(sharing.parts.lock().unwrap().len() <= 2);
    }
}

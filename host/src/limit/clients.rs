//! What each client has: connections, and its part of the rate.
//!
//! A table of fixed size, since it is strangers who fill it. An address may stand in one of eight places, which a secret hash
//! chooses (the ways of a processor's cache). What is remembered of an address without connections gives way to a
//! new one; where all eight have connections, those that come then are taken for one client.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate::Due;
use crate::sys::Coarse;

const WAYS: usize = 8;

/// 65 536 addresses in 3 MiB: more than one process has connections.
const SETS: usize = 8192;

pub(super) struct Clients {
    sets: Box<[Mutex<Set>]>,
    hasher: RandomState,
    ipv6_prefix: u8,
}

/// An address as far as it tells clients apart: all of IPv4's, the network of IPv6's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(u128);

#[derive(Debug, Clone, Copy)]
struct Set {
    places: [Option<Place>; WAYS],
    /// All for whom there was none.
    crowd: Place,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    client: Client,
    connections: u32,
    due: Due,
}

/// One connection of a client's, for as long as this lives.
pub(super) struct Held {
    clients: Arc<Clients>,
    client: Client,
    in_crowd: bool,
}

impl Clients {
    pub(super) fn new(ipv6_prefix: u8, now: Coarse) -> Self {
        let nobody = Place::new(Client(0), now);
        let empty = Set {
            places: [None; WAYS],
            crowd: nobody,
        };
        Self {
            sets: (0..SETS).map(|_| Mutex::new(empty)).collect(),
            hasher: RandomState::new(),
            ipv6_prefix,
        }
    }

    pub(super) fn client(&self, address: IpAddr) -> Client {
        match address {
            IpAddr::V4(address) => Client(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => {
                let host_bits = 128_u32.saturating_sub(self.ipv6_prefix.into());
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Client(address.to_bits() & mask)
            }
        }
    }

    /// Counts one more connection; `None` where the client has `most` already.
    pub(super) fn hold(self: &Arc<Self>, client: Client, most: u32, now: Coarse) -> Option<Held> {
        let mut set = self.set(client);
        let (place, in_crowd) = set.place(client, now);
        (place.connections < most).then(|| {
            place.connections += 1;
            Held {
                clients: Arc::clone(self),
                client,
                in_crowd,
            }
        })
    }

    /// Takes one of the `rate` a second that each client has, as [`Due::take`] does.
    pub(super) fn take(&self, client: Client, rate: u32, now: Coarse, patience: Duration) -> Option<Duration> {
        self.set(client).place(client, now).0.due.take(rate, now, patience)
    }

    fn set(&self, client: Client) -> MutexGuard<'_, Set> {
        let index = self.hasher.hash_one(client) as usize % SETS;
        self.sets[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    /// Where this client is counted, and whether that is among the crowd.
    fn place(&mut self, client: Client, now: Coarse) -> (&mut Place, bool) {
        let known = |place: &Option<Place>| place.is_some_and(|place| place.client == client);
        let index = self.places.iter().position(known).or_else(|| self.free(now));
        match index {
            None => (&mut self.crowd, true),
            Some(index) => {
                let slot = &mut self.places[index];
                if !known(slot) {
                    *slot = None;
                }
                (slot.get_or_insert(Place::new(client, now)), false)
            }
        }
    }

    /// An empty place, or the one whose client we lose least by forgetting.
    fn free(&self, now: Coarse) -> Option<usize> {
        let loss = |place: &Option<Place>| match place {
            None => Some(0),
            Some(place) if place.connections > 0 => None,
            Some(place) if place.due.is_fresh(now) => Some(1),
            Some(_) => Some(2),
        };
        let losses = self.places.iter().enumerate();
        let possible = losses.filter_map(|(index, place)| Some((loss(place)?, index)));
        possible.min().map(|(_, index)| index)
    }
}

impl Place {
    fn new(client: Client, now: Coarse) -> Self {
        Self {
            client,
            connections: 0,
            due: Due::now(now),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut set = self.clients.set(self.client);
        let set = &mut *set;
        let known = set
            .places
            .iter_mut()
            .flatten()
            .find(|place| place.client == self.client);
        let place = match known {
            Some(place) if !self.in_crowd => place,
            _ => &mut set.crowd,
        };
        place.connections = place.connections.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Arc<Clients> {
        Arc::new(Clients::new(64, Coarse::now()))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_each_address_of_ipv4_is() {
        let clients = clients();
        let same = |a, b| clients.client(address(a)) == clients.client(address(b));
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        for prefix in [0, 1, 128] {
            let clients = Clients::new(prefix, Coarse::now());
            let a = clients.client(address("2001:db8::1"));
            let b = clients.client(address("2001:db8::2"));
            assert_eq!(a == b, prefix < 128);
        }
    }

    #[test]
    fn connections_are_counted_for_each_client_while_they_live() {
        let clients = clients();
        let now = Coarse::now();
        let one = clients.client(address("10.0.0.1"));
        let held: Vec<_> = (0..3).map_while(|_| clients.hold(one, 2, now)).collect();
        assert_eq!(held.len(), 2);
        assert!(clients.hold(clients.client(address("10.0.0.2")), 2, now).is_some());
        drop(held);
        assert!(clients.hold(one, 2, now).is_some());
    }

    #[test]
    fn a_million_addresses_neither_grow_the_table_nor_free_those_with_connections() {
        let clients = clients();
        let now = Coarse::now();
        let busy = clients.client(address("10.0.0.1"));
        let held = clients.hold(busy, 1, now);
        assert!(held.is_some());
        for n in 0..1_000_000_u32 {
            let stranger = clients.client(IpAddr::V4((0x0b00_0000 + n).into()));
            clients.take(stranger, 1, now, Duration::ZERO);
        }
        assert!(clients.hold(busy, 1, now).is_none());
        drop(held);
        assert!(clients.hold(busy, 1, now).is_some());
    }

    #[test]
    fn where_all_places_have_connections_newcomers_share_what_one_client_has() {
        let clients = clients();
        let now = Coarse::now();
        let stranger = |n: u32| clients.client(IpAddr::V4((0x0b00_0000 + n).into()));
        let held: Vec<_> = (0..1_000_000)
            .filter_map(|n| clients.hold(stranger(n), 1, now))
            .collect();
        // Every place, and one of the crowd in every set.
        assert_eq!(held.len(), SETS * (WAYS + 1));
        drop(held);
        let all = clients.sets.iter().map(|set| *set.lock().unwrap());
        let left: u32 = all
            .flat_map(|set| {
                [set.crowd.connections]
                    .into_iter()
                    .chain(set.places.into_iter().flatten().map(|place| place.connections))
            })
            .sum();
        assert_eq!(left, 0);
    }
}

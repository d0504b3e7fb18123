//! From what SRV records list to servers: priorities, weights and ports (RFC 2782).

use std::collections::HashMap;
use std::net::IpAddr;

use super::replace::Found;
use crate::config::ServerConfig;
use crate::sys::Peer;

/// A host that serves, and how much it is to get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub priority: u16,
    /// `None`: as the configuration says, which has named the host itself.
    pub weight: Option<u16>,
    pub host: String,
    pub port: u16,
}

/// What the configuration's weights go to, too.
const HEAVIEST: u32 = 256;

/// A server for each address of each service: those of the lowest priority that has an address, the others as backups.
/// An address that is listed twice is one server, by the better of the two.
pub(super) fn servers(
    services: &[Service],
    addresses: &HashMap<String, [Vec<IpAddr>; 2]>,
    config: &ServerConfig,
    most: usize,
) -> Vec<Found> {
    let mut services: Vec<_> = services
        .iter()
        .filter_map(|service| Some((service, addresses.get(&service.host)?)))
        .filter(|(_, [v4, v6])| !v4.is_empty() || !v6.is_empty())
        .collect();
    services.sort();
    let Some(first) = services.first().map(|(service, _)| service.priority) else {
        return Vec::new();
    };
    let mut found: Vec<Found> = Vec::new();
    for tier in services.chunk_by(|(one, _), (other, _)| one.priority == other.priority) {
        let weights = weights(tier.iter().map(|(service, _)| service.weight), config.weight);
        for ((service, [v4, v6]), weight) in tier.iter().zip(weights) {
            for address in v4.iter().chain(v6) {
                let peer = Peer::Tcp((*address, service.port).into());
                if found.len() < most && !found.iter().any(|found| found.peer == peer) {
                    let backup = config.backup || service.priority > first;
                    // As names are written in certificates, and not in zones.
                    let host = service.host.trim_end_matches('.').into();
                    found.push(Found {
                        peer,
                        weight,
                        backup,
                        host: Some(host),
                    });
                }
            }
        }
    }
    found
}

/// Weights of 1 to 256 in the proportions of the records'. Where one has weight 0, which is to be "a very small chance",
/// the others become as heavy as they can.
fn weights(given: impl Iterator<Item = Option<u16>> + Clone, default: u32) -> Vec<u32> {
    let heaviest = given.clone().flatten().max().map_or(0, u32::from);
    let has_zero = given.clone().any(|weight| weight == Some(0));
    let scale = |weight: u32| match heaviest {
        0 => 1,
        // Halves are rounded up; no weight here is more than 16 bits.
        _ if heaviest > HEAVIEST => (weight * HEAVIEST * 2 + heaviest) / (heaviest * 2),
        // In whole steps, so that the proportions stay what they are.
        _ if has_zero => weight * (HEAVIEST / heaviest),
        _ => weight,
    };
    given
        .map(|weight| weight.map_or(default, |weight| scale(u32::from(weight)).max(1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerPlace;

    fn config() -> ServerConfig {
        ServerConfig {
            place: ServerPlace::Srv("_x._tcp.example".to_owned()),
            weight: 7,
            max_connections: None,
            backup: false,
        }
    }

    fn service(priority: u16, weight: u16, host: &str) -> Service {
        Service {
            priority,
            weight: Some(weight),
            host: host.to_owned(),
            port: 1_000 + priority,
        }
    }

    fn addresses() -> HashMap<String, [Vec<IpAddr>; 2]> {
        let v4 = |last| IpAddr::from([10, 0, 0, last]);
        HashMap::from([
            ("a".to_owned(), [vec![v4(1), v4(2)], vec!["::1".parse().unwrap()]]),
            ("b".to_owned(), [vec![v4(3)], vec![]]),
            ("none".to_owned(), [vec![], vec![]]),
        ])
    }

    fn listed(services: &[Service]) -> Vec<(String, u32, bool)> {
        let found = servers(services, &addresses(), &config(), 100);
        let tell = |found: &Found| (found.peer.to_string(), found.weight, found.backup);
        found.iter().map(tell).collect()
    }

    fn tell(peer: &str, weight: u32, backup: bool) -> (String, u32, bool) {
        (peer.to_owned(), weight, backup)
    }

    #[test]
    fn the_lowest_priority_is_used_and_the_others_are_backups() {
        assert_eq!(
            listed(&[service(20, 1, "b"), service(10, 3, "a")]),
            [
                tell("10.0.0.1:1010", 3, false),
                tell("10.0.0.2:1010", 3, false),
                tell("[::1]:1010", 3, false),
                tell("10.0.0.3:1020", 1, true),
            ]
        );
    }

    #[test]
    fn a_priority_without_an_address_is_none() {
        assert_eq!(
            listed(&[
                service(1, 1, "none"),
                service(1, 1, "never heard of"),
                service(2, 1, "b")
            ]),
            [tell("10.0.0.3:1002", 1, false)]
        );
        assert_eq!(listed(&[service(1, 1, "none")]), []);
        assert_eq!(listed(&[]), []);
    }

    #[test]
    fn an_address_that_is_listed_twice_is_one_server() {
        let same = |priority, weight| Service {
            port: 1,
            ..service(priority, weight, "b")
        };
        assert_eq!(listed(&[same(2, 9), same(1, 5)]), [tell("10.0.0.3:1", 5, false)]);
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        assert_eq!(servers(&[service(1, 1, "a")], &addresses(), &config(), 2).len(), 2);
    }

    #[test]
    fn where_no_record_has_a_weight_the_configuration_does() {
        let named = Service {
            weight: None,
            ..service(0, 0, "b")
        };
        assert_eq!(listed(&[named]), [tell("10.0.0.3:1000", 7, false)]);
    }

    #[test]
    fn weights_keep_their_proportions() {
        let scaled = |given: &[u16]| weights(given.iter().copied().map(Some), 1);
        assert_eq!(scaled(&[1, 2, 256]), [1, 2, 256]);
        assert_eq!(scaled(&[10, 20, 30]), [10, 20, 30]);
        assert_eq!(scaled(&[65_535, 32_768, 1]), [256, 128, 1]);
        assert_eq!(scaled(&[1_000, 500]), [256, 128]);
        assert_eq!(scaled(&[0, 0]), [1, 1]);
        assert_eq!(scaled(&[0, 10, 20]), [1, 120, 240]);
        assert_eq!(scaled(&[0, 256]), [1, 256]);
        assert_eq!(scaled(&[0, 65_535]), [1, 256]);
    }
}

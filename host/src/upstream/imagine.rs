//! Which server a connection would get, without any.

use std::net::IpAddr;
use std::sync::Arc;

use super::Upstream;
use super::balance::{Balance, hash_key};
use super::resolve::found;
use crate::config::UpstreamConfig;
use crate::sys::Peer;

/// Of an upstream that hashes: the server that a client's connections go to while all servers are up and none is full. `None`
/// where that depends on names, which nobody looks up for this.
pub fn imagine(config: &UpstreamConfig, client: IpAddr) -> Option<Arc<Peer>> {
    let all_up = UpstreamConfig {
        health: None,
        ..config.clone()
    };
    let discovered = found(&all_up, Vec::new()).ok()?;
    let is_known = |of: usize| discovered.found.iter().any(|(known, _)| *known == of);
    let mut first = config.servers.iter().enumerate().filter(|(_, server)| !server.backup);
    if !first.all(|(of, _)| is_known(of)) {
        return None;
    }
    let upstream = Upstream::found(&all_up, discovered, None);
    let lineup = upstream.lineup.load();
    let server = lineup.pick(Some(key_of(client)), &[])?;
    Some(Arc::clone(server.peer()))
}

/// By which connections of a client go to the same server, whatever ports they come from.
pub fn key_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(address) => hash_key(&address.octets()),
        IpAddr::V6(address) => hash_key(&address.octets()),
    }
}

/// As it is typed.
pub fn method(balance: Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "round-robin",
        Balance::LeastConnections => "least-connections",
        Balance::TwoChoices => "two-choices",
        Balance::SourceHash => "source-hash",
        Balance::Maglev => "maglev",
        Balance::Random => "random",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, ServerConfig};
    use crate::upstream::{Wish, resolve};

    fn config(balance: Balance) -> UpstreamConfig {
        let server = |port: u16| ServerConfig::from(Address::Socket(([127, 0, 0, 1], port).into()));
        UpstreamConfig {
            balance,
            ..UpstreamConfig::new("test", (1..=5).map(server).collect())
        }
    }

    #[test]
    fn what_is_imagined_is_what_a_proxy_does() {
        for balance in [Balance::SourceHash, Balance::Maglev] {
            let config = config(balance);
            let upstreams = resolve(std::slice::from_ref(&config), &crate::config::defaults::RESOLVER).unwrap();
            let upstream = Arc::clone(&upstreams.all()[0]);
            for last in 0..50 {
                let client = IpAddr::from([10, 0, 0, last]);
                let wish = Wish {
                    key: Some(key_of(client)),
                    server: None,
                };
                let place = upstream.take_place(&wish, &[]).unwrap();
                assert_eq!(imagine(&config, client).as_ref(), Some(place.server().peer()));
            }
        }
    }

    #[test]
    fn a_name_may_lead_anywhere() {
        let mut config = config(Balance::Maglev);
        let name = Address::Host {
            host: "db.example".to_owned(),
            port: 1,
        };
        config.servers.push(ServerConfig::from(name));
        assert_eq!(imagine(&config, [10, 0, 0, 1].into()), None);
        config.servers[5].backup = true;
        assert!(imagine(&config, [10, 0, 0, 1].into()).is_some());
    }
}

//! The PROXY protocol as it is meant: whose headers are believed, and what a header says to a server.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// A listener whose clients come through a proxy that says who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyIn {
    /// Without a header there is no service.
    pub required: bool,
    pub trusted: Trusted,
    /// From being accepted until the header is complete.
    pub timeout: Duration,
    /// Bytes of a whole header.
    pub longest: usize,
}

/// Those whose headers are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    pub networks: Vec<IpNet>,
    /// Whoever may open the listener's unix socket.
    pub unix: bool,
}

impl Trusted {
    /// A peer without an address has come by a unix socket.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.networks.iter().any(|network| network.contains(&address)),
            None => self.unix,
        }
    }
}

/// What the servers of an upstream are told of each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyOut {
    pub version: ProxyVersion,
    /// What is said beside the addresses. Version 1 cannot.
    pub tlvs: Vec<SentTlv>,
    /// Types of which a header that was received is passed on.
    pub pass: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// A TLV that is sent where there is something to say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SentTlv {
    Authority,
    Alpn,
    Ssl,
    UniqueId,
    Crc32c,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_trusted_who_are_in_a_network_of_the_list() {
        let trusted = Trusted {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            unix: false,
        };
        let contains = |address: &str| trusted.contains(Some(address.parse().unwrap()));
        assert!(contains("10.255.0.1") && contains("2001:db8:ffff::1"));
        assert!(!contains("11.0.0.1") && !contains("2001:db9::1") && !contains("::ffff:10.0.0.1"));
        assert!(!trusted.contains(None));
        assert!(Trusted { unix: true, ..trusted }.contains(None));
    }
}

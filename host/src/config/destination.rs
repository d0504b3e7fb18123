//! Where a connection was to go, as a person types it: networks, ports, or both.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::network::{Network, NetworkError};
use super::reader::{Read, Value, read_text};

/// `10.0.0.0/8`, `10.0.0.1:5432`, `[2001:db8::/32]:443`, `:443`, `:8000-8999`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// `None`: any.
    network: Option<IpNet>,
    /// `None`: any.
    ports: Option<RangeInclusive<u16>>,
}

impl Destination {
    /// The address is canonical: one of IPv4 is one also where it came to a socket of IPv6.
    pub fn has(&self, address: SocketAddr) -> bool {
        let in_network = self.network.is_none_or(|network| network.contains(&address.ip()));
        in_network && self.ports.as_ref().is_none_or(|ports| ports.contains(&address.port()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.network, &self.ports) {
            (Some(network), Some(_)) if network.addr().is_ipv6() => write!(f, "[{network}]")?,
            (Some(network), _) => write!(f, "{network}")?,
            (None, _) => {}
        }
        match &self.ports {
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end()),
            None => Ok(()),
        }
    }
}

/// Why a text is no destination, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("{0}")]
    Network(String),
    #[error("this is neither a network, nor an address, nor a port behind a colon")]
    Neither,
    #[error("`{0}` is no port: expected 1 to 65535, or a range of them, as in `8000-8999`")]
    Ports(String),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (network, ports) = apart(text);
        Ok(Self {
            network: network.map(self::network).transpose()?,
            ports: ports.map(self::ports).transpose()?,
        })
    }
}

/// An address of IPv6 has colons of its own: only in brackets it has a port.
fn apart(text: &str) -> (Option<&str>, Option<&str>) {
    if let Some(inside) = text.strip_prefix('[')
        && let Some((network, rest)) = inside.split_once(']')
    {
        return (Some(network), Some(rest.strip_prefix(':').unwrap_or(rest)));
    }
    match text.split_once(':') {
        Some(("", ports)) if !ports.contains(':') => (None, Some(ports)),
        Some((network, ports)) if !ports.contains(':') => (Some(network), Some(ports)),
        _ => (Some(text), None),
    }
}

fn network(text: &str) -> Result<IpNet, DestinationError> {
    match text.parse() {
        Ok(Network::Ip(network)) => Ok(network),
        Ok(Network::Unix) | Err(NetworkError::Neither) => Err(DestinationError::Neither),
        Err(error) => Err(DestinationError::Network(error.to_string())),
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, DestinationError> {
    let port = |digits: &str| digits.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(DestinationError::Ports(text.to_owned())),
    }
}

impl Read for Destination {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "a network, a port, or both, as in \"10.0.0.0/8:5432\"", problems)
    }
}

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let examples = ["10.0.0.0/8", "10.0.0.1:5432", "[2001:db8::/32]:443", ":8000-8999"];
        json_schema!({ "type": "string", "examples": examples })
    }
}

/// One of them has the address, or there are none.
pub fn may_be(destinations: &[Destination], address: SocketAddr) -> bool {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    destinations.is_empty() || destinations.iter().any(|one| one.has(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Destination {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_destination_is_a_network_or_a_port_or_both() {
        for (typed, inside, outside) in [
            ("10.0.0.0/8", "10.1.2.3:1", "11.0.0.1:1"),
            ("10.0.0.1", "10.0.0.1:9", "10.0.0.2:9"),
            ("10.0.0.0/8:443", "10.1.2.3:443", "10.1.2.3:444"),
            ("10.0.0.1:8000-8999", "10.0.0.1:8999", "10.0.0.1:9000"),
            (":443", "[2001:db8::1]:443", "[2001:db8::1]:80"),
            (":1-65535", "192.0.2.1:65535", "192.0.2.1:0"),
            ("2001:db8::/32", "[2001:db8::1]:1", "[2001:db9::1]:1"),
            ("[2001:db8::/32]:443", "[2001:db8::1]:443", "10.0.0.1:443"),
            ("[::1]:80", "[::1]:80", "127.0.0.1:80"),
        ] {
            let destination = destination(typed);
            assert!(destination.has(inside.parse().unwrap()), "{typed}");
            assert!(!destination.has(outside.parse().unwrap()), "{typed}");
            let again: Destination = destination.to_string().parse().unwrap();
            assert_eq!(again, destination, "{typed}");
        }
    }

    #[test]
    fn what_is_none_says_what_is_wrong() {
        for (typed, said) in [
            ("", "neither a network"),
            ("unix", "neither a network"),
            ("example.com:80", "neither a network"),
            ("10.1.2.3/8", "write `10.0.0.0/8`"),
            ("10.0.0.0/8:", "`` is no port"),
            (":0", "`0` is no port"),
            (":9-8", "`9-8` is no port"),
            (":65536", "`65536` is no port"),
            ("[::1]", "`` is no port"),
        ] {
            let error = typed.parse::<Destination>().unwrap_err();
            assert!(error.to_string().contains(said), "{typed}: {error}");
        }
    }

    #[test]
    fn none_is_any_and_mapped_addresses_are_what_they_are() {
        let mapped = "[::ffff:10.0.0.1]:443".parse().unwrap();
        assert!(may_be(&[], mapped));
        assert!(may_be(&[destination(":1"), destination("10.0.0.0/8")], mapped));
        assert!(!may_be(&[destination(":1")], mapped));
    }
}

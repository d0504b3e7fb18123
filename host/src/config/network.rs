//! Those who may be trusted, as a person types them: networks, single addresses, or the unix socket.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// `10.0.0.0/8`, `2001:db8::/32`, `10.0.0.1`, or `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Ip(IpNet),
    Unix,
}

/// Why a text is no network, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NetworkError {
    #[error("this is neither an IP network nor an address nor `unix`")]
    Neither,
    #[error("an address of this network ends with zero bits: write `{meant}`, or `{single}` for the one address")]
    HostBits { meant: IpNet, single: IpAddr },
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Neither)?;
        if network.addr() != network.network() {
            return Err(NetworkError::HostBits {
                meant: network.trunc(),
                single: network.addr(),
            });
        }
        Ok(Self::Ip(canonical(network)))
    }
}

/// Clients of IPv4 are told by their own addresses, also where they come to a socket of IPv6.
fn canonical(network: IpNet) -> IpNet {
    let mapped = network.addr().to_canonical();
    match (mapped, network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(bits)) if network.addr().is_ipv6() => {
            Ipv4Net::new(address, bits).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

impl Read for Network {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "a network, as in \"10.0.0.0/8\", or \"unix\"", problems)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let examples = ["10.0.0.0/8", "2001:db8::/32", "10.0.0.1", "unix"];
        json_schema!({ "type": "string", "examples": examples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_of_addresses_or_a_single_one_or_the_unix_socket() {
        let ip = |text: &str| Ok(Network::Ip(text.parse().unwrap()));
        for (typed, meant) in [
            ("10.0.0.0/8", ip("10.0.0.0/8")),
            ("0.0.0.0/0", ip("0.0.0.0/0")),
            ("10.0.0.1", ip("10.0.0.1/32")),
            ("::1", ip("::1/128")),
            ("2001:db8::/32", ip("2001:db8::/32")),
            ("::ffff:10.0.0.0/104", ip("10.0.0.0/8")),
            ("::ffff:10.0.0.1", ip("10.0.0.1/32")),
            ("::/0", ip("::/0")),
            ("unix", Ok(Network::Unix)),
        ] {
            assert_eq!(typed.parse(), meant, "{typed}");
        }
        for typed in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "example.com",
            "unix:",
            "10.0.0.0/08x",
        ] {
            assert_eq!(typed.parse::<Network>(), Err(NetworkError::Neither), "{typed}");
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_a_slip() {
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "an address of this network ends with zero bits: write `10.0.0.0/8`, or `10.1.2.3` for the one address"
        );
    }
}

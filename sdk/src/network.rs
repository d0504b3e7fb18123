use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The addresses that begin with the same bits: "10.0.0.0/8", "2001:db8::/32", or a single address, as in "192.0.2.1". For
/// configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// The one of this size that has the address in it. A prefix that is longer than an address is the address.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        let prefix = prefix.min(bits(address));
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !ones_v4(prefix))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !ones_v6(prefix))),
        };
        Self { first, prefix }
    }

    /// Whether it is one of these. An IPv4 address that is mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        bits(address) == bits(self.first) && Self::around(address, self.prefix).first == self.first
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() | ones_v4(self.prefix))),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | ones_v6(self.prefix))),
        }
    }

    /// How many bits all addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Those behind the prefix.
fn ones_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or_default()
}

fn ones_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shr(prefix.into()).unwrap_or_default()
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unfit = || format!("{text:?} is neither an address nor a network, as in \"10.0.0.0/8\"");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse::<u8>().map_err(|_| unfit())?))
            }
            Some(_) => return Err(unfit()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unfit())?;
        let prefix = prefix.unwrap_or_else(|| bits(address));
        if prefix > bits(address) {
            return Err(format!("{text:?} has a longer prefix than an address has bits"));
        }
        // Of a mapped address the prefix would mean other bits.
        let network = Self::around(address, prefix);
        if bits(network.first) != bits(address) {
            return Err(format!(
                "{text:?} is an IPv4 address mapped into IPv6: write {}",
                address.to_canonical()
            ));
        }
        if network.first == address {
            Ok(network)
        } else {
            Err(format!("{text:?} has bits behind its prefix: the network is {network}"))
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A network or an address: \"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.1\".",
            "type": "string"
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        if self.prefix < bits(self.first) {
            write!(f, "/{}", self.prefix)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_the_addresses_that_begin_with_it() {
        let ten = network("10.0.0.0/8");
        let contains = |network: &Network, address: &str| network.contains(address.parse().unwrap());
        assert!(contains(&ten, "10.0.0.0") && contains(&ten, "10.255.255.255") && !contains(&ten, "11.0.0.0"));
        assert!(contains(&ten, "::ffff:10.1.2.3") && !contains(&ten, "a00::"));
        let one = network("192.0.2.1");
        assert!(contains(&one, "192.0.2.1") && !contains(&one, "192.0.2.0") && one == network("192.0.2.1/32"));
        let documentation = network("2001:db8::/32");
        assert!(contains(&documentation, "2001:db8:ffff::1") && !contains(&documentation, "2001:db9::"));
        assert!(contains(&network("0.0.0.0/0"), "255.255.255.255") && !contains(&network("0.0.0.0/0"), "::1"));
        assert!(contains(&network("::/0"), "ffff::") && !contains(&network("::/0"), "0.0.0.0"));
    }

    #[test]
    fn a_network_has_a_first_and_a_last_address() {
        let ends = |text: &str| (network(text).first().to_string(), network(text).last().to_string());
        assert_eq!(ends("10.1.0.0/16"), ("10.1.0.0".into(), "10.1.255.255".into()));
        assert_eq!(ends("::1"), ("::1".into(), "::1".into()));
        assert_eq!(ends("2001:db8::/127"), ("2001:db8::".into(), "2001:db8::1".into()));
        assert_eq!(
            Network::around("192.0.2.77".parse().unwrap(), 24).to_string(),
            "192.0.2.0/24"
        );
        assert_eq!(
            Network::around("192.0.2.77".parse().unwrap(), 200).to_string(),
            "192.0.2.77"
        );
        assert_eq!(Network::around("2001:db8::1".parse().unwrap(), 0).to_string(), "::/0");
    }

    #[test]
    fn what_is_no_network_is_said_to_be_none() {
        let error = |text: &str| text.parse::<Network>().unwrap_err();
        for text in [
            "",
            "a",
            "10.0.0.0/",
            "10.0.0.0/a",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "/8",
            "10.0.0.0/999",
        ] {
            assert!(error(text).contains("is neither an address nor a network"), "{text}");
        }
        assert!(error("10.0.0.0/33").ends_with("has a longer prefix than an address has bits"));
        assert_eq!(
            error("10.0.0.1/8"),
            "\"10.0.0.1/8\" has bits behind its prefix: the network is 10.0.0.0/8"
        );
        assert!(error("::ffff:10.0.0.1").ends_with("mapped into IPv6: write 10.0.0.1"));
    }
}

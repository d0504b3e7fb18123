//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::parse::Parsed;
use super::tlv::Tlvs;
use super::{Ends, Header};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Of a whole line, with its CRLF (section 2.1).
const LONGEST: usize = 107;

const UNKNOWN: &[u8] = b"UNKNOWN";

/// Reads the line behind the signature. Nothing is decided before its end is there.
pub(super) fn parse(rest: &[u8]) -> Parsed {
    // Behind the CR, there is a LF to come.
    let most = LONGEST - SIGNATURE.len() - 1;
    let window = &rest[..rest.len().min(most)];
    let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
        return match window.len() < most {
            true => Parsed::NeedMore,
            false => Parsed::Bad("a line of version 1 has no end within 107 bytes"),
        };
    };
    match rest.get(end + 1) {
        None => Parsed::NeedMore,
        Some(b'\n') => match ends(&rest[..end]) {
            Ok(ends) => Parsed::Header {
                header: Header {
                    ends,
                    tlvs: Tlvs::default(),
                },
                length: SIGNATURE.len() + end + 2,
            },
            Err(reason) => Parsed::Bad(reason),
        },
        Some(_) => Parsed::Bad("a line of version 1 ends with CR and LF"),
    }
}

fn ends(line: &[u8]) -> Result<Ends, &'static str> {
    if let Some(ignored) = line.strip_prefix(UNKNOWN)
        && (ignored.is_empty() || ignored.starts_with(b" "))
    {
        return Ok(Ends::OfTheSockets);
    }
    let line = str::from_utf8(line).map_err(|_| "a line of version 1 is not text")?;
    let fields: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, from, to] = fields[..] else {
        return Err("a line of version 1 has a protocol, two addresses and two ports, with one space between them");
    };
    let (source, destination) = match family {
        "TCP4" => addresses::<Ipv4Addr>(source, destination)?,
        "TCP6" => addresses::<Ipv6Addr>(source, destination)?,
        _ => return Err("the protocol of version 1 is TCP4, TCP6 or UNKNOWN"),
    };
    Ok(Ends::Tcp {
        source: SocketAddr::new(source, port(from)?),
        destination: SocketAddr::new(destination, port(to)?),
    })
}

/// The standard library takes no zeros in front of a number and no zone; of IPv6 it takes the form `::ffff:1.2.3.4` too,
/// which the specification has not and nginx sends.
fn addresses<A: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Result<(IpAddr, IpAddr), &'static str> {
    let address = |text: &str| {
        text.parse()
            .map(A::into)
            .map_err(|_| "an address is none of its family")
    };
    Ok((address(source)?, address(destination)?))
}

fn port(text: &str) -> Result<u16, &'static str> {
    let bad = "a port is no number up to 65535 without zeros in front";
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(bad),
    }
}

/// A line for two addresses of one family; without them, the one that says that they are not known.
pub(super) fn write(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let line = match ends {
        Some((source, destination)) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (Plain(source.ip()), Plain(destination.ip()));
            format!(
                "PROXY {family} {from} {to} {} {}\r\n",
                source.port(),
                destination.port()
            )
        }
        None => "PROXY UNKNOWN\r\n".to_owned(),
    };
    line.into_bytes()
}

/// An address in the form of the specification, which does not know of dots in IPv6.
struct Plain(IpAddr);

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
                let [.., high, low] = ip.segments();
                write!(f, "::ffff:{high:x}:{low:x}")
            }
            ip => ip.fmt(f),
        }
    }
}

//! The PROXY protocol, versions 1 and 2: a proxy in front of us says who the client is, and servers behind us are told.
//!
//! The specification is HAProxy's doc/proxy-protocol.txt; sections are quoted from its version of 2020. What arrives is
//! hostile until it is parsed, so that is done by pure functions, on bytes that stay in the socket until they are known to be
//! a header: exactly the header is taken.
//!
//! | file | what it is |
//! | --- | --- |
//! | `identify` | the stage of a connection's journey: who may send a header, and how long it may take |
//! | `parse` | from bytes to a [`Header`], or to what keeps them from being one |
//! | `text`, `binary` | versions 1 and 2, read and written |
//! | `tlv` | what version 2 says beside the addresses |
//! | `proxied` | the same as filters ask for it |
//! | `outgoing` | what a server is told |

mod binary;
mod crc32c;
mod identify;
mod outgoing;
mod parse;
mod proxied;
#[cfg(test)]
mod tests;
mod text;
mod tlv;

use std::net::{IpAddr, SocketAddr};

pub use identify::{Identified, identify};
pub use outgoing::{local, outgoing};
use parse::{Parsed, parse};
pub use proxied::Proxied;
pub use tlv::Tlvs;

use crate::sys::canonical;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    ends: Ends,
    tlvs: Tlvs,
}

/// Between whom a connection is, as a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Between the sender itself and us, or between two of whom the sender knows nothing: what the sockets say holds.
    OfTheSockets,
    Tcp {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// On a unix socket of the sender's machine, where addresses are names of files that say nothing here.
    Unix,
}

/// The addresses of a connection's two ends as a header may have them: of one family. Those of IPv4 that are written as
/// addresses of IPv6 become what they are, unless the other one is of IPv6 and remains it.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    match (canonical(source), canonical(destination)) {
        (source @ SocketAddr::V4(_), destination @ SocketAddr::V6(_)) => (mapped(source), destination),
        (source @ SocketAddr::V6(_), destination @ SocketAddr::V4(_)) => (source, mapped(destination)),
        same => same,
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

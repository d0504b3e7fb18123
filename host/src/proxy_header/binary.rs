//! Version 2: a head of 16 bytes, addresses, and TLVs.

use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::parse::Parsed;
use super::tlv::{self, Tlvs};
use super::{Ends, Header};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const HEAD: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// The type, the length and the value of a checksum.
const CHECKSUM: usize = 3 + 4;

/// Reads `bytes`, of which `rest` is what follows the signature. Each part is looked at as soon as it is there.
pub(super) fn parse(bytes: &[u8], rest: &[u8], longest: usize) -> Parsed {
    let is_local = match rest.first() {
        None => return Parsed::NeedMore,
        Some(&LOCAL) => true,
        Some(&PROXY) => false,
        Some(other) if other >> 4 != PROXY >> 4 => return Parsed::Bad("a binary header is of version 2"),
        Some(_) => return Parsed::Bad("a command of version 2 is LOCAL or PROXY"),
    };
    let &[_, family, high, low, ..] = rest else {
        return Parsed::NeedMore;
    };
    let length = HEAD + usize::from(u16::from_be_bytes([high, low]));
    if length > longest {
        return Parsed::Bad("it is longer than `max-length`");
    }
    let Some(whole) = bytes.get(..length) else {
        return Parsed::NeedMore;
    };
    match header(whole, family, is_local) {
        Ok(header) => Parsed::Header { header, length },
        Err(reason) => Parsed::Bad(reason),
    }
}

/// The sender's own connection may be followed by anything, and so may one of whom it says that it does not know: what is
/// there is skipped. A checksum counts wherever it is found.
fn header(whole: &[u8], family: u8, is_local: bool) -> Result<Header, &'static str> {
    let addresses = addresses_of(family);
    let at = addresses.map(|length| HEAD + length);
    let tlvs = at.and_then(|at| whole.get(at..)).filter(|rest| tlv::are_whole(rest));
    if let (Some(at), Some(_)) = (at, tlvs) {
        check(whole, at)?;
    }
    if is_local {
        return Ok(Header {
            ends: Ends::OfTheSockets,
            tlvs: Tlvs::default(),
        });
    }
    let is_known = addresses.is_some_and(|length| length > 0);
    if is_known && tlvs.is_none() {
        return Err("its addresses or its TLVs are cut off");
    }
    let block = &whole[HEAD..];
    let ends = match family {
        TCP4 => tcp4(block),
        TCP6 => tcp6(block),
        UNIX_STREAM => Some(Ends::Unix),
        // Including datagrams, which this connection is none of.
        _ => Some(Ends::OfTheSockets),
    };
    Ok(Header {
        ends: ends.ok_or("its addresses are cut off")?,
        tlvs: tlvs.map(Tlvs::of).unwrap_or_default(),
    })
}

/// How many bytes of addresses stand before the TLVs; `None` where nobody knows.
fn addresses_of(family: u8) -> Option<usize> {
    match family >> 4 {
        0 => Some(0),
        1 => Some(2 * (4 + 2)),
        2 => Some(2 * (16 + 2)),
        3 => Some(2 * 108),
        _ => None,
    }
}

fn tcp4(block: &[u8]) -> Option<Ends> {
    let (source, rest) = block.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    tcp((*source).into(), (*destination).into(), rest)
}

fn tcp6(block: &[u8]) -> Option<Ends> {
    let (source, rest) = block.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    tcp((*source).into(), (*destination).into(), rest)
}

fn tcp(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Ends> {
    let (from, rest) = ports.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(Ends::Tcp {
        source: SocketAddr::new(source, u16::from_be_bytes(*from)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*to)),
    })
}

/// Verifies the checksum among the TLVs from `at`, if there is one (section 2.2.3).
fn check(whole: &[u8], mut at: usize) -> Result<(), &'static str> {
    let mut found = None;
    for (kind, value) in tlv::each(&whole[at..]) {
        let value_at = at + 3;
        at = value_at + value.len();
        if kind != tlv::CRC32C {
            continue;
        }
        let told = <[u8; 4]>::try_from(value).map_err(|_| "its checksum has not four bytes")?;
        if found.replace((value_at, u32::from_be_bytes(told))).is_some() {
            return Err("it has two checksums");
        }
    }
    match found {
        Some((at, told)) if checksum(whole, at) != told => Err("its checksum is wrong"),
        _ => Ok(()),
    }
}

/// As if the four bytes at that place were zero.
fn checksum(whole: &[u8], at: usize) -> u32 {
    crc32c([&whole[..at], &[0; 4], &whole[at + 4..]])
}

/// A header for two addresses of one family; without them, one that says that they are not known. TLVs that do not fit are
/// left out.
pub(super) fn write<'a>(
    ends: Option<(SocketAddr, SocketAddr)>,
    tlvs: impl IntoIterator<Item = (u8, &'a [u8])>,
    with_checksum: bool,
) -> Vec<u8> {
    let mut header = head(PROXY, UNSPECIFIED);
    match ends {
        Some((SocketAddr::V4(source), SocketAddr::V4(destination))) => {
            header[SIGNATURE.len() + 1] = TCP4;
            header.extend(source.ip().octets());
            header.extend(destination.ip().octets());
        }
        Some((SocketAddr::V6(source), SocketAddr::V6(destination))) => {
            header[SIGNATURE.len() + 1] = TCP6;
            header.extend(source.ip().octets());
            header.extend(destination.ip().octets());
        }
        _ => {}
    }
    if let (Some((source, destination)), true) = (ends, header.len() > HEAD) {
        header.extend(source.port().to_be_bytes());
        header.extend(destination.port().to_be_bytes());
    }
    let most = HEAD + usize::from(u16::MAX) - CHECKSUM;
    for (kind, value) in tlvs {
        if header.len() + 3 + value.len() <= most {
            tlv::push(&mut header, kind, value);
        }
    }
    if with_checksum {
        tlv::push(&mut header, tlv::CRC32C, &[0; 4]);
    }
    let length = u16::try_from(header.len() - HEAD).unwrap_or(u16::MAX);
    header[HEAD - 2..HEAD].copy_from_slice(&length.to_be_bytes());
    if with_checksum {
        let at = header.len() - 4;
        let sum = checksum(&header, at);
        header[at..].copy_from_slice(&sum.to_be_bytes());
    }
    header
}

/// A header that says that the connection is our own.
pub(super) fn write_local() -> Vec<u8> {
    head(LOCAL, UNSPECIFIED)
}

fn head(command: u8, family: u8) -> Vec<u8> {
    let mut head = SIGNATURE.to_vec();
    head.extend([command, family, 0, 0]);
    head
}

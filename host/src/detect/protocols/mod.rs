//! How protocols begin.

mod first;
mod greeting;
mod http;
mod mqtt;
mod postgres;
mod redis;
mod socks;

#[cfg(test)]
mod tests;

use crate::protocol::Protocol;

pub use greeting::greets;

use first::{First, Undecided};

/// Whether bytes are the beginning of a protocol. Once it is not `NeedMore`, bytes that follow change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// These bytes may be the beginning of its beginning.
    NeedMore,
}

/// Whether a client that has sent `bytes` first speaks the protocol. It does so for one of them at most.
///
/// `Yes` comes as soon as what has been said fits this protocol and none of the others; it does not promise that the rest is
/// well-formed. Of a protocol in which servers speak first, clients' bytes say nothing: `No`. Each call begins anew, and looks
/// at some dozens of bytes, or at up to 8 KiB of a long request line.
pub fn begins(protocol: Protocol, bytes: &[u8]) -> Answer {
    let mut first = First(bytes);
    let begins = match protocol {
        Protocol::Tls => tls(&mut first),
        Protocol::Http1 => http::version_1(&mut first),
        Protocol::Http2 => http::version_2(&mut first),
        Protocol::Ssh => ssh(&mut first),
        Protocol::Postgres => postgres::startup(&mut first),
        Protocol::Redis => redis::command(&mut first),
        Protocol::Mqtt => mqtt::connect(&mut first),
        Protocol::Socks => socks::greeting(&mut first),
        Protocol::Proxy => proxy(&mut first),
        Protocol::Mysql | Protocol::Smtp => Err(Undecided::No),
    };
    match begins {
        Ok(()) => Answer::Yes,
        Err(Undecided::No) => Answer::No,
        Err(Undecided::NeedMore) => Answer::NeedMore,
    }
}

/// A record with a handshake that begins with a ClientHello (RFC 8446 section 5.1).
fn tls(first: &mut First<'_>) -> Result<(), Undecided> {
    first.exactly(&[22, 3])?;
    first.one_of(|minor| minor <= 4)?;
    let length = u16::from_be_bytes([first.byte()?, first.byte()?]);
    first.holds((1..=1 << 14).contains(&length))?;
    first.exactly(&[1])
}

/// What either side sends first (RFC 4253 sections 4.2 and 5.1).
fn ssh(first: &mut First<'_>) -> Result<(), Undecided> {
    first.exactly(b"SSH-")?;
    match first.one_of(|digit| matches!(digit, b'1' | b'2'))? {
        b'1' => first.exactly(b".99-"),
        _ => first.exactly(b".0-"),
    }
}

/// The PROXY protocol's signatures.
fn proxy(first: &mut First<'_>) -> Result<(), Undecided> {
    match first.one_of(|byte| matches!(byte, b'P' | b'\r'))? {
        b'P' => first.exactly(b"ROXY "),
        _ => first.exactly(b"\n\r\n\0\r\nQUIT\n"),
    }
}

//! The ClientHello of TLS, from any number of records and segments.

mod cursor;
mod extensions;
mod grease;
mod ja4;
mod message;
mod name;
mod records;

#[cfg(test)]
mod tests;

use crate::config::Detection;

pub use name::normalised;

use message::ClientHello;
use records::Records;

/// What a client says of itself before anything is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Normalised. Where Encrypted Client Hello is used, the outer name: the one that everybody may read.
    ///
    /// `None` only where the client names no host: one that names what cannot be the name of a host (an address, which
    /// RFC 6066 forbids, or anything else that [`normalised`] refuses) or two hosts is `Malformed`. Servers differ in what
    /// they make of such hellos, so no choice between routes could be relied upon.
    pub server_name: Option<String>,
    /// What it offers, in its order, without GREASE. Names that are not UTF-8 are left out: nothing registered is not, and
    /// nothing could be compared with them.
    pub alpn: Vec<String>,
    /// The highest version that it offers, as on the wire: 0x0304 is TLS 1.3.
    pub version: u16,
    /// Whether it comes with Encrypted Client Hello, or with what shall look like it (GREASE): nobody but the server can
    /// tell one from the other.
    pub has_ech: bool,
    /// Where it was asked for.
    pub ja4: Option<String>,
}

/// Reads a ClientHello piece by piece. What it has seen it does not look at again, until the hello is whole: all readings
/// of one connection take time in proportion to its bytes, however few come at once.
#[derive(Debug)]
pub struct HelloReader {
    records: Records,
    with_ja4: bool,
}

/// Once it is not `NeedMore`, bytes that follow change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    NeedMore,
    /// It is whole. What follows it, in its last record too, is not looked at.
    Hello(Box<Hello>),
    /// This is something else: its first bytes are not those of a record with a handshake in SSL 3.0 or later. The hello of
    /// SSL 2.0, which clients could begin with until RFC 6176, is something else too.
    NotTls,
    /// It began like one, and cannot be one: why.
    Malformed(&'static str),
    /// It is longer, or in more pieces, than is looked at.
    TooLong,
}

impl HelloReader {
    pub fn new(limits: Detection, with_ja4: bool) -> Self {
        Self {
            records: Records::new(limits.longest, limits.records),
            with_ja4,
        }
    }

    /// Goes on with `seen`: everything that has come so far, from the first byte.
    pub fn read(&mut self, seen: &[u8]) -> Reading {
        match self.records.read(seen) {
            Ok(false) => Reading::NeedMore,
            Ok(true) => match hello(self.records.message(seen), self.with_ja4) {
                Ok(hello) => Reading::Hello(Box::new(hello)),
                Err(reason) => Reading::Malformed(reason),
            },
            Err(refusal) => refusal,
        }
    }
}

fn hello(message: &[u8], with_ja4: bool) -> Result<Hello, &'static str> {
    let message = ClientHello::parse(message)?;
    let extensions = &message.extensions;
    Ok(Hello {
        ja4: with_ja4.then(|| ja4::fingerprint(&message)),
        server_name: match extensions.server_name {
            None => None,
            Some(name) => Some(normalised(name).ok_or("its server name cannot be the name of a host")?),
        },
        alpn: extensions
            .alpn()
            .filter_map(|name| str::from_utf8(name).ok())
            .map(str::to_owned)
            .collect(),
        version: message.version(),
        has_ech: extensions.has_ech,
    })
}

//! The extensions of a ClientHello, of which few are looked into.

use super::cursor::Cursor;
use super::grease::is_grease_name;

pub(super) const SERVER_NAME: u16 = 0;
pub(super) const ALPN: u16 = 16;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

const HOST_NAME: u8 = 0;

#[derive(Debug, Default)]
pub(super) struct Extensions<'a> {
    /// The types of all of them, in ascending order, each once.
    pub(super) types: Vec<u16>,
    /// As it was sent, not empty.
    pub(super) server_name: Option<&'a [u8]>,
    /// Names with a byte of length each, at least one.
    alpn: &'a [u8],
    /// Two bytes each.
    pub(super) versions: &'a [u8],
    /// Two bytes each.
    pub(super) signature_algorithms: &'a [u8],
    pub(super) has_ech: bool,
}

impl<'a> Extensions<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut found = Self {
            // Browsers send some twenty; the head of each has four bytes.
            types: Vec::with_capacity((bytes.len() / 4).min(32)),
            ..Self::default()
        };
        let mut rest = Cursor(bytes);
        while !rest.is_empty() {
            let (kind, data) = rest.u16().zip(rest.after_u16()).ok_or("an extension is cut off")?;
            found.types.push(kind);
            match kind {
                SERVER_NAME => found.server_name = server_name(data)?,
                ALPN => found.alpn = alpn(data)?,
                SIGNATURE_ALGORITHMS => found.signature_algorithms = signature_algorithms(data)?,
                SUPPORTED_VERSIONS => found.versions = versions(data)?,
                ENCRYPTED_CLIENT_HELLO => found.has_ech = true,
                _ => {}
            }
        }
        found.types.sort_unstable();
        match found.types.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err("an extension comes twice"),
            false => Ok(found),
        }
    }

    /// The protocols that it offers, without GREASE.
    pub(super) fn alpn(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Cursor(self.alpn);
        std::iter::from_fn(move || rest.after_u8()).filter(|name| !is_grease_name(name))
    }
}

/// The host that it names (RFC 6066 section 3); names of other kinds, of which there are none so far, would begin with a
/// length too. Two hosts are forbidden there, and servers that take them take the one or the other.
fn server_name(data: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let mut names = Cursor(exactly_after_u16(data).ok_or("its server name's length is wrong")?);
    let mut host = None;
    while !names.is_empty() {
        let (kind, name) = names.u8().zip(names.after_u16()).ok_or("its server name is cut off")?;
        if kind != HOST_NAME {
            continue;
        }
        if name.is_empty() {
            return Err("its server name is empty");
        }
        if host.replace(name).is_some() {
            return Err("it names two hosts");
        }
    }
    Ok(host)
}

/// The list of names (RFC 7301 section 3.1).
fn alpn(data: &[u8]) -> Result<&[u8], &'static str> {
    let names = exactly_after_u16(data).ok_or("its ALPN's length is wrong")?;
    let mut rest = Cursor(names);
    while !rest.is_empty() {
        if rest.after_u8().ok_or("its ALPN is cut off")?.is_empty() {
            return Err("its ALPN has an empty name");
        }
    }
    Ok(names)
}

fn signature_algorithms(data: &[u8]) -> Result<&[u8], &'static str> {
    exactly_after_u16(data)
        .filter(|algorithms| algorithms.len().is_multiple_of(2))
        .ok_or("its signature algorithms' length is wrong")
}

fn versions(data: &[u8]) -> Result<&[u8], &'static str> {
    let mut rest = Cursor(data);
    rest.after_u8()
        .filter(|versions| !versions.is_empty() && versions.len().is_multiple_of(2) && rest.is_empty())
        .ok_or("its versions' length is wrong")
}

/// A list that fills what it came in, with something in it.
fn exactly_after_u16(data: &[u8]) -> Option<&[u8]> {
    let mut rest = Cursor(data);
    rest.after_u16().filter(|list| !list.is_empty() && rest.is_empty())
}

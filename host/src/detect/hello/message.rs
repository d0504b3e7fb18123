//! What a ClientHello says (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).

use super::cursor::{Cursor, u16s};
use super::extensions::Extensions;
use super::grease::is_grease;

/// The type and the length, which somebody has looked at already.
const HEAD: usize = 4;
const RANDOM: usize = 32;
const LONGEST_SESSION_ID: usize = 32;

/// Borrowed from a whole handshake message, whose lengths add up.
#[derive(Debug)]
pub(super) struct ClientHello<'a> {
    legacy_version: u16,
    /// Two bytes each.
    cipher_suites: &'a [u8],
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let mut body = Cursor(message.get(HEAD..).unwrap_or_default());
        let legacy_version = body.u16().ok_or("its version is cut off")?;
        body.bytes(RANDOM).ok_or("its random is cut off")?;
        let session_id = body.after_u8().ok_or("its session id is cut off")?;
        if session_id.len() > LONGEST_SESSION_ID {
            return Err("its session id is longer than 32 bytes");
        }
        let cipher_suites = body.after_u16().ok_or("its cipher suites are cut off")?;
        if cipher_suites.is_empty() || !cipher_suites.len().is_multiple_of(2) {
            return Err("its cipher suites are none, or half ones");
        }
        let compressions = body.after_u8().ok_or("its compression methods are cut off")?;
        if compressions.is_empty() {
            return Err("it has no compression method");
        }
        // Clients of before RFC 3546 have no extensions, not even a length.
        let extensions = match body.is_empty() {
            true => &[],
            false => body.after_u16().ok_or("its extensions are cut off")?,
        };
        if !body.is_empty() {
            return Err("something follows its extensions");
        }
        Ok(Self {
            legacy_version,
            cipher_suites,
            extensions: Extensions::parse(extensions)?,
        })
    }

    /// The highest that it offers. Whoever sends `supported_versions` does not mean the other field.
    pub(super) fn version(&self) -> u16 {
        let offered = u16s(self.extensions.versions).filter(|version| !is_grease(*version));
        offered.max().unwrap_or(self.legacy_version)
    }

    pub(super) fn cipher_suites(&self) -> impl Iterator<Item = u16> {
        u16s(self.cipher_suites)
    }
}

//! The first message of a PostgreSQL client: a length, a code, and for a session its parameters.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::borrow::Cow;

pub(crate) const HEADER_LEN: usize = 8;
pub(crate) const ENCRYPTION_REQUEST_LEN: usize = HEADER_LEN;

/// `MAX_STARTUP_PACKET_LENGTH`, which PostgreSQL counts without the length itself.
const MAX_LEN: usize = 10_000 + 4;
/// Until PostgreSQL 17 the key of a cancel request had 4 bytes; protocol 3.2 allows 256.
const CANCEL_LEN: std::ops::RangeInclusive<usize> = 16..=268;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const PROTOCOL_3: u32 = 3;

/// `NAMEDATALEN` keeps names below 64 bytes; more than these are not worth an annotation.
const SHOWN: usize = 128;

#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    Startup(Parameters<'a>),
    EncryptionRequest(Encryption),
    CancelRequest,
    Partial { missing: usize },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Encryption {
    Tls,
    Gss,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Parameters<'a> {
    pub(crate) database: &'a [u8],
    pub(crate) user: &'a [u8],
}

/// Says as early as it can that something is no message of PostgreSQL's, so that nobody waits for the rest of it.
pub(crate) fn read(bytes: &[u8]) -> Result<Message<'_>, &'static str> {
    match bytes.first() {
        Some(0x16) => return Err("TLS without a request for it"),
        Some(1..) => return Err("not PostgreSQL"),
        Some(0) | None => {}
    }
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(Message::Partial {
            missing: HEADER_LEN - bytes.len(),
        });
    };
    let length = u32::from_be_bytes(*length) as usize;
    if !(HEADER_LEN..=MAX_LEN).contains(&length) {
        return Err("a startup message of an impossible length");
    }
    let Some((code, rest)) = rest.split_first_chunk() else {
        return Ok(Message::Partial {
            missing: HEADER_LEN - bytes.len(),
        });
    };
    let code = u32::from_be_bytes(*code);
    match code {
        SSL_REQUEST | GSSENC_REQUEST if length != ENCRYPTION_REQUEST_LEN => {
            return Err("a request for encryption of an impossible length");
        }
        SSL_REQUEST => return Ok(Message::EncryptionRequest(Encryption::Tls)),
        GSSENC_REQUEST => return Ok(Message::EncryptionRequest(Encryption::Gss)),
        CANCEL_REQUEST if !CANCEL_LEN.contains(&length) => {
            return Err("a cancel request of an impossible length");
        }
        CANCEL_REQUEST => {}
        _ if code >> 16 == PROTOCOL_3 => {}
        _ => return Err("a protocol version that is not 3"),
    }
    let Some(body) = rest.get(..length - HEADER_LEN) else {
        return Ok(Message::Partial {
            missing: length - bytes.len(),
        });
    };
    if code == CANCEL_REQUEST {
        return Ok(Message::CancelRequest);
    }
    match Parameters::read(body)? {
        (parameters, []) => Ok(Message::Startup(parameters)),
        _ => Err("bytes behind the parameters of a startup message"),
    }
}

impl<'a> Parameters<'a> {
    /// From the front of these bytes, and what is behind. As in PostgreSQL, the last value of a name counts, and a
    /// database that is not named, or has an empty name, is that of the user.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), &'static str> {
        let (mut database, mut user): (&[u8], &[u8]) = (b"", b"");
        let mut rest = bytes;
        loop {
            let (name, after_name) = c_string(rest).ok_or("a startup message without its end")?;
            if name.is_empty() {
                rest = after_name;
                break;
            }
            let (value, after_value) = c_string(after_name).ok_or("a startup parameter without a value")?;
            match name {
                b"database" => database = value,
                b"user" => user = value,
                _ => {}
            }
            rest = after_value;
        }
        if user.is_empty() {
            return Err("a startup message without a user");
        }
        Ok((
            Self {
                database: if database.is_empty() { user } else { database },
                user,
            },
            rest,
        ))
    }

    pub(crate) fn database_text(&self) -> Cow<'a, str> {
        text(self.database)
    }

    pub(crate) fn user_text(&self) -> Cow<'a, str> {
        text(self.user)
    }
}

/// An ErrorResponse that ends the session.
pub(crate) fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)] {
        fields.push(kind);
        fields.extend(value.bytes().filter(|&byte| byte != 0));
        fields.push(0);
    }
    fields.push(0);
    // Names are shown cut, so that the length is far below what its field holds.
    let length = 4 + fields.len() as u32;
    [b"E", length.to_be_bytes().as_slice(), &fields].concat()
}

fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn text(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&name[..name.len().min(SHOWN)])
}

//! What servers say that speak first.

use super::{Answer, begins};
use crate::protocol::Protocol;

/// How much of a greeting is looked at.
const LONGEST: usize = 2 << 10;

/// Which protocol a server speaks that has sent `bytes` first, where servers speak first, or where both sides do as in SSH.
///
/// A greeting comes in one piece nearly always; of a part of one this may be `None`, and `Some` when more is shown. What it
/// has said once it says of more bytes too.
pub fn greets(bytes: &[u8]) -> Option<Protocol> {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    if is_mysql(bytes) {
        Some(Protocol::Mysql)
    } else if is_smtp(bytes) {
        Some(Protocol::Smtp)
    } else {
        (begins(Protocol::Ssh, bytes) == Answer::Yes).then_some(Protocol::Ssh)
    }
}

/// A packet, the first of its sequence: a greeting of protocol 10 with the server's version, or an error, such as that there
/// are too many connections.
fn is_mysql(bytes: &[u8]) -> bool {
    let &[low, high, 0, 0, kind, ref body @ ..] = bytes else {
        return false;
    };
    let length = u16::from_le_bytes([low, high]);
    match (kind, body) {
        // 5.5.5-10.11.6-MariaDB, and a NUL.
        (10, &[b'1'..=b'9', ref version @ ..]) if length > 32 => {
            let end = version.iter().position(|byte| !byte.is_ascii_graphic());
            end.is_some_and(|end| end < 128 && version[end] == 0)
        }
        // A number of two bytes from 1000 to 4999, with or without an SQLSTATE, and a text.
        (0xff, &[low, high, first, ..]) if length > 3 => {
            (1000..5000).contains(&u16::from_le_bytes([low, high])) && (first.is_ascii_graphic() || first == b' ')
        }
        _ => false,
    }
}

/// One that lets the client in, or does not (RFC 5321 section 3.1), and says the protocol's name somewhere in its lines. FTP
/// begins with the same numbers, and some servers of SMTP hide what they are: neither is taken for SMTP.
fn is_smtp(bytes: &[u8]) -> bool {
    let [code @ .., separator] = bytes.get(..4).unwrap_or_default() else {
        return false;
    };
    [&b"220"[..], b"421", b"554"].contains(&code)
        && matches!(separator, b' ' | b'-')
        && bytes.windows(4).any(|word| word.eq_ignore_ascii_case(b"smtp"))
}

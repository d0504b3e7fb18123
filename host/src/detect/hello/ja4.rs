//! JA4: what kind of client it is, by what it offers. The part of FoxIO's fingerprints that is under BSD-3-Clause, as
//! described in <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>, for TLS over TCP.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::cursor::u16s;
use super::extensions::{ALPN, SERVER_NAME};
use super::grease::is_grease;
use super::message::ClientHello;

/// Two digits are all that a count has.
const MOST: usize = 99;

/// Of lists with nothing in them.
const NOTHING: &str = "000000000000";

/// As in `t13d1516h2_8daaf6152771_e5627efa2ab1`. GREASE counts nowhere.
pub(super) fn fingerprint(hello: &ClientHello<'_>) -> String {
    let extensions = &hello.extensions;
    let mut ciphers: Vec<u16> = hello.cipher_suites().filter(|cipher| !is_grease(*cipher)).collect();
    ciphers.sort_unstable();
    let types = || extensions.types.iter().copied().filter(|kind| !is_grease(*kind));
    let algorithms = u16s(extensions.signature_algorithms).filter(|algorithm| !is_grease(*algorithm));

    let sni = match extensions.types.contains(&SERVER_NAME) {
        true => 'd',
        false => 'i',
    };
    let (first, last) = ends(extensions.alpn().next());
    let mut text = String::with_capacity(36);
    // Nothing that is written to a string fails.
    let _ = write!(
        text,
        "t{version}{sni}{ciphers:02}{extensions:02}{first}{last}_",
        version = version(hello.version()),
        ciphers = ciphers.len().min(MOST),
        extensions = types().count().min(MOST),
    );
    push_hash(&mut text, &listed(ciphers.into_iter()));
    text.push('_');
    let mut list = listed(types().filter(|kind| ![SERVER_NAME, ALPN].contains(kind)));
    let algorithms = listed(algorithms);
    if !algorithms.is_empty() {
        list.push(b'_');
        list.extend(algorithms);
    }
    push_hash(&mut text, &list);
    text
}

fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first and the last character of a protocol's name; of its bytes in hexadecimal, where one of them is no letter and no
/// digit.
fn ends(protocol: Option<&[u8]>) -> (char, char) {
    let Some((&first, &last)) = protocol.and_then(|name| name.first().zip(name.last())) else {
        return ('0', '0');
    };
    match first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        true => (first.into(), last.into()),
        false => (hex(first >> 4).into(), hex(last).into()),
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0x0f)]
}

/// As in `1301,c02f`.
fn listed(values: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut list = Vec::with_capacity(256);
    for [high, low] in values.map(u16::to_be_bytes) {
        list.extend_from_slice(&[hex(high >> 4), hex(high), hex(low >> 4), hex(low), b',']);
    }
    list.pop();
    list
}

fn push_hash(text: &mut String, list: &[u8]) {
    if list.is_empty() {
        return text.push_str(NOTHING);
    }
    for byte in &Sha256::digest(list)[..NOTHING.len() / 2] {
        text.extend([hex(byte >> 4), hex(*byte)].map(char::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_name_are_as_the_specification_says() {
        for (name, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            let (first, last) = ends(Some(name));
            assert_eq!(format!("{first}{last}"), expected, "{name:x?}");
        }
        assert_eq!(ends(None), ('0', '0'));
    }
}

//! HTTP: a request line of version 1 (RFC 9112 section 3), the preface of version 2 (RFC 9113 section 3.4).

use super::first::{First, Undecided};

/// What the line may have before its version; servers refuse lines that are longer.
const LONGEST: usize = 8 << 10;
const LONGEST_METHOD: usize = 32;

/// A request for a path by a method of RFC 9110 or RFC 5789 is one at once, whatever follows. Of others (`CONNECT` to a host,
/// `OPTIONS *`, `PROPFIND`, which RTSP, SIP and ICAP look like) the line is read up to its version.
///
/// The letters of a method are capitals here: the standard allows more, and nobody uses it.
pub(super) fn version_1(first: &mut First<'_>) -> Result<(), Undecided> {
    let mut method = [0; LONGEST_METHOD];
    let mut length = 0;
    loop {
        match first.one_of(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b' '))? {
            b' ' => break,
            letter => *method.get_mut(length).ok_or(Undecided::No)? = letter,
        }
        length += 1;
    }
    let method = &method[..length];
    // A header of the PROXY protocol's version 1 may go on like a request.
    first.holds(!method.is_empty() && method != b"PROXY")?;
    let target = first.one_of(is_target)?;
    if target == b'/' && is_common(method) {
        return Ok(());
    }
    first.until(b' ', LONGEST, is_target)?;
    first.exactly(b"HTTP/1.")
}

pub(super) fn version_2(first: &mut First<'_>) -> Result<(), Undecided> {
    first.exactly(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

fn is_common(method: &[u8]) -> bool {
    const COMMON: [&[u8]; 8] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH",
    ];
    COMMON.contains(&method)
}

/// Beyond ASCII too, as servers take it.
fn is_target(byte: u8) -> bool {
    !byte.is_ascii_control() && byte != b' '
}

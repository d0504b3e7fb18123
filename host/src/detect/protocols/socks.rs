//! SOCKS: a request of version 4 or 4a, or the methods of version 5 (RFC 1928 section 3).

use super::first::{First, Undecided};

/// What a user's name may have; the protocol sets no limit.
const LONGEST_USER: usize = 255;

pub(super) fn greeting(first: &mut First<'_>) -> Result<(), Undecided> {
    match first.one_of(|version| matches!(version, 4 | 5))? {
        4 => version_4(first),
        _ => version_5(first),
    }
}

/// CONNECT or BIND, a port, an address, and a user's name that ends with NUL. With 4a a host's name follows.
fn version_4(first: &mut First<'_>) -> Result<(), Undecided> {
    first.one_of(|command| matches!(command, 1 | 2))?;
    for _port_and_address in 0..6 {
        first.byte()?;
    }
    first.until(0, LONGEST_USER, |byte| !byte.is_ascii_control())?;
    Ok(())
}

/// How many methods there are, and each: one that IANA has assigned, or a private one.
fn version_5(first: &mut First<'_>) -> Result<(), Undecided> {
    let count = first.one_of(|count| count > 0)?;
    for _ in 0..count {
        first.one_of(|method| matches!(method, 0..=9 | 0x80..=0xfe))?;
    }
    Ok(())
}

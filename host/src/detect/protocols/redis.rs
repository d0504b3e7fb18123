//! Redis: a command as an array of strings, or the plain `PING` of load balancers.

use super::first::{First, Undecided};

pub(super) fn command(first: &mut First<'_>) -> Result<(), Undecided> {
    match first.one_of(|byte| matches!(byte, b'*' | b'P'))? {
        b'P' => first.exactly(b"ING\r\n"),
        _ => {
            number(first)?;
            first.exactly(b"$")?;
            number(first)
        }
    }
}

/// How many strings there are, or how long one is: a server takes a million of them, and half a gigabyte.
fn number(first: &mut First<'_>) -> Result<(), Undecided> {
    first.one_of(|byte| (b'1'..=b'9').contains(&byte))?;
    first.until(b'\r', 8, |byte| byte.is_ascii_digit())?;
    first.exactly(b"\n")
}

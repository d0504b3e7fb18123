//! PostgreSQL: a startup packet of protocol 3, or one of the requests that may come before it.

use super::first::{First, Undecided};

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// Its length, which counts itself, and a code; the server takes no packet that is longer than 10 000 bytes.
pub(super) fn startup(first: &mut First<'_>) -> Result<(), Undecided> {
    first.exactly(&[0, 0])?;
    let length = u16::from_be_bytes([first.byte()?, first.byte()?]);
    first.holds((8..=10_000).contains(&length))?;
    let code = u32::from_be_bytes([first.byte()?, first.byte()?, first.byte()?, first.byte()?]);
    first.holds(match code {
        SSL | GSS => length == 8,
        // A process and its key, which has up to 256 bytes since 3.2.
        CANCEL => (16..=268).contains(&length),
        // Parameters, of which the last is an empty one.
        _ => code >> 16 == 3 && length > 8,
    })
}

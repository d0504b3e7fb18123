//! MQTT: the packet CONNECT of versions 3.1, 3.1.1 and 5 (MQTT 5.0 section 3.1).

use super::first::{First, Undecided};

const CONNECT: u8 = 0x10;

pub(super) fn connect(first: &mut First<'_>) -> Result<(), Undecided> {
    first.exactly(&[CONNECT])?;
    let length = remaining(first)?;
    first.exactly(&[0])?;
    // The name with its length, level, flags, keep alive, and the length of the client's identifier.
    match first.one_of(|length| matches!(length, 4 | 6))? {
        4 => {
            first.exactly(b"MQTT")?;
            first.holds(length >= 12)
        }
        _ => {
            first.exactly(b"MQIsdp")?;
            first.holds(length >= 14)
        }
    }
}

/// A number of one to four bytes, the low seven bits of it first, each but the last with its high bit (section 1.5.5).
fn remaining(first: &mut First<'_>) -> Result<u32, Undecided> {
    let mut number = 0;
    for at in 0..4 {
        let byte = first.byte()?;
        number |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Undecided::No)
}

//! What a client is told that is turned away before there is a handshake.

/// A record with the fatal alert `unrecognized_name` (RFC 6066, section 3), not encrypted, in the version that every
/// client takes a record of (RFC 8446, section 5.1).
pub fn unrecognized_name() -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const UNRECOGNIZED_NAME: u8 = 112;
    [ALERT, 3, 3, 0, 2, FATAL, UNRECOGNIZED_NAME]
}

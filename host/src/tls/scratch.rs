//! The buffer of a thread that records are decrypted and encrypted in.

use std::cell::RefCell;

/// The longest record: a header, and 2^14 bytes with what a cipher may add to them (RFC 5246, section 6.2.3).
pub(super) const RECORD: usize = 5 + (16 << 10) + (2 << 10);

/// What a session moves at once: as much as a worker's buffer holds.
pub(super) const BATCH: usize = 64 << 10;

/// Room for a batch with all that encryption adds, or for a record behind a message of a handshake as long as any.
const SIZE: usize = BATCH + RECORD;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into());
}

/// Lends it, between two waits and never across one. It must not be asked for again inside.
pub(super) fn with<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

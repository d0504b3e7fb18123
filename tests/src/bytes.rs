//! Bytes that show what went wrong with them.

use sha2::{Digest, Sha256};

/// The same bytes for the same seed, and no two places alike, so that a lost, doubled or swapped chunk changes the digest.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: neither fast nor slow matters, repeatable does.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// SHA-256, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A component that does the same as this one and has another digest: a custom section says nothing to the engine.
pub fn variant(component: &[u8], number: u32) -> Vec<u8> {
    let name = b"variant";
    let mut section = vec![0, 1 + name.len() as u8 + 4, name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(&number.to_le_bytes());
    [component, &section].concat()
}

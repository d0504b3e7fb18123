use std::ops::RangeInclusive;

use crate::pattern::{Answer, Found};

/// Some of the 256 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(crate) fn insert_all(&mut self, bytes: RangeInclusive<u8>) {
        bytes.for_each(|byte| self.insert(byte));
    }

    /// The others.
    pub(crate) fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// `found`, where `text` begins with `own` in any case.
pub(crate) fn folded_prefix<'a>(text: &[u8], own: &[u8], last: bool, found: Found<'a>) -> Answer<'a> {
    let there = text.len().min(own.len());
    if !text[..there].eq_ignore_ascii_case(&own[..there]) {
        Answer::No
    } else if there == own.len() {
        Answer::Found(found)
    } else if last {
        Answer::No
    } else {
        Answer::More
    }
}

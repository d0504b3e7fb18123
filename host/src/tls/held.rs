//! Bytes that nobody has taken yet.

/// Empty nearly always, and then it owns no memory: an idle session costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    taken: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is left.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The first `count` bytes of the rest have been taken.
    pub(super) fn advance(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Moves as much as `buffer` holds there, and tells how much.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest()[..count]);
        self.advance(count);
        count
    }
}

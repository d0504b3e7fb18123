//! Walking through bytes whose lengths others wrote.

/// What is still to be read. Reading past the end gives `None`, and takes nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (&bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(bytes))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// As many bytes as the one before them says.
    pub(super) fn after_u8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let count = ahead.u8()?;
        let bytes = ahead.bytes(count.into())?;
        *self = ahead;
        Some(bytes)
    }

    /// As many bytes as the two before them say.
    pub(super) fn after_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let count = ahead.u16()?;
        let bytes = ahead.bytes(count.into())?;
        *self = ahead;
        Some(bytes)
    }
}

/// Numbers of two bytes, as far as they are whole.
pub(super) fn u16s(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().copied().map(u16::from_be_bytes)
}

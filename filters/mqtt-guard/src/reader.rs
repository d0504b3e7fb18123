//! Takes fields from the front of a packet. `None` is a packet that ends too early, or breaks a rule.

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Up to 65 535 bytes.
    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// UTF-8 without null, as the standard wants it.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.binary()?).ok()?;
        (!text.contains('\0')).then_some(text)
    }

    /// Of version 5, a length and so many bytes.
    pub(crate) fn skip_properties(&mut self) -> Option<()> {
        let mut length = Length::default();
        let length = loop {
            match length.add(self.byte()?) {
                Some(Some(length)) => break length,
                Some(None) => {}
                None => return None,
            }
        };
        self.take(length as usize).map(|_| ())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// A length of one to four bytes, of which seven bits count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Length {
    value: u32,
    bytes: u32,
}

impl Length {
    /// The length, when this byte is its last. `None` where it is too long, or longer than it need be: another broker might
    /// read it otherwise.
    pub(crate) fn add(&mut self, byte: u8) -> Option<Option<u32>> {
        self.value |= u32::from(byte & 0x7f) << (7 * self.bytes);
        self.bytes += 1;
        match (byte, self.bytes) {
            (0, 2..) => None,
            (..0x80, _) => Some(Some(self.value)),
            (_, 4..) => None,
            _ => Some(None),
        }
    }
}

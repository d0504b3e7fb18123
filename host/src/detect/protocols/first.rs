//! A connection's first bytes, one after the other.

/// Why there is no answer, or none but `No`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecided {
    No,
    NeedMore,
}

/// What is still to be looked at. Nobody can look ahead, nor ask how much there is: that alone makes an answer stand, however
/// many bytes follow.
#[derive(Debug)]
pub(super) struct First<'a>(pub(super) &'a [u8]);

impl First<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, Undecided> {
        let (&byte, rest) = self.0.split_first().ok_or(Undecided::NeedMore)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn holds(&self, what: bool) -> Result<(), Undecided> {
        match what {
            true => Ok(()),
            false => Err(Undecided::No),
        }
    }

    pub(super) fn one_of(&mut self, is: impl Fn(u8) -> bool) -> Result<u8, Undecided> {
        let byte = self.byte()?;
        self.holds(is(byte))?;
        Ok(byte)
    }

    pub(super) fn exactly(&mut self, bytes: &[u8]) -> Result<(), Undecided> {
        for expected in bytes {
            self.one_of(|byte| byte == *expected)?;
        }
        Ok(())
    }

    /// As many as there are of those bytes, `most` at the most, and the one that ends them. How many they were.
    pub(super) fn until(&mut self, end: u8, most: usize, is: impl Fn(u8) -> bool) -> Result<usize, Undecided> {
        for count in 0..=most {
            if self.one_of(|byte| byte == end || is(byte))? == end {
                return Ok(count);
            }
        }
        Err(Undecided::No)
    }
}

//! From records to the first handshake message (RFC 8446 section 5.1).

use super::Reading;

/// The type, the version and the length of a record.
const HEAD: usize = 5;

/// The type and the length of a handshake message.
const MESSAGE_HEAD: usize = 4;

/// What a record without encryption may hold.
const LONGEST_RECORD: usize = 1 << 14;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// How far it has come. As long as the message is in one record, it stays where it is; when a second record goes on with it,
/// its parts are gathered.
#[derive(Debug)]
pub(super) struct Records {
    /// What the message may have, its head included.
    longest: usize,
    /// How many more records may begin.
    more: u32,
    /// How much of what is seen has been looked at.
    at: usize,
    /// How many bytes of the current record's payload come after that.
    left: usize,
    is_first: bool,
    /// What records before the current one, and as much of the current one as has come, hold of the message; empty while
    /// that is the first.
    gathered: Vec<u8>,
}

impl Records {
    pub(super) fn new(longest: usize, records: u32) -> Self {
        Self {
            longest,
            more: records,
            at: 0,
            left: 0,
            is_first: true,
            gathered: Vec::new(),
        }
    }

    /// Goes on with `seen`, whose beginning it knows. Whether the message is whole; what it is instead, if it is none.
    pub(super) fn read(&mut self, seen: &[u8]) -> Result<bool, Reading> {
        loop {
            let so_far = self.message(seen);
            let missing = wanted(so_far, self.longest)? - so_far.len();
            if missing == 0 {
                return Ok(true);
            }
            if self.left == 0 && !self.begin(seen)? {
                return Ok(false);
            }
            let come = seen.get(self.at..).unwrap_or_default();
            let part = &come[..come.len().min(self.left).min(missing)];
            if part.is_empty() {
                return Ok(false);
            }
            if !self.is_first {
                self.gather(part, missing);
            }
            self.at += part.len();
            self.left -= part.len();
        }
    }

    /// As much of the message as has been looked at, in what was given to [`Self::read`].
    pub(super) fn message<'a>(&'a self, seen: &'a [u8]) -> &'a [u8] {
        match self.is_first {
            true => seen.get(HEAD..self.at).unwrap_or_default(),
            false => &self.gathered,
        }
    }

    /// Makes room as vectors do, for twice as much each time, but never for more than is missing.
    fn gather(&mut self, part: &[u8], missing: usize) {
        if self.gathered.capacity() - self.gathered.len() < part.len() {
            self.gathered
                .reserve_exact(self.gathered.len().max(part.len()).min(missing));
        }
        self.gathered.extend_from_slice(part);
    }

    /// Goes on to the next record, if its head has come. What is wrong with a head is said as soon as it can be seen.
    fn begin(&mut self, seen: &[u8]) -> Result<bool, Reading> {
        if self.more == 0 {
            return Err(Reading::TooLong);
        }
        if self.is_first && self.at > 0 {
            self.gathered = self.message(seen).to_vec();
            self.is_first = false;
        }
        let head = seen.get(self.at..).unwrap_or_default();
        let is_ours = |at: usize, is: fn(u8) -> bool| head.get(at).is_none_or(|byte| is(*byte));
        let is_handshake = is_ours(0, |kind| kind == HANDSHAKE);
        // 3.0 to 3.4: SSL 3.0 to TLS 1.3, which itself says 3.1 or 3.3.
        let is_version = is_ours(1, |major| major == 3) && is_ours(2, |minor| minor <= 4);
        match (is_handshake && is_version, self.is_first) {
            (true, _) => {}
            (false, true) => return Err(Reading::NotTls),
            (false, false) if is_handshake => return Err(Reading::Malformed("a record has no version of TLS")),
            (false, false) => return Err(Reading::Malformed("another record comes before the hello is whole")),
        }
        let &[_, _, _, high, low, ..] = head else {
            return Ok(false);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 {
            return Err(Reading::Malformed("a record of the handshake is empty"));
        }
        if length > LONGEST_RECORD {
            return Err(Reading::Malformed("a record is longer than 16 KiB"));
        }
        self.more -= 1;
        self.at += HEAD;
        self.left = length;
        Ok(true)
    }
}

/// How long a message is that begins so: its head's length, until that has come.
fn wanted(message: &[u8], longest: usize) -> Result<usize, Reading> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(Reading::Malformed("the first message is not a ClientHello"));
    }
    let &[_, high, middle, low, ..] = message else {
        return Ok(MESSAGE_HEAD);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    match MESSAGE_HEAD + length {
        whole if whole > longest => Err(Reading::TooLong),
        whole => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_the_message_has() {
        let mut message = vec![0; 9000];
        message[..MESSAGE_HEAD].copy_from_slice(&[CLIENT_HELLO, 0, 0x23, 0x24]);
        for length in [1, 5, 700, 8999] {
            let stream = crate::detect::laws::in_records(&message, |_| length);
            let mut records = Records::new(message.len(), u32::MAX);
            for end in 0..=stream.len() {
                let is_whole = records.read(&stream[..end]);
                assert_eq!(is_whole, Ok(end == stream.len()));
                assert!(records.gathered.capacity() <= message.len());
            }
            assert_eq!(records.message(&stream), message);
        }
        // What is in one record is not kept at all.
        let stream = crate::detect::laws::in_records(&message, |_| message.len());
        let mut records = Records::new(message.len(), 1);
        assert_eq!(records.read(&stream[..5000]), Ok(false));
        assert_eq!(records.read(&stream), Ok(true));
        assert_eq!(records.gathered.capacity(), 0);
        assert_eq!(records.message(&stream), message);
    }
}

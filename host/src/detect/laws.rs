//! What holds whatever the bytes are. Each function panics where it does not.

use std::time::Duration;

use crate::config::Detection;
use crate::detect::{Answer, HelloReader, Reading, begins, greets};
use crate::protocol::Protocol;

pub const LIMITS: Detection = Detection {
    timeout: Duration::ZERO,
    longest: 16 << 10,
    records: 2048,
};

/// As a connection's first bytes: however they come, they are read as the same thing.
pub fn bytes_are_read_the_same_however_they_come(bytes: &[u8]) {
    let whole = read(bytes);
    assert_eq!(read_in_steps(bytes, |_| 1), whole, "byte by byte");
    let mut dice = Dice::of(bytes);
    assert_eq!(read_in_steps(bytes, |_| dice.up_to(700)), whole, "by the segment");

    let without = HelloReader::new(LIMITS, false).read(bytes);
    match (whole, without) {
        (Reading::Hello(mut with), Reading::Hello(without)) => {
            assert!(with.ja4.take().is_some_and(|ja4| ja4.len() == 36));
            assert_eq!(with, without);
        }
        (with, without) => assert_eq!(with, without),
    }
}

/// As the body of a ClientHello: into whatever records it is cut, it is read as the same thing.
pub fn a_message_is_read_the_same_in_any_records(body: &[u8]) {
    let mut message = vec![1];
    message.extend(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()[1..]);
    message.extend(body);
    let whole = read(&in_records(&message, |_| 1 << 14));
    assert_ne!(whole, Reading::NeedMore);
    assert_ne!(whole, Reading::NotTls);
    // So that there are not too many of them.
    let least = message.len() / 2000 + 1;
    let mut dice = Dice::of(body);
    let most = [1, 7, 1500][dice.up_to(3) - 1];
    let cut = in_records(&message, |_| dice.up_to(most).max(least));
    assert_eq!(read(&cut), whole, "records of up to {most} bytes");
    assert_eq!(
        read_in_steps(&cut, |_| dice.up_to(40)),
        whole,
        "records of up to {most} bytes, in segments"
    );
}

/// An answer stands, whatever follows, and no two protocols begin so.
pub fn answers_stand(bytes: &[u8]) {
    let mut speaks = None;
    for protocol in Protocol::ALL {
        let answers: Vec<Answer> = (0..=bytes.len()).map(|end| begins(*protocol, &bytes[..end])).collect();
        let decided = answers.iter().position(|answer| *answer != Answer::NeedMore);
        let last = answers[bytes.len()];
        assert!(
            answers[decided.unwrap_or(0)..].iter().all(|answer| *answer == last),
            "{protocol}: {answers:?}"
        );
        if last == Answer::Yes {
            assert_eq!(speaks.replace(protocol), None, "{protocol}");
        }
    }
    let tls = begins(Protocol::Tls, bytes);
    let is_tls = HelloReader::new(LIMITS, false).read(bytes) != Reading::NotTls;
    assert!(is_tls || tls == Answer::No, "what begins as TLS does is read as TLS");

    let mut greeted = None;
    for end in 0..=bytes.len() {
        let now = greets(&bytes[..end]);
        assert!(greeted.is_none() || now == greeted, "{greeted:?} and {now:?} at {end}");
        greeted = now;
    }
}

pub fn read(bytes: &[u8]) -> Reading {
    HelloReader::new(LIMITS, true).read(bytes)
}

/// With one reader, which sees so many more bytes each time. What it says first is what it says of everything.
pub fn read_in_steps(bytes: &[u8], mut step: impl FnMut(usize) -> usize) -> Reading {
    let mut reader = HelloReader::new(LIMITS, true);
    let mut end = 0;
    loop {
        let reading = reader.read(&bytes[..end]);
        if reading != Reading::NeedMore {
            assert_eq!(reader.read(bytes), reading, "what follows byte {end} changes it");
        }
        if reading != Reading::NeedMore || end == bytes.len() {
            return reading;
        }
        end = bytes.len().min(end + step(end));
    }
}

/// In records of such lengths.
pub fn in_records(message: &[u8], mut length: impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let part = &message[at..message.len().min(at + length(at))];
        stream.extend([22, 3, 1]);
        stream.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        stream.extend(part);
        at += part.len();
    }
    stream
}

/// The same numbers for the same bytes, so that what was found is found again.
struct Dice(u64);

impl Dice {
    fn of(bytes: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash) | 1)
    }

    /// 1 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + (self.0 >> 33) as usize % most
    }
}

/// What `scripts/fuzz` has found worth keeping.
#[cfg(test)]
mod tests {
    use super::*;

    fn kept(target: &str) -> Vec<Vec<u8>> {
        let directory = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&directory).unwrap();
        let kept: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert!(kept.len() > 20, "{directory} has {} files", kept.len());
        kept
    }

    #[test]
    fn they_hold_for_the_hellos_that_a_fuzzer_made() {
        for bytes in kept("hello") {
            bytes_are_read_the_same_however_they_come(&bytes);
            a_message_is_read_the_same_in_any_records(&bytes);
        }
    }

    #[test]
    fn they_hold_for_the_beginnings_that_a_fuzzer_made() {
        for bytes in kept("protocols") {
            answers_stand(&bytes);
        }
    }
}

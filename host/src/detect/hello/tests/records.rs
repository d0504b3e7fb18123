//! One message, in many pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::corpus::{HELLOS, message_of};
use super::{Draft, hello, in_one_record, in_records, read};
use crate::config::Detection;
use crate::detect::laws::{LIMITS, read_in_steps};
use crate::detect::{HelloReader, Reading};

fn limited(longest: usize, records: u32) -> HelloReader {
    let limits = Detection {
        longest,
        records,
        ..LIMITS
    };
    HelloReader::new(limits, false)
}

/// A hello whose message has so many bytes.
fn of_length(length: usize) -> Vec<u8> {
    let padded = |padding: usize| Draft::new().with(21, vec![0; padding]).message();
    let message = padded(length - padded(0).len());
    assert_eq!(message.len(), length);
    message
}

#[test]
fn a_kibibyte_in_records_of_one_byte_passes() {
    let message = of_length(1024);
    assert_eq!(read(&in_records(&message, |_| 1)), read(&in_one_record(&message)));
    hello(read(&in_records(&message, |_| 1)));
}

#[test]
fn the_last_record_that_is_allowed_may_be_the_last_of_the_hello() {
    let message = of_length(300);
    for (records, reading) in [(3, true), (2, false)] {
        let mut reader = limited(1024, records);
        let is_hello = match reader.read(&in_records(&message, |_| 100)) {
            Reading::Hello(_) => true,
            Reading::TooLong => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(is_hello, reading);
    }
    // It is known when the last one is over: nobody waits for a fourth.
    let two = &in_records(&message, |_| 100)[..2 * 105];
    let mut reader = limited(1024, 2);
    assert_eq!(reader.read(&two[..two.len() - 1]), Reading::NeedMore);
    assert_eq!(reader.read(two), Reading::TooLong);
}

#[test]
fn a_message_that_says_that_it_is_too_long_is_refused_at_once() {
    for (length, reading) in [(1024, Reading::NeedMore), (1025, Reading::TooLong)] {
        let stream = in_one_record(&of_length(length));
        assert_eq!(limited(1024, 1).read(&stream[..8]), Reading::NeedMore);
        assert_eq!(limited(1024, 1).read(&stream[..9]), reading);
    }
    let reading = limited(1024, 1).read(&in_one_record(&of_length(1024)));
    assert!(matches!(reading, Reading::Hello(_)));
}

#[test]
fn a_record_holds_up_to_16_kib() {
    let mut message = of_length(1000);
    message.resize(1 << 14, 0);
    // What follows the hello in its record is not looked at.
    hello(read(&in_one_record(&message)));
    let mut stream = in_one_record(&message);
    stream[3..5].copy_from_slice(&((1u16 << 14) + 1).to_be_bytes());
    assert_eq!(read(&stream), Reading::Malformed("a record is longer than 16 KiB"));
}

#[test]
fn the_largest_message_may_span_records_of_the_largest_size() {
    let message = of_length(64 << 10);
    let stream = in_records(&message, |_| 1 << 14);
    assert!(matches!(limited(64 << 10, 4).read(&stream), Reading::Hello(_)));
    assert_eq!(limited((64 << 10) - 1, 4).read(&stream), Reading::TooLong);
}

#[test]
fn a_reader_that_is_shown_less_than_before_does_not_fail() {
    let stream = in_records(&of_length(300), |_| 100);
    let mut reader = limited(1024, 9);
    assert_eq!(reader.read(&stream[..200]), Reading::NeedMore);
    assert_eq!(reader.read(&stream[..3]), Reading::NeedMore);
    assert_eq!(reader.read(&[]), Reading::NeedMore);
}

/// It would take half a minute if each reading began anew, and a second is far more than it takes.
#[test]
fn work_grows_with_the_bytes_and_not_with_their_square() {
    let message = of_length(64 << 10);
    let stream = in_records(&message, |_| 1);
    let mut reader = limited(64 << 10, 64 << 10);
    let start = std::time::Instant::now();
    for end in 0..stream.len() {
        assert_eq!(reader.read(&stream[..end]), Reading::NeedMore);
    }
    assert!(matches!(reader.read(&stream), Reading::Hello(_)));
    assert!(
        start.elapsed() < std::time::Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

proptest! {
    #[test]
    fn records_and_segments_do_not_matter(
        (_, stream) in select(HELLOS),
        records in vec(1usize..700, 1..40),
        segments in vec(1usize..1500, 1..20),
    ) {
        let whole = read(stream);
        let mut records = records.iter().cycle();
        let cut = in_records(&message_of(stream), |_| *records.next().unwrap());
        prop_assert_eq!(&read(&cut), &whole);
        let mut segments = segments.iter().cycle();
        prop_assert_eq!(read_in_steps(&cut, |_| *segments.next().unwrap()), whole);
    }
}

use super::*;
use crate::treatment::capture::event::{Began, Leg};

fn written(format: CaptureFormat, legs: CaptureLegs) -> String {
    let mut lines = Lines::new(format);
    let leg = Leg {
        time: Duration::ZERO,
        addresses: [None; 2],
    };
    let bytes = |stream, length, kept: &[u8]| What::Bytes {
        stream,
        at: 32,
        length,
        kept: kept.into(),
    };
    let all = [
        What::Began(Box::new(Began {
            connection: 17,
            legs,
            client: leg,
            upstream: None,
            at: [0; 4],
            about: "connection 17\nforged".into(),
        })),
        bytes(Stream::FromClient, 100, b"say \"hello\"\r\n\xFF, and more"),
        bytes(Stream::ToUpstream, 3, b"***"),
        What::Finished(Stream::FromClient),
        What::Over {
            how: "relay.finished.client".into(),
            at: [0; 4],
        },
    ];
    let mut out = Vec::new();
    for (number, what) in (0..).zip(all) {
        let before = out.len() as u64;
        let event = Event {
            flow: 1,
            time: Duration::new(1_800_000_000, number),
            what,
        };
        lines.write(&event, &mut out);
        assert!(out.len() as u64 - before <= Lines::most(&event), "more than the most");
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_record_is_a_line_that_nobody_can_forge() {
    let expected = r#"2027-01-15T08:00:00.000000000Z 17 began connection 17\nforged
2027-01-15T08:00:00.000000001Z 17 client>proxy at=32 length=100 kept=24 "say \"hello\"\r\n\xff, and more"
2027-01-15T08:00:00.000000002Z 17 proxy>upstream at=32 length=3 "***"
2027-01-15T08:00:00.000000003Z 17 client>proxy finished
2027-01-15T08:00:00.000000004Z 17 over relay.finished.client
"#;
    assert_eq!(written(CaptureFormat::Text, CaptureLegs::Both), expected);
}

#[test]
fn a_dump_has_what_a_dump_has() {
    let expected = r#"2027-01-15T08:00:00.000000001Z 17 client>proxy at=32 length=100 kept=24
00000020  73 61 79 20 22 68 65 6c  6c 6f 22 0d 0a ff 2c 20  |say "hello"..., |
00000030  61 6e 64 20 6d 6f 72 65                           |and more|
"#;
    let written = written(CaptureFormat::Hex, CaptureLegs::Client);
    assert!(written.contains(expected), "{written}");
    assert!(!written.contains("***"), "{written}");
}

#[test]
fn what_filters_have_taken_out_is_not_there() {
    let written = written(CaptureFormat::Text, CaptureLegs::Filtered);
    assert!(written.contains("***") && !written.contains("hello"), "{written}");
}

use std::fs;
use std::path::Path;

use super::*;
use crate::config::{CaptureConfig, CaptureFiles, CaptureFormat, CaptureLegs, CaptureOnly};
use crate::outcome::Stage;

fn config(directory: &Path) -> CaptureConfig {
    CaptureConfig {
        files: CaptureFiles {
            directory: directory.to_owned(),
            format: CaptureFormat::Text,
            size: 1 << 20,
            count: 3,
        },
        legs: CaptureLegs::Both,
        snap: 1 << 16,
        longest: None,
        bytes: None,
        share: 100,
        only: None,
    }
}

fn about() -> About {
    About {
        connection: 17,
        client: [None; 2],
        upstream: Some([None; 2]),
        text: "connection 17".to_owned(),
    }
}

fn outcome(cause: Cause) -> Outcome {
    Outcome::new(Stage::Relay, cause, Side::Client)
}

/// What the captures in that directory have, when all of them are over.
fn written(directory: &Path, captures: Vec<Arc<Capture>>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(super::super::close_all(Duration::from_secs(10)));
    drop(captures);
    let files = fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    // Without the times.
    let text = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect::<String>();
    text.lines()
        .map(|line| format!("{}\n", line.split_once(' ').unwrap().1))
        .collect()
}

#[test]
fn what_happens_before_it_is_known_who_wants_it_is_told_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let capture = Capture::new(&config(directory.path()));
    let recording = Recording::early(None);
    assert!(recording.is_on());
    recording.bytes(Stream::FromClient, b"start tls");
    recording.bytes(Stream::ToClient, b"S");
    recording.bytes(Stream::FromClient, b"hello of a handshake");
    recording.take_back(Stream::FromClient, b"hello of a handshake".len());
    recording.bytes(Stream::FromClient, b"in clear");
    recording.is_wanted_by(&[Arc::clone(&capture)]);
    recording.begin(&about());
    recording.bytes(Stream::ToUpstream, b"in clear");
    recording.finished(Stream::FromClient);
    recording.resets_on_close(Side::Upstream);
    recording.end(outcome(Cause::Finished), "finished", about);
    assert!(!recording.is_on());
    let expected = "17 began connection 17
17 client>proxy at=0 length=9 \"start tls\"
17 proxy>client at=0 length=1 \"S\"
17 client>proxy at=9 length=8 \"in clear\"
17 proxy>upstream at=0 length=8 \"in clear\"
17 client>proxy finished
17 proxy>client finished
17 proxy>upstream reset
17 over finished
";
    assert_eq!(written(directory.path(), vec![capture]), expected);
}

#[test]
fn nobody_wants_it_and_it_is_as_if_nobody_had_listened() {
    let recording = Recording::early(None);
    recording.bytes(Stream::FromClient, b"hello");
    recording.is_wanted_by(&[]);
    assert!(!recording.is_on());
    recording.end(outcome(Cause::Reset), "reset", || panic!("nobody asks"));
}

#[test]
fn limits_end_a_capture_and_not_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let limited = CaptureConfig {
        bytes: Some(10),
        snap: 6,
        ..config(directory.path())
    };
    let capture = Capture::new(&limited);
    let recording = Recording::new(None);
    recording.bytes(Stream::FromClient, b"before");
    recording.follow(&[Arc::clone(&capture)], &about());
    recording.bytes(Stream::FromClient, b"12345678");
    assert!(recording.is_on());
    recording.bytes(Stream::FromClient, b"12345678");
    assert!(!recording.is_on());
    recording.bytes(Stream::FromClient, b"after");
    // It has had its share of this one, and does not begin again.
    recording.follow(&[Arc::clone(&capture)], &about());
    assert!(!recording.is_on());
    let expected = "17 began connection 17
17 client>proxy at=6 length=8 kept=6 \"123456\"
17 client>proxy at=14 length=8 kept=4 \"1234\"
17 over as many bytes are kept as may be of one connection
";
    assert_eq!(written(directory.path(), vec![capture]), expected);
}

#[test]
fn a_capture_that_is_taken_back_ends_and_the_others_go_on() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [first, second] = [&one, &other].map(|directory| Capture::new(&config(directory.path())));
    let recording = Recording::new(None);
    recording.follow(&[Arc::clone(&first), Arc::clone(&second)], &about());
    recording.bytes(Stream::FromUpstream, b"1");
    recording.follow(&[Arc::clone(&second)], &about());
    recording.bytes(Stream::FromUpstream, b"2");
    recording.end(outcome(Cause::Reset), "reset", about);
    let expected = "17 began connection 17
17 upstream>proxy at=0 length=1 \"1\"
17 over the capture has ended, and the connection goes on
";
    assert_eq!(written(one.path(), vec![first]), expected);
    let written = written(other.path(), vec![second]);
    assert!(
        written.contains("at=1 length=1 \"2\"") && written.contains("17 client>proxy reset"),
        "{written}"
    );
}

#[test]
fn a_black_box_is_opened_when_it_ended_badly() {
    for (cause, is_written) in [
        (Cause::Finished, false),
        (Cause::IdleTimeout, true),
        (Cause::Reset, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let black_box = CaptureConfig {
            only: Some(CaptureOnly::Abnormal),
            bytes: Some(4),
            ..config(directory.path())
        };
        let capture = Capture::new(&black_box);
        let recording = Recording::new(None);
        recording.follow(&[Arc::clone(&capture)], &about());
        recording.bytes(Stream::FromClient, b"one");
        recording.bytes(Stream::FromClient, b"two");
        assert!(recording.is_on());
        recording.end(outcome(cause), "over", about);
        let written = written(directory.path(), vec![capture]);
        assert_eq!(
            written.contains("at=3 length=3 \"two\""),
            is_written,
            "{cause:?}: {written}"
        );
        assert!(!written.contains("one"));
    }
}

#[test]
fn a_share_of_connections_is_captured_and_always_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let shared = CaptureConfig {
        share: 10,
        ..config(directory.path())
    };
    let (one, other) = (Capture::new(&shared), Capture::new(&shared));
    let drawn: Vec<_> = (0..10_000).filter(|id| one.wants(*id)).collect();
    assert!((800..1200).contains(&drawn.len()), "{}", drawn.len());
    assert!(drawn.iter().all(|id| other.wants(*id)));
}

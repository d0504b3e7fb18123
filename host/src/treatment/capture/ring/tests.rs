use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::config::CaptureFormat;

fn files(directory: &Path, count: u32) -> CaptureFiles {
    CaptureFiles {
        directory: directory.to_owned(),
        format: CaptureFormat::Text,
        size: 100,
        count,
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

/// The contents of its files, in their order.
fn contents(directory: &Path) -> Vec<String> {
    let found = found(directory, "log");
    found.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_oldest_makes_room_and_so_do_those_of_an_earlier_process() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("spliceway-mine.log"), "not a capture").unwrap();
    fs::write(directory.path().join("other.log"), "not a capture").unwrap();
    for (process, last) in [(0, "4"), (1, "9")] {
        let mut ring = Ring::new(files(directory.path(), 3), "log");
        for number in 0..5 {
            let number = process * 5 + number;
            ring.turn(at(number)).unwrap();
            ring.append(number.to_string().as_bytes()).unwrap();
        }
        let contents = contents(directory.path());
        assert_eq!(contents.len(), 3);
        assert_eq!(contents.last().unwrap(), last);
    }
    assert!(directory.path().join("other.log").exists() && directory.path().join("spliceway-mine.log").exists());
}

#[test]
fn a_file_is_for_its_owner_and_has_a_name_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let [mut one, mut other] = [(); 2].map(|()| Ring::new(files(directory.path(), 3), "log"));
    one.turn(at(0)).unwrap();
    one.append(b"one").unwrap();
    // Within the same second, with the same number.
    other.turn(at(0)).unwrap();
    other.append(b"other").unwrap();
    assert_eq!(contents(directory.path()), ["one", "other"]);
    for path in found(directory.path(), "log") {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn there_is_room_for_as_much_as_a_file_may_have() {
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(files(directory.path(), 1), "log");
    assert!(!ring.has_room(0), "there is no file");
    ring.turn(at(0)).unwrap();
    ring.append(&[b'x'; 90]).unwrap();
    assert!(ring.has_room(10) && !ring.has_room(11));
}

//! `capture` of a `treatment`.

use std::time::Duration;

use super::super::{CaptureConfig, CaptureFiles, CaptureFormat, CaptureLegs, CaptureOnly, defaults, part};

fn read(keys: &str) -> Result<CaptureConfig, String> {
    let typed = format!("{{ capture = {{ {keys} }} }}");
    let read = part::typed_treatment(&typed).map_err(|problems| problems.to_string())?;
    let [capture] = <[CaptureConfig; 1]>::try_from(read.captures).expect("one of them");
    Ok(capture)
}

#[test]
fn a_directory_is_enough() {
    let expected = CaptureConfig {
        files: CaptureFiles {
            directory: "/captures".into(),
            format: CaptureFormat::Pcapng,
            size: 64 << 20,
            count: 8,
        },
        legs: CaptureLegs::Both,
        snap: 64 << 10,
        longest: None,
        bytes: None,
        share: 100,
        only: None,
    };
    assert_eq!(read("directory = '/captures'"), Ok(expected));
}

#[test]
fn all_that_may_be_said() {
    let keys =
        "directory = '/captures', format = 'hex', legs = 'filtered', snap = '0B', file-size = '256KiB', files = 1,
        longest = '10m', bytes = '1GiB', share = '1%'"
            .replace('\n', " ");
    let expected = CaptureConfig {
        files: CaptureFiles {
            directory: "/captures".into(),
            format: CaptureFormat::Hex,
            size: 256 << 10,
            count: 1,
        },
        legs: CaptureLegs::Filtered,
        snap: 0,
        longest: Some(Duration::from_secs(600)),
        bytes: Some(1 << 30),
        share: 1,
        only: None,
    };
    assert_eq!(read(&keys), Ok(expected));
}

#[test]
fn what_is_kept_in_memory_is_bounded() {
    let abnormal = |more: &str| read(&format!("directory = '/captures', only = 'abnormal'{more}"));
    let kept = abnormal("").map(|capture| (capture.only, capture.bytes));
    assert_eq!(kept, Ok((Some(CaptureOnly::Abnormal), Some(defaults::CAPTURE_MEMORY))));
    assert_eq!(
        abnormal(", bytes = '16MiB'").map(|capture| capture.bytes),
        Ok(Some(16 << 20))
    );
    let refused = abnormal(", bytes = '17MiB'").unwrap_err();
    assert!(refused.contains("expected 1B to 16MiB"), "{refused}");
}

#[test]
fn what_cannot_be_meant_is_said_where_it_stands() {
    for (keys, expected) in [
        ("directory = 'captures'", "`captures` is no absolute path"),
        ("format = 'pcap'", "known values: `pcapng`, `text`, `hex`"),
        ("directory = '/a', snap = '65KiB'", "expected 0B to 64KiB"),
        ("directory = '/a', file-size = '1KiB'", "expected 256KiB to 64GiB"),
        ("directory = '/a', files = 0", "expected 1 to 10000"),
        ("directory = '/a', share = '101%'", "expected 0% to 100%"),
        ("directory = '/a', only = 'normal'", "known values: `abnormal`"),
        ("directry = '/a'", "did you mean `directory`?"),
    ] {
        let refused = read(keys).unwrap_err();
        assert!(refused.contains(expected), "{keys}: {refused}");
    }
}

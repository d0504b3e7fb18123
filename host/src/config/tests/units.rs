use std::time::Duration;

use super::super::units::{Period, Size, Timeout};

#[test]
fn lengths_of_time_have_units() {
    for (text, milliseconds, shown) in [
        ("250ms", 250, "250ms"),
        ("5s", 5_000, "5s"),
        ("0.5s", 500, "500ms"),
        ("1h 30m", 5_400_000, "1h 30m"),
        ("1h30m", 5_400_000, "1h 30m"),
        ("90 minutes", 5_400_000, "1h 30m"),
        (" 2 secs ", 2_000, "2s"),
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
    ] {
        let period: Period = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(period.0, Duration::from_millis(milliseconds), "{text}");
        assert_eq!(period.to_string(), shown);
    }
    for (text, said) in [
        ("5", "write a unit, as in \"5s\""),
        ("", "the units are h, m, s, ms, us and ns, as in \"1h 30m\""),
        ("1d", "the units are h, m, s, ms, us and ns, as in \"1h 30m\""),
        ("-5s", "the units are h, m, s, ms, us and ns, as in \"1h 30m\""),
        ("5s ago", "the units are h, m, s, ms, us and ns, as in \"1h 30m\""),
        (
            "99999999999999999999h",
            "the units are h, m, s, ms, us and ns, as in \"1h 30m\"",
        ),
        ("soon", "the units are h, m, s, ms, us and ns, as in \"1h 30m\""),
    ] {
        assert_eq!(text.parse::<Period>().unwrap_err().to_string(), said, "{text}");
    }
}

#[test]
fn a_timeout_of_nothing_is_none() {
    assert!(Timeout::from(Period(Duration::ZERO)).0.is_none());
    assert!(Timeout::from(Period(Duration::from_nanos(1))).0.is_some());
}

#[test]
fn sizes_are_powers_of_1024() {
    for (text, bytes, shown) in [
        ("64KiB", 64 << 10, "64KiB"),
        ("16 MiB", 16 << 20, "16MiB"),
        ("1GiB", 1 << 30, "1GiB"),
        ("1536KiB", 1536 << 10, "1536KiB"),
        ("512B", 512, "512B"),
        ("65536", 65_536, "64KiB"),
        ("0", 0, "0B"),
    ] {
        let size: Size = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(size.0, bytes, "{text}");
        assert_eq!(size.to_string(), shown);
    }
    for (text, said) in [
        ("16MB", "units are powers of 1024 here: write \"16MiB\""),
        ("64k", "units are powers of 1024 here: write \"64KiB\""),
        ("1gib", "units are powers of 1024 here: write \"1GiB\""),
        ("1.5MiB", "the units are B, KiB, MiB and GiB"),
        ("MiB", "the units are B, KiB, MiB and GiB"),
        ("-1", "the units are B, KiB, MiB and GiB"),
        ("", "the units are B, KiB, MiB and GiB"),
        ("99999999999999GiB", "this is more than any machine has"),
    ] {
        assert_eq!(text.parse::<Size>().unwrap_err().to_string(), said, "{text}");
    }
}

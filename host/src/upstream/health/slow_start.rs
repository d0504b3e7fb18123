//! How much of its weight a server has that is back after a failure.

use std::time::Duration;

/// In hundredths, 1 to 100: more evenly with time, so that caches fill and nobody who waits for a server overruns it. For
/// servers that were seen failing: one that was not has all of its weight at once, or a start of the proxy would be slow.
pub fn share(since: Duration, slow_start: Duration) -> u32 {
    if since >= slow_start {
        return 100;
    }
    // `slow_start` is longer than `since`, so it is not zero.
    let hundredths = since.as_nanos() * 100 / slow_start.as_nanos();
    // With nothing at all it would never be seen to work.
    u32::try_from(hundredths).unwrap_or(100).clamp(1, 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_grows_evenly_from_one_to_a_hundred() {
        for (since, slow_start, expected) in [
            (0, 0, 100),
            (1, 0, 100),
            (0, 20_000, 1),
            (1, 20_000, 1),
            (5_000, 20_000, 25),
            (19_999, 20_000, 99),
            (20_000, 20_000, 100),
            (u64::MAX, 20_000, 100),
            (0, 1, 1),
        ] {
            let milliseconds = Duration::from_millis;
            assert_eq!(
                share(milliseconds(since), milliseconds(slow_start)),
                expected,
                "{since} ms of {slow_start}"
            );
        }
        assert_eq!(share(Duration::from_nanos(1), Duration::from_nanos(2)), 50);
    }

    proptest! {
        #[test]
        fn it_never_shrinks_and_stays_in_its_range(since: u64, later: u64, slow_start: u64) {
            let [since, later, slow_start] = [since, later, slow_start].map(Duration::from_nanos);
            let (now, then) = (share(since, slow_start), share(since + later, slow_start));
            prop_assert!((1..=100).contains(&now));
            prop_assert!(now <= then);
        }
    }
}

//! Every range that a number must keep, with the reason for its ends.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::units::{Period, Size};

/// Few machines have as many processors: more is a slip of the finger.
pub(super) const WORKERS: RangeInclusive<i64> = 1..=1024;

/// At 0.2 KiB a session, more would not fit the memory that an instance may have.
pub(super) const SESSIONS_PER_INSTANCE: RangeInclusive<i64> = 1..=65_536;

/// From one page of WebAssembly to what the pool of instances keeps for each.
pub(super) const MEMORY: RangeInclusive<Size> = Size(64 << 10)..=Size(16 << 20);

/// From one tick of the clock that interrupts filters to a standstill that every client of the worker notices.
pub(super) const CALL: RangeInclusive<Period> = milliseconds(1)..=milliseconds(1_000);

/// Longer than a minute, a filter's start would look like one that hangs.
pub(super) const INIT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(60_000);

/// From the resolution of the runtime's timer to a year: longer is for ever, which is `"0"`, and would overflow clocks.
pub(super) const TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(365 * 24 * 3_600_000);

const fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}

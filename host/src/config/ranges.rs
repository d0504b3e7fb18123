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

/// None is said by leaving the key out, so that nobody gets no service by a 0; and what is counted fits 32 bits.
pub(super) const LIMIT: RangeInclusive<i64> = 1..=4_294_967_295;

/// With 0 bits all the world would be one client; an address has 128.
pub(super) const IPV6_PREFIX: RangeInclusive<i64> = 1..=128;

/// From the resolution of the runtime's timer to more patience than any client has: longer is `delay`.
pub(super) const QUEUE: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// As `TIMEOUT`, and 0: no time at all.
pub(super) const SPREAD: RangeInclusive<Period> = milliseconds(0)..=*TIMEOUT.end();

/// A line each second for each of many thousand connections is as much as a log should bear; nobody waits longer than a
/// day for one.
pub(super) const LOG_EVERY: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(24 * 3_600_000);

/// What the kernel takes (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL).
pub(super) const KEEPALIVE: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(32_767_000);

/// What the kernel takes (MAX_TCP_KEEPCNT).
pub(super) const KEEPALIVE_COUNT: RangeInclusive<i64> = 1..=127;

/// In milliseconds, of which 0 is as the system says. tcp(7) promises an unsigned int, but the kernel refuses what is
/// negative as an int: the whole days below 2 147 483 647 ms.
pub(super) const USER_TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(24 * 24 * 3_600_000);

const fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}

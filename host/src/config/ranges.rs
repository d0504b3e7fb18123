//! Every range that a number must keep, with the reason for its ends.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::percentage::Percentage;
use super::rate::Rate;
use super::units::{Period, Size};

/// Few machines have as many processors: more is a slip of the finger.
pub(super) const WORKERS: RangeInclusive<i64> = 1..=1024;

/// At 0.2 KiB a session, more would not fit the memory that an instance may have.
pub(super) const SESSIONS_PER_INSTANCE: RangeInclusive<i64> = 1..=65_536;

/// From one page of WebAssembly to what the pool of instances keeps for each: five times what Python begins with.
pub(super) const MEMORY: RangeInclusive<Size> = Size(64 << 10)..=Size(64 << 20);

/// From one tick of the clock that interrupts filters to a standstill that every client of the worker notices.
pub(super) const CALL: RangeInclusive<Period> = milliseconds(1)..=milliseconds(1_000);

/// Longer than a minute, a filter's start would look like one that hangs.
pub(super) const INIT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(60_000);

/// From a message to what a worker can pass on without its other clients noticing.
pub(super) const OUTPUT: RangeInclusive<Size> = Size(1 << 10)..=Size(4 << 20);

/// None to what a disk takes.
pub(super) const LOG_LINES: RangeInclusive<i64> = 0..=1_000_000;

/// None to what a page of metrics bears of one filter.
pub(super) const METRICS: RangeInclusive<i64> = 0..=1_024;

/// None to ten million: at 100 bytes each that is a gibibyte.
pub(super) const STORE_ENTRIES: RangeInclusive<i64> = 0..=10_000_000;
pub(super) const STORE_BYTES: RangeInclusive<Size> = Size(0)..=Size(1 << 30);

/// Less than one is none; a hundred is everybody.
pub(super) const CANARY_SHARE: RangeInclusive<Percentage> = Percentage(1)..=Percentage(100);

/// From no difference to all of them.
pub(super) const CANARY_MARGIN: RangeInclusive<Percentage> = Percentage(0)..=Percentage(100);

/// From none to what no filter sees in a day.
pub(super) const CANARY_CONNECTIONS: RangeInclusive<i64> = 0..=1_000_000_000;

/// From at once to a week.
pub(super) const CANARY_TIME: RangeInclusive<Period> = milliseconds(0)..=milliseconds(7 * 24 * 3_600_000);

/// From the resolution of the runtime's timer to an hour, which is the longest that it grows to.
pub(super) const RETRY_AFTER: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// A session is the least that an instance can serve.
pub(super) const RETIRE_SESSIONS: RangeInclusive<i64> = 1..=1_000_000_000_000;

/// From the resolution of the runtime's timer to a year: longer is for ever, which is `"0"`, and would overflow clocks.
pub(super) const TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(365 * 24 * 3_600_000);

/// From what a process takes to start at all to what nobody waits for.
pub(super) const UPGRADE_TIMEOUT: RangeInclusive<Period> = milliseconds(100)..=milliseconds(3_600_000);

/// None is said by leaving the key out, so that nobody gets no service by a 0; and what is counted fits 32 bits.
pub(super) const LIMIT: RangeInclusive<i64> = 1..=4_294_967_295;

/// Slower than a modem, a connection looks like one that hangs; no machine moves a tebibyte a second.
pub(super) const RATE: RangeInclusive<Rate> = Rate(1 << 10)..=Rate(1 << 40);

/// From a message to more than a kernel buffers.
pub(super) const BURST: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 30);

/// From a message to what nobody moves in a year.
pub(super) const QUOTA_BYTES: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 50);

/// Shorter, it is a rate; and no longer than a year.
pub(super) const QUOTA_TIME: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(365 * 24 * 3_600_000);

/// From nothing at all to what no machine moves.
pub(super) const FAULT_RATE: RangeInclusive<Rate> = Rate(0)..=*RATE.end();

/// From no time to more than anybody waits to see what becomes of it.
pub(super) const FAULT_TIME: RangeInclusive<Period> = milliseconds(0)..=milliseconds(3_600_000);

/// From none to what nobody moves in a year.
pub(super) const FAULT_BYTES: RangeInclusive<Size> = Size(0)..=Size(1 << 50);

/// From a byte to more than is written at once anyway.
pub(super) const SLICE: RangeInclusive<Size> = Size(1)..=Size(1 << 20);

/// From every byte to one in a gigabyte.
pub(super) const CORRUPT: RangeInclusive<i64> = 1..=1_000_000_000;

/// TOML has no larger ones.
pub(super) const SEED: RangeInclusive<i64> = 0..=i64::MAX;

/// From none to all of them.
pub(super) const SHARE_OF_CONNECTIONS: RangeInclusive<Percentage> = Percentage(0)..=Percentage(100);

/// With 0 bits all the world would be one client; an address has 128.
pub(super) const IPV6_PREFIX: RangeInclusive<i64> = 1..=128;

/// From the resolution of the runtime's timer to more patience than any client has: longer is `delay`.
pub(super) const QUEUE: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// From the resolution of the runtime's timer to more patience than a header is worth: one that may never come is not
/// `required`.
pub(super) const PROXY_IN_TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// From more than any header without TLVs has (107 of version 1, 232 of version 2 with unix sockets) to a worker's buffer.
pub(super) const PROXY_IN_LONGEST: RangeInclusive<Size> = Size(256)..=Size(64 << 10);

/// As `TIMEOUT`, and 0: no time at all.
pub(super) const SPREAD: RangeInclusive<Period> = milliseconds(0)..=*TIMEOUT.end();

/// A line each second for each of many thousand connections is as much as a log should bear; nobody waits longer than a
/// day for one.
pub(super) const LOG_EVERY: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(24 * 3_600_000);

/// A registry is not asked more often than a person could push, and seldom enough that it does not take the asking for an
/// attack; whoever asks less than once a week means `always`.
pub(super) const PULL_EVERY: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(7 * 24 * 3_600_000);

/// What the kernel takes (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL).
pub(super) const KEEPALIVE: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(32_767_000);

/// What the kernel takes (MAX_TCP_KEEPCNT).
pub(super) const KEEPALIVE_COUNT: RangeInclusive<i64> = 1..=127;

/// In milliseconds, of which 0 is as the system says. tcp(7) promises an unsigned int, but the kernel refuses what is
/// negative as an int: the whole days below 2 147 483 647 ms.
pub(super) const USER_TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(24 * 24 * 3_600_000);

/// From a page to what the kernel takes: it doubles the number and keeps it in an int (net/core/sock.c).
pub(super) const SOCKET_BUFFER: RangeInclusive<Size> = Size(4 << 10)..=Size(1 << 30);

/// Less than a packet would send each by itself.
pub(super) const NOTSENT_LOWAT: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 30);

/// Of 32 bits, 0 is none.
pub(super) const MARK: RangeInclusive<i64> = 1..=4_294_967_295;

/// What the kernel takes (TCP_MIN_MSS, MAX_TCP_WINDOW).
pub(super) const MSS: RangeInclusive<i64> = 88..=32_767;

/// The kernel counts retransmissions of the SYN-ACK, and more than six of them are for nobody.
pub(super) const DEFER_ACCEPT: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(60_000);

/// As an accept queue, which it is a part of.
pub(super) const FAST_OPEN: RangeInclusive<i64> = 1..=65_535;

/// HAProxy's: a server that should get less than a 256th of another's is better left out.
pub const WEIGHT: RangeInclusive<i64> = 1..=256;

/// Who has found sixteen servers that do not answer has a network that does not.
pub(super) const RETRIES: RangeInclusive<i64> = 0..=16;

/// From none to ten for each connection, which is no bound any more.
pub(super) const RETRY_BUDGET: RangeInclusive<Percentage> = Percentage(0)..=Percentage(1_000);

/// What waits holds a descriptor; few machines may have more than a million.
pub(super) const QUEUE_LENGTH: RangeInclusive<i64> = 0..=1_000_000;

/// They are the server's connections too, although nobody uses them yet: more would be an attack.
pub(super) const PRECONNECT: RangeInclusive<i64> = 0..=1_024;

/// From where checks are mostly a load to where nobody would wait for a server's end to be noticed.
pub(super) const HEALTH_INTERVAL: RangeInclusive<Period> = milliseconds(10)..=milliseconds(3_600_000);

/// As `HEALTH_INTERVAL`, and shorter: from the resolution of the runtime's timer on.
pub(super) const HEALTH_TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=*HEALTH_INTERVAL.end();

/// Less than one is no check; more than a hundred and a server would hardly ever change.
pub(super) const HEALTH_COUNT: RangeInclusive<i64> = 1..=100;

/// A question and a mark in the answer are short; what is longer belongs into a filter.
pub(super) const HEALTH_BYTES: RangeInclusive<usize> = 1..=1_024;

/// Nobody can be reached on port 0.
pub(super) const PORT: RangeInclusive<i64> = 1..=65_535;

/// Less than one would be before anything happened; a thousand in a row are no accident.
pub(super) const FAILURES: RangeInclusive<i64> = 1..=1_000;

/// From the resolution of the runtime's timer to a day: what is to be left alone for longer is to be left out.
pub(super) const EJECTION: RangeInclusive<Period> = milliseconds(1)..=milliseconds(24 * 3_600_000);

/// From no time to an hour, in which every cache is warm.
pub(super) const SLOW_START: RangeInclusive<Period> = milliseconds(0)..=milliseconds(3_600_000);

/// Of all servers.
pub(super) const TRACES: RangeInclusive<Percentage> = Percentage(0)..=Percentage(100);
pub(super) const PANIC: RangeInclusive<Percentage> = Percentage(0)..=Percentage(100);

/// DNS counts in seconds, and a name that is asked for more often is a load; to the week at which resolvers end (RFC 8767).
pub(super) const TIME_TO_LIVE: RangeInclusive<Period> = milliseconds(1_000)..=milliseconds(7 * 24 * 3_600_000);

/// From a name server in the same building, with a try to spare, to a minute, which is how long one may be gone.
pub(super) const LOOKUP: RangeInclusive<Period> = milliseconds(100)..=milliseconds(60_000);

/// resolv.conf has three; they are asked one after the other, and nobody comes to the ninth.
pub(super) const NAME_SERVERS: RangeInclusive<usize> = 1..=8;

/// As `TIMEOUT`, but shorter: each connection whose client waits for the server waits for this first.
pub(super) const DETECTION: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// From more than any hello of the usual kind has to four of the records that TLS allows (RFC 8446, section 5.1).
pub(super) const DETECTION_LONGEST: RangeInclusive<Size> = Size(1 << 10)..=Size(64 << 10);

/// To a record for each byte that may be looked at.
pub(super) const DETECTION_RECORDS: RangeInclusive<i64> = 1..=65_536;

/// From the resolution of the runtime's timer to more patience than a handshake is worth.
pub(super) const TLS_TIMEOUT: RangeInclusive<Period> = milliseconds(1)..=milliseconds(3_600_000);

/// Each holds a descriptor; few machines may have more than a million.
pub(super) const TLS_HANDSHAKES: RangeInclusive<i64> = 1..=1_000_000;

/// Bytes of one protocol's name: its length is one byte, and not 0 (RFC 7301, section 3.1).
pub(super) const ALPN_NAME: RangeInclusive<usize> = 1..=255;

/// Down to one in a thousand, and to none for an upstream that is being emptied.
pub(super) const SHARE: RangeInclusive<i64> = 0..=1_000;

/// None is a capture of sizes and times; more than a worker reads at once there is not.
pub(super) const CAPTURE_SNAP: RangeInclusive<Size> = Size(0)..=Size(64 << 10);

/// From more than one record with all that is around it to what no program opens any more.
pub(super) const CAPTURE_FILE_SIZE: RangeInclusive<Size> = Size(256 << 10)..=Size(64 << 30);

/// More are no ring any more.
pub(super) const CAPTURE_FILES: RangeInclusive<i64> = 1..=10_000;

/// Of one connection: on a disk, and in memory.
pub(super) const CAPTURE_BYTES: RangeInclusive<Size> = Size(1)..=Size(1 << 50);
pub(super) const CAPTURE_MEMORY: RangeInclusive<Size> = Size(1)..=Size(16 << 20);

/// Less than one is none; a hundred is everybody.
pub(super) const MIRROR_SHARE: RangeInclusive<Percentage> = Percentage(1)..=Percentage(100);

/// From what one splice moves, which is the least that a mirror is behind at times, to a gibibyte for each connection.
pub(super) const MIRROR_LAG: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 30);

/// Mirrors of one connection. Each may have a connection for both directions.
pub(super) const MIRRORS: usize = 4;

const fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}

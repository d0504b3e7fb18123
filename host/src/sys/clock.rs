//! Clocks that are cheap enough to read at every wake-up.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_MONOTONIC_COARSE` (clock_gettime(2)): as old as the last timer tick, so up to 10 ms (CONFIG_HZ=100)
/// behind, and read in a few nanoseconds. Right for timeouts, wrong for measuring. In nanoseconds since boot: half the size
/// of a `Duration`, and every connection keeps some; never 0, so that none at all is as small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coarse(NonZeroU64);

impl Coarse {
    /// Later than every other moment.
    pub const NEVER: Self = Self(NonZeroU64::MAX);

    pub fn now() -> Self {
        let since_boot = nanoseconds(since_zero(ClockId::MonotonicCoarse));
        Self(NonZeroU64::new(since_boot).unwrap_or(NonZeroU64::MIN))
    }

    /// The time from `earlier` to `self`; zero if that is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Coarse {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(time)))
    }
}

/// 584 years at the most, which is never.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The CPU time that this thread has used. A real system call: not for the data path.
pub fn thread_cpu_time() -> Duration {
    since_zero(ClockId::ThreadCPUTime)
}

/// The CPU time that all threads of the process have used.
pub fn process_cpu_time() -> Duration {
    since_zero(ClockId::ProcessCPUTime)
}

fn since_zero(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // None of these clocks is ever negative; a conversion that fails could only mean a kernel bug, and zero is harmless then.
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

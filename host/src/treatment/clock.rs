//! Time as shaping counts it. The coarse clock's ticks are longer than what a gigabit link takes for a whole pipe.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nanoseconds, counted from long before the process first asked.
pub type Nanos = u64;

/// Time before the process first asked: 36 years, so that whoever is owed something for having been silent may have been so
/// before there was a process. More than 500 years are left behind it.
const BEFORE: Nanos = 1 << 60;

static BEGAN: OnceLock<Instant> = OnceLock::new();

pub fn now() -> Nanos {
    let began = BEGAN.get_or_init(Instant::now);
    nanos(began.elapsed()).saturating_add(BEFORE)
}

/// When that is for the runtime.
pub fn instant(at: Nanos) -> tokio::time::Instant {
    let began = BEGAN.get_or_init(Instant::now);
    tokio::time::Instant::from_std(*began + Duration::from_nanos(at.saturating_sub(BEFORE)))
}

/// More than 584 years are that.
pub fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(Nanos::MAX)
}

//! Time as shaping counts it: nanoseconds since the process first asked. The coarse clock's ticks are longer than what a gigabit
//! link takes for a whole pipe.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub type Nanos = u64;

static BEGAN: OnceLock<Instant> = OnceLock::new();

pub fn now() -> Nanos {
    let began = BEGAN.get_or_init(Instant::now);
    nanos(began.elapsed())
}

/// When that is for the runtime.
pub fn instant(at: Nanos) -> tokio::time::Instant {
    let began = BEGAN.get_or_init(Instant::now);
    tokio::time::Instant::from_std(*began + Duration::from_nanos(at))
}

/// More than 584 years are that.
pub fn nanos(time: Duration) -> Nanos {
    time.as_nanos().try_into().unwrap_or(Nanos::MAX)
}

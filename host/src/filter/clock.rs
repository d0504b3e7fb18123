//! What time it is for a filter, and how its dice fall: as on the machine, or as whoever tries it says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub enum Clock {
    /// The machine's.
    Running,
    /// It stands still until it is told to go on; and the dice fall alike each time.
    Told {
        begun: Instant,
        /// Nanoseconds since.
        elapsed: AtomicU64,
        dice: AtomicU64,
    },
}

/// When time begins that is told, in seconds since 1970: the same as in the SDK's tests, so that a transcript means one thing.
const BEGINNING: Duration = Duration::from_secs(1_750_000_000);

impl Clock {
    pub fn told() -> Self {
        Self::Told {
            begun: Instant::now(),
            elapsed: AtomicU64::new(0),
            dice: AtomicU64::new(0),
        }
    }

    /// Where it is told.
    pub fn advance(&self, time: Duration) {
        if let Self::Told { elapsed, .. } = self {
            let more = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let _ = elapsed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_add(more))
            });
        }
    }

    pub fn now(&self) -> Instant {
        match self {
            Self::Running => Instant::now(),
            Self::Told { begun, elapsed, .. } => {
                let elapsed = Duration::from_nanos(elapsed.load(Ordering::Relaxed));
                begun.checked_add(elapsed).unwrap_or(*begun)
            }
        }
    }

    /// Nanoseconds since 1970.
    pub fn realtime(&self) -> u64 {
        match self {
            Self::Running => nanoseconds(ClockId::Realtime),
            Self::Told { elapsed, .. } => {
                let begun = u64::try_from(BEGINNING.as_nanos()).unwrap_or(0);
                begun.saturating_add(elapsed.load(Ordering::Relaxed))
            }
        }
    }

    /// Nanoseconds, never going back.
    pub fn monotonic(&self) -> u64 {
        match self {
            Self::Running => nanoseconds(ClockId::Monotonic),
            Self::Told { elapsed, .. } => elapsed.load(Ordering::Relaxed),
        }
    }

    /// Where it is told: SplitMix64, from the same seed as in the SDK's tests.
    pub fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        match self {
            Self::Running => fastrand::u64(..),
            Self::Told { dice, .. } => {
                let mut mixed = dice.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
        }
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Before 1970 there is nothing to tell; after 2554 a u64 is too short.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_dice_fall_alike_each_time() {
        let rolls = || {
            let clock = Clock::told();
            [clock.random(), clock.random()]
        };
        let [first, second] = rolls();
        assert_eq!([first, second], rolls());
        assert_ne!(first, second);
        // The first number of SplitMix64 from the seed 0, as its author's program prints it.
        assert_eq!(first, 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn told_time_passes_when_it_is_told_and_not_before() {
        let clock = Clock::told();
        let (now, realtime) = (clock.now(), clock.realtime());
        assert_eq!((clock.now(), clock.monotonic()), (now, 0));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), now + Duration::from_secs(2));
        assert_eq!(clock.realtime() - realtime, 2_000_000_000);
        clock.advance(Duration::MAX);
        assert_eq!(clock.monotonic(), u64::MAX, "it stays at the end");
    }
}

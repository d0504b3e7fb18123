//! `environment`: the clocks and the dice that a guest without WASI lacks.

use rustix::time::{ClockId, clock_gettime};

use crate::filter::abi::base::spliceway::filter::environment::Host;
use crate::filter::instance::State;

impl Host for State {
    fn now(&mut self) -> u64 {
        nanoseconds(ClockId::Realtime)
    }

    fn monotonic(&mut self) -> u64 {
        nanoseconds(ClockId::Monotonic)
    }

    fn random(&mut self) -> u64 {
        fastrand::u64(..)
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

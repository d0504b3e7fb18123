//! `environment`: the clocks and the dice that a guest without WASI lacks.

use crate::filter::abi::base::spliceway::filter::environment::Host;
use crate::filter::instance::State;

impl Host for State {
    fn now(&mut self) -> u64 {
        self.generation.kept().clock.realtime()
    }

    fn monotonic(&mut self) -> u64 {
        self.generation.kept().clock.monotonic()
    }

    fn random(&mut self) -> u64 {
        self.generation.kept().clock.random()
    }
}

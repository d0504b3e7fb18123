//! `store`: what the sessions of one filter share.

use std::time::Duration;

use crate::filter::abi::base::spliceway::filter::store::{Error, Host};
use crate::filter::instance::State;
use crate::filter::store::Refused;

impl Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        let kept = self.generation.kept();
        kept.table.get(&key, kept.clock.now())
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> Result<(), Error> {
        let kept = self.generation.kept();
        Ok(kept.table.set(key, value, ttl(ttl_ms), kept.clock.now())?)
    }

    fn delete(&mut self, key: String) {
        self.generation.kept().table.delete(&key);
    }

    fn add(&mut self, key: String, by: i64, ttl_ms: u64) -> Result<i64, Error> {
        let kept = self.generation.kept();
        Ok(kept.table.add(key, by, ttl(ttl_ms), kept.clock.now())?)
    }

    fn take(&mut self, key: String, tokens: u32, per_second: f64, burst: u32) -> bool {
        let kept = self.generation.kept();
        kept.table.take(key, tokens, per_second, burst, kept.clock.now())
    }
}

fn ttl(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::TooLarge => Self::TooLarge,
        }
    }
}

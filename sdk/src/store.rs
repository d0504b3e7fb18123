//! Shared by all connections of one filter, kept when the filter is replaced, lost when the proxy ends. It is bounded:
//! the proxy evicts what is oldest, and says [`Error::Full`] where it cannot.

use std::fmt;
use std::time::Duration;

use crate::sys::host;

/// Why nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no room, and nothing could be evicted.
    Full,
    /// The key or the value is longer than the proxy allows.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::TooLarge => "the key or the value is too large for the store",
        })
    }
}

impl std::error::Error for Error {}

/// How fast a key may go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: f64,
    /// Tokens that a key has at first, and at most.
    pub burst: u32,
}

/// What was stored under the key.
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::store_get(key)
}

/// Stores, for so long. None keeps it until it is evicted.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
    host::store_set(key, value, milliseconds(ttl))
}

/// Forgets the key.
pub fn delete(key: &str) {
    host::store_delete(key);
}

/// Counts, from 0, and gives the new value.
pub fn add(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    host::store_add(key, by, milliseconds(ttl))
}

/// What [`add`] has counted. Zero where there is no such counter.
pub fn count(key: &str) -> i64 {
    get(key)
        .and_then(|value| value.try_into().ok())
        .map_or(0, i64::from_le_bytes)
}

/// True where the key may go on: a token bucket, full at first.
pub fn take(key: &str, tokens: u32, rate: Rate) -> bool {
    host::store_take(key, tokens, rate.per_second, rate.burst)
}

/// Zero would mean for ever, so that the shortest time is 1 ms.
fn milliseconds(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1))
}

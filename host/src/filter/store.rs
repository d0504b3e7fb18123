//! The table that the sessions of one filter share: bounded, with a time to live, and without a lock for all of it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sixteen parts, so that workers seldom meet at one lock. Which part a key is in is decided by a keyed hash, so that a
/// client who chooses keys cannot choose the part.
const SHARDS: usize = 16;

/// Entries of one filter, over all parts.
const MOST_ENTRIES: usize = 65_536;

/// Bytes of keys and values of one filter, over all parts.
const MOST_BYTES: usize = 16 << 20;

pub const LONGEST_KEY: usize = 256;
pub const LONGEST_VALUE: usize = 64 << 10;

/// How many entries are looked at to make room for one. The oldest of them goes, or every one that has expired.
const LOOKED_AT: usize = 8;

pub struct Table {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    TooLarge,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<String, Entry>,
    bytes: usize,
}

struct Entry {
    content: Content,
    written: Instant,
    expires: Option<Instant>,
}

enum Content {
    Bytes(Vec<u8>),
    Counter(i64),
    Bucket { tokens: f64, filled: Instant },
}

impl Default for Table {
    fn default() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Table {
    pub fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let mut shard = self.shard(key);
        match &shard.live(key, now)?.content {
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Counter(count) => Some(count.to_le_bytes().to_vec()),
            Content::Bucket { .. } => None,
        }
    }

    /// # Errors
    /// The key or the value is too long, or there is no room.
    pub fn set(&self, key: String, value: Vec<u8>, ttl: Option<Duration>, now: Instant) -> Result<(), Refused> {
        if value.len() > LONGEST_VALUE {
            return Err(Refused::TooLarge);
        }
        self.put(key, Content::Bytes(value), ttl, now)
    }

    pub fn delete(&self, key: &str) {
        self.shard(key).remove(key);
    }

    /// Adds to a counter, which starts from 0, and which stays at the ends of its range. A value that is no counter is replaced by one.
    ///
    /// # Errors
    /// The key is too long, or there is no room.
    pub fn add(&self, key: String, by: i64, ttl: Option<Duration>, now: Instant) -> Result<i64, Refused> {
        if let Some(entry) = self.shard(&key).live(&key, now)
            && let Content::Counter(count) = &mut entry.content
        {
            *count = count.saturating_add(by);
            return Ok(*count);
        }
        self.put(key, Content::Counter(by), ttl, now)?;
        Ok(by)
    }

    /// Takes tokens out of the bucket of `key`, which gains `per_second` up to `burst`, and starts full. False, and nothing
    /// taken, where there are too few; false too where no bucket can be kept, so that a full table limits rather than opens.
    pub fn take(&self, key: String, wanted: u32, per_second: f64, burst: u32, now: Instant) -> bool {
        let (wanted, burst) = (f64::from(wanted), f64::from(burst));
        if !per_second.is_finite() || per_second < 0.0 || wanted > burst {
            return false;
        }
        if let Some(entry) = self.shard(&key).live(&key, now)
            && let Content::Bucket { tokens, filled } = &mut entry.content
        {
            let gained = now.saturating_duration_since(*filled).as_secs_f64() * per_second;
            *tokens = (*tokens + gained).min(burst);
            *filled = now;
            entry.written = now;
            let enough = *tokens >= wanted;
            if enough {
                *tokens -= wanted;
            }
            return enough;
        }
        let bucket = Content::Bucket {
            tokens: burst - wanted,
            filled: now,
        };
        // A bucket that is full again is the same as none.
        let refill = Duration::try_from_secs_f64(burst / per_second.max(1e-9)).ok();
        self.put(key, bucket, refill, now).is_ok()
    }

    fn put(&self, key: String, content: Content, ttl: Option<Duration>, now: Instant) -> Result<(), Refused> {
        if key.len() > LONGEST_KEY {
            return Err(Refused::TooLarge);
        }
        let mut shard = self.shard(&key);
        shard.remove(&key);
        let entry = Entry {
            content,
            written: now,
            expires: ttl.and_then(|ttl| now.checked_add(ttl)),
        };
        let size = entry.size(&key);
        while shard.entries.len() >= MOST_ENTRIES / SHARDS || shard.bytes + size > MOST_BYTES / SHARDS {
            if !shard.evict(now) {
                return Err(Refused::Full);
            }
        }
        shard.bytes += size;
        shard.entries.insert(key, entry);
        Ok(())
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        let index = hash as usize % SHARDS;
        // Nothing in here is left half done by a panic, so a poisoned lock is as good as any.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn live(&mut self, key: &str, now: Instant) -> Option<&mut Entry> {
        if self.entries.get(key)?.has_expired(now) {
            self.remove(key);
            return None;
        }
        self.entries.get_mut(key)
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.bytes -= entry.size(&key);
        }
    }

    /// Makes room: looks at a few entries, which the hash has put in a random order.
    fn evict(&mut self, now: Instant) -> bool {
        let some = self.entries.iter().take(LOOKED_AT);
        let oldest = some.min_by_key(|(_, entry)| (!entry.has_expired(now), entry.written));
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return false;
        };
        self.remove(&key);
        true
    }
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn size(&self, key: &str) -> usize {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Counter(_) | Content::Bucket { .. } => 16,
        };
        key.len() + content + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_set_is_read_until_its_time_is_over() {
        let (table, now) = (Table::default(), Instant::now());
        table.set("key".into(), b"value".to_vec(), Some(SECOND), now).unwrap();
        assert_eq!(table.get("key", now), Some(b"value".to_vec()));
        assert_eq!(table.get("key", now + SECOND), None);
        table.set("key".into(), b"other".to_vec(), None, now).unwrap();
        table.delete("key");
        assert_eq!(table.get("key", now), None);
    }

    #[test]
    fn a_counter_counts_and_is_read_as_little_endian_bytes() {
        let (table, now) = (Table::default(), Instant::now());
        assert_eq!(table.add("hits".into(), 2, None, now), Ok(2));
        assert_eq!(table.add("hits".into(), -5, None, now), Ok(-3));
        assert_eq!(table.get("hits", now), Some((-3i64).to_le_bytes().to_vec()));
        assert_eq!(table.add("hits".into(), i64::MIN, None, now), Ok(i64::MIN));
    }

    #[test]
    fn a_bucket_starts_full_and_fills_with_time() {
        let (table, now) = (Table::default(), Instant::now());
        let take = |at| table.take("client".into(), 1, 2.0, 3, at);
        assert!(take(now) && take(now) && take(now));
        assert!(!take(now));
        assert!(take(now + SECOND / 2));
        assert!(!take(now + SECOND / 2));
        assert!(
            !table.take("other".into(), 4, 1.0, 3, now),
            "more than it can ever hold"
        );
        assert!(!table.take("odd".into(), 1, f64::NAN, 3, now));
    }

    #[test]
    fn the_table_is_bounded_in_entries_and_in_bytes() {
        let (table, now) = (Table::default(), Instant::now());
        for n in 0..2 * MOST_ENTRIES {
            table.set(n.to_string(), vec![0; 8], None, now).unwrap();
        }
        let entries: usize = table
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().entries.len())
            .sum();
        assert!(entries <= MOST_ENTRIES, "{entries}");
        for n in 0..1000 {
            table.set(n.to_string(), vec![0; LONGEST_VALUE], None, now).unwrap();
        }
        let bytes: usize = table.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum();
        assert!(bytes <= MOST_BYTES, "{bytes}");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let (table, now) = (Table::default(), Instant::now());
        let long = "k".repeat(LONGEST_KEY + 1);
        assert_eq!(table.set(long, Vec::new(), None, now), Err(Refused::TooLarge));
        let value = vec![0; LONGEST_VALUE + 1];
        assert_eq!(table.set("key".into(), value, None, now), Err(Refused::TooLarge));
    }
}

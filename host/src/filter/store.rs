//! The table that the sessions of one filter share: bounded, with a time to live, and without a lock for all of it.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

/// Sixteen parts, so that workers seldom meet at one lock. Which part a key is in is decided by a keyed hash, so that a
/// client who chooses keys cannot choose the part.
const MOST_SHARDS: usize = 16;

/// Each part has its share of both limits, and is full by itself. Of so many entries, chance gives no part much more than
/// its share: a table that is small has fewer parts.
const FEWEST_ENTRIES: usize = 1024;

pub const LONGEST_KEY: usize = 256;
pub const LONGEST_VALUE: usize = 64 << 10;

/// What an entry takes beside its key and its value: its place in the list and in the index, and the allocator's headers.
const OVERHEAD: usize = size_of::<(u64, String, Entry)>() + 2 * size_of::<usize>() + 32;

/// A part that is smaller could not hold the longest value.
const LARGEST_ENTRY: usize = LONGEST_KEY + LONGEST_VALUE + OVERHEAD;

/// How many entries are looked at to make room for one. The oldest of them goes, or one that has expired.
const LOOKED_AT: usize = 8;

pub struct Table {
    shards: Box<[Mutex<Shard>]>,
    /// Of each part.
    most: Room,
    hasher: RandomState,
    /// When time began.
    start: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    TooLarge,
}

#[derive(Debug, Clone, Copy)]
struct Room {
    entries: usize,
    bytes: usize,
}

#[derive(Default)]
struct Shard {
    /// In a list besides, so that some of them can be drawn by lot in no time.
    entries: IndexMap<String, Entry, RandomState>,
    bytes: usize,
}

struct Entry {
    content: Content,
    written: Moment,
    expires: Moment,
}

/// Nanoseconds since the table was made: a third of the size of an `Option<Instant>`, of which there are many.
type Moment = u64;

const NEVER: Moment = Moment::MAX;

enum Content {
    Bytes(Vec<u8>),
    Counter(i64),
    Bucket { tokens: f64, filled: Moment },
}

impl Table {
    /// With room for so many entries, and for so many bytes of them, their overhead included.
    pub fn new(entries: u64, bytes: u64) -> Self {
        let number = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let (entries, bytes) = (number(entries), number(bytes));
        let shards = (entries / FEWEST_ENTRIES)
            .min(bytes / LARGEST_ENTRY)
            .clamp(1, MOST_SHARDS);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most: Room {
                entries: entries / shards,
                bytes: bytes / shards,
            },
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }

    pub fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let mut shard = self.shard(key)?;
        match &shard.live(key, self.moment(now))?.content {
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Counter(count) => Some(count.to_le_bytes().to_vec()),
            Content::Bucket { .. } => None,
        }
    }

    /// # Errors
    /// The key or the value is too long, or there is no room: what was there before stays.
    pub fn set(&self, key: String, value: Vec<u8>, ttl: Option<Duration>, now: Instant) -> Result<(), Refused> {
        if value.len() > LONGEST_VALUE {
            return Err(Refused::TooLarge);
        }
        let mut shard = self.shard(&key).ok_or(Refused::TooLarge)?;
        let entry = Entry::new(Content::Bytes(value), ttl, self.moment(now));
        shard.put(key, entry, self.most)
    }

    pub fn delete(&self, key: &str) {
        if let Some(mut shard) = self.shard(key) {
            shard.remove(key);
        }
    }

    /// Adds to a counter, which starts from 0, and which stays at the ends of its range. A value that is no counter is
    /// replaced by one. The time to live is that of the first call: a counter counts for so long, and then from 0 again.
    ///
    /// # Errors
    /// The key is too long, or there is no room.
    pub fn add(&self, key: String, by: i64, ttl: Option<Duration>, now: Instant) -> Result<i64, Refused> {
        let now = self.moment(now);
        let mut shard = self.shard(&key).ok_or(Refused::TooLarge)?;
        if let Some(entry) = shard.live(&key, now)
            && let Content::Counter(count) = &mut entry.content
        {
            *count = count.saturating_add(by);
            entry.written = now;
            return Ok(*count);
        }
        shard.put(key, Entry::new(Content::Counter(by), ttl, now), self.most)?;
        Ok(by)
    }

    /// Takes tokens out of the bucket of `key`, which gains `per_second` up to `burst`, and starts full. False, and nothing
    /// taken, where there are too few; false too where no bucket can be kept, so that a full table limits rather than opens.
    pub fn take(&self, key: String, wanted: u32, per_second: f64, burst: u32, now: Instant) -> bool {
        let (wanted, burst) = (f64::from(wanted), f64::from(burst));
        if !per_second.is_finite() || per_second < 0.0 || wanted > burst {
            return false;
        }
        let now = self.moment(now);
        let Some(mut shard) = self.shard(&key) else {
            return false;
        };
        if let Some(entry) = shard.live(&key, now)
            && let Content::Bucket { tokens, filled } = &mut entry.content
        {
            let gained = seconds(now.saturating_sub(*filled)) * per_second;
            // Clocks of two workers may be apart by what lies between reading them and getting the lock.
            *filled = now.max(*filled);
            *tokens = (*tokens + gained).min(burst);
            let enough = *tokens >= wanted;
            if enough {
                *tokens -= wanted;
            }
            entry.expires = filled_up(*tokens, per_second, burst, now);
            entry.written = now;
            return enough;
        }
        let tokens = burst - wanted;
        let bucket = Entry {
            content: Content::Bucket { tokens, filled: now },
            written: now,
            expires: filled_up(tokens, per_second, burst, now),
        };
        shard.put(key, bucket, self.most).is_ok()
    }

    /// The part where the key is, if there can be such a key: the hash of a long one takes its time.
    fn shard(&self, key: &str) -> Option<MutexGuard<'_, Shard>> {
        if key.len() > LONGEST_KEY {
            return None;
        }
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        // Nothing in here is left half done by a panic, so a poisoned lock is as good as any.
        Some(self.shards[index].lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn moment(&self, now: Instant) -> Moment {
        nanoseconds(now.saturating_duration_since(self.start))
    }
}

/// When a bucket is as good as none: full. At least a nanosecond from now, so that even one that fills at once was there.
fn filled_up(tokens: f64, per_second: f64, burst: f64, now: Moment) -> Moment {
    let time = Duration::try_from_secs_f64((burst - tokens) / per_second);
    time.map_or(NEVER, |time| now.saturating_add(nanoseconds(time).max(1)))
}

fn nanoseconds(time: Duration) -> Moment {
    Moment::try_from(time.as_nanos()).unwrap_or(NEVER)
}

fn seconds(time: Moment) -> f64 {
    Duration::from_nanos(time).as_secs_f64()
}

impl Shard {
    fn live(&mut self, key: &str, now: Moment) -> Option<&mut Entry> {
        if self.entries.get(key)?.has_expired(now) {
            self.remove(key);
            return None;
        }
        self.entries.get_mut(key)
    }

    /// In the place of what is there under this key, once there is room.
    fn put(&mut self, key: String, entry: Entry, most: Room) -> Result<(), Refused> {
        let (size, now) = (entry.size(&key), entry.written);
        if size > most.bytes {
            return Err(Refused::TooLarge);
        }
        if most.entries == 0 {
            return Err(Refused::Full);
        }
        self.remove(&key);
        while self.entries.len() >= most.entries || self.bytes + size > most.bytes {
            if !self.evict(now) {
                return Err(Refused::Full);
            }
        }
        self.bytes += size;
        self.entries.insert(key, entry);
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, entry)) = self.entries.swap_remove_entry(key) {
            self.bytes -= entry.size(&key);
        }
    }

    /// Makes room: looks at a few entries, drawn by lot.
    fn evict(&mut self, now: Moment) -> bool {
        let count = self.entries.len();
        // All of a few, so that the oldest of them goes for sure.
        let draw = |lot: usize| {
            if count <= LOOKED_AT {
                lot
            } else {
                fastrand::usize(..count)
            }
        };
        let lots = (0..LOOKED_AT.min(count)).map(draw);
        let age = |index: &usize| {
            let entry = self.entries.get_index(*index).map(|(_, entry)| entry);
            entry.map(|entry| (!entry.has_expired(now), entry.written))
        };
        let Some(oldest) = lots.min_by_key(age) else {
            return false;
        };
        if let Some((key, entry)) = self.entries.swap_remove_index(oldest) {
            self.bytes -= entry.size(&key);
        }
        true
    }
}

impl Entry {
    fn new(content: Content, ttl: Option<Duration>, now: Moment) -> Self {
        Self {
            content,
            written: now,
            expires: ttl.map_or(NEVER, |ttl| now.saturating_add(nanoseconds(ttl))),
        }
    }

    fn has_expired(&self, now: Moment) -> bool {
        self.expires <= now
    }

    fn size(&self, key: &str) -> usize {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Counter(_) | Content::Bucket { .. } => 0,
        };
        key.len() + content + OVERHEAD
    }
}

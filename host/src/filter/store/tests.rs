use std::collections::HashMap;
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// As `defaults::FILTER_LIMITS` has it.
const MOST_ENTRIES: u64 = 65_536;
const MOST_BYTES: u64 = 16 << 20;

fn table() -> (Table, Instant) {
    (Table::new(MOST_ENTRIES, MOST_BYTES), Instant::now())
}

impl Table {
    fn held(&self) -> Room {
        let mut held = Room { entries: 0, bytes: 0 };
        for shard in &self.shards {
            let shard = shard.lock().unwrap();
            let bytes: usize = shard.entries.iter().map(|(key, entry)| entry.size(key)).sum();
            assert_eq!(shard.bytes, bytes, "what is counted is what there is");
            held.entries += shard.entries.len();
            held.bytes += bytes;
        }
        held
    }
}

#[test]
fn what_is_set_is_read_until_its_time_is_over() {
    let (table, now) = table();
    table.set("key".into(), b"value".to_vec(), Some(SECOND), now).unwrap();
    assert_eq!(table.get("key", now), Some(b"value".to_vec()));
    assert_eq!(table.get("key", now + SECOND), None);
    table.set("key".into(), b"other".to_vec(), None, now).unwrap();
    table.delete("key");
    assert_eq!(table.get("key", now), None);
}

#[test]
fn a_counter_counts_and_is_read_as_little_endian_bytes() {
    let (table, now) = table();
    assert_eq!(table.add("hits".into(), 2, None, now), Ok(2));
    assert_eq!(table.add("hits".into(), -5, None, now), Ok(-3));
    assert_eq!(table.get("hits", now), Some((-3i64).to_le_bytes().to_vec()));
    assert_eq!(table.add("hits".into(), i64::MIN, None, now), Ok(i64::MIN));
    table.set("hits".into(), b"text".to_vec(), None, now).unwrap();
    assert_eq!(table.add("hits".into(), i64::MAX, None, now), Ok(i64::MAX));
    assert_eq!(table.add("hits".into(), 1, None, now), Ok(i64::MAX));
}

#[test]
fn a_counter_begins_again_when_the_time_of_its_first_call_is_over() {
    let (table, now) = table();
    let add = |at| table.add("hits".into(), 1, Some(SECOND), at);
    assert_eq!(add(now), Ok(1));
    assert_eq!(add(now + SECOND / 2), Ok(2));
    assert_eq!(add(now + SECOND), Ok(1));
}

#[test]
fn a_bucket_starts_full_and_fills_with_time() {
    let (table, now) = table();
    let take = |at| table.take("client".into(), 1, 2.0, 3, at);
    assert!(take(now) && take(now) && take(now));
    assert!(!take(now));
    assert!(take(now + SECOND / 2));
    assert!(!take(now + SECOND / 2));
    assert!(
        !table.take("other".into(), 4, 1.0, 3, now),
        "more than it can ever hold"
    );
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert!(!table.take("odd".into(), 1, odd, 3, now), "{odd}");
    }
    assert_eq!(table.held().entries, 1);
}

#[test]
fn a_bucket_that_was_emptied_late_is_not_full_again_at_once() {
    let (table, now) = table();
    let take = |at| table.take("client".into(), 10, 1.0, 10, at);
    assert!(take(now));
    assert!(take(now + 10 * SECOND));
    assert!(!take(now + 11 * SECOND));
    assert!(take(now + 20 * SECOND));
}

#[test]
fn a_bucket_that_nothing_fills_stays_empty() {
    let (table, now) = table();
    assert!(table.take("client".into(), 1, 0.0, 1, now));
    assert!(!table.take("client".into(), 1, 0.0, 1, now + 3600 * SECOND));
    assert!(!table.take("client".into(), 1, f64::MIN_POSITIVE, 1, now + 3600 * SECOND));
}

#[test]
fn the_longest_times_are_for_ever() {
    let (table, now) = table();
    let longest = Some(Duration::from_millis(u64::MAX));
    table.set("key".into(), Vec::new(), longest, now).unwrap();
    assert_eq!(table.get("key", now + 1_000_000 * SECOND), Some(Vec::new()));
}

#[test]
fn the_table_is_bounded_in_entries_and_in_bytes() {
    let (table, now) = table();
    for n in 0..2 * MOST_ENTRIES {
        table.set(n.to_string(), vec![0; 8], None, now).unwrap();
    }
    let entries = table.held().entries;
    assert!(entries <= MOST_ENTRIES as usize, "{entries}");
    assert!(entries > MOST_ENTRIES as usize / 10 * 9, "{entries}");
    for n in 0..1000 {
        table.set(n.to_string(), vec![0; LONGEST_VALUE], None, now).unwrap();
        assert!(table.held().bytes <= MOST_BYTES as usize);
    }
}

#[test]
fn a_small_table_has_room_for_as_much_as_it_says() {
    for most in [1, 2, 15, 16, 17, 1000] {
        let (table, now) = (Table::new(most, MOST_BYTES), Instant::now());
        for n in 0..most {
            table.set(n.to_string(), Vec::new(), None, now).unwrap();
        }
        assert_eq!(table.held().entries, most as usize);
        table.set("one more".into(), Vec::new(), None, now).unwrap();
        assert_eq!(table.held().entries, most as usize);
    }
    for bytes in [LARGEST_ENTRY, 2 * LARGEST_ENTRY - 1, 17 * LARGEST_ENTRY] {
        let (table, now) = (Table::new(MOST_ENTRIES, bytes as u64), Instant::now());
        let key = "k".repeat(LONGEST_KEY);
        table.set(key, vec![0; LONGEST_VALUE], None, now).unwrap();
    }
}

#[test]
fn a_table_without_room_takes_nothing_and_limits_everything() {
    for (entries, bytes, refused) in [
        (0, MOST_BYTES, Refused::Full),
        (MOST_ENTRIES, 0, Refused::TooLarge),
        (MOST_ENTRIES, OVERHEAD as u64, Refused::TooLarge),
    ] {
        let (table, now) = (Table::new(entries, bytes), Instant::now());
        assert_eq!(table.set("key".into(), Vec::new(), None, now), Err(refused));
        assert!(table.add("key".into(), 1, None, now).is_err());
        assert!(!table.take("key".into(), 1, 1.0, 1, now));
        assert_eq!(table.held().entries, 0);
    }
}

#[test]
fn what_is_too_large_pushes_nothing_out() {
    let (table, now) = (Table::new(MOST_ENTRIES, 1000), Instant::now());
    table.set("key".into(), b"old".to_vec(), None, now).unwrap();
    table.set("other".into(), b"old".to_vec(), None, now).unwrap();
    let refused = table.set("key".into(), vec![0; 1000], None, now);
    assert_eq!(refused, Err(Refused::TooLarge));
    assert_eq!(table.get("key", now), Some(b"old".to_vec()));
    assert_eq!(table.get("other", now), Some(b"old".to_vec()));
}

#[test]
fn what_has_expired_goes_first_and_then_what_is_oldest() {
    let (table, now) = (Table::new(3, MOST_BYTES), Instant::now());
    let set = |key: &str, ttl, at| table.set(key.into(), Vec::new(), ttl, at).unwrap();
    set("old", None, now);
    set("gone", Some(SECOND), now + SECOND / 2);
    set("new", None, now + SECOND);
    set("first", None, now + 2 * SECOND);
    assert!(table.get("old", now).is_some() && table.get("new", now).is_some());
    set("second", None, now + 3 * SECOND);
    assert_eq!(table.get("old", now), None);
    assert!(table.get("new", now).is_some());
}

#[test]
fn what_is_too_long_is_refused() {
    let (table, now) = table();
    let long = "k".repeat(LONGEST_KEY + 1);
    assert_eq!(table.set(long.clone(), Vec::new(), None, now), Err(Refused::TooLarge));
    assert_eq!(table.add(long.clone(), 1, None, now), Err(Refused::TooLarge));
    assert!(!table.take(long.clone(), 1, 1.0, 1, now));
    assert_eq!(table.get(&long, now), None);
    table.delete(&long);
    let value = vec![0; LONGEST_VALUE + 1];
    assert_eq!(table.set("key".into(), value, None, now), Err(Refused::TooLarge));
}

#[test]
fn nothing_is_lost_where_threads_count_at_once() {
    let (table, now) = table();
    let granted: usize = thread::scope(|scope| {
        let count = |_| {
            scope.spawn(|| {
                for n in 0..1000 {
                    table.add("all".into(), 1, None, now).unwrap();
                    table.add(format!("each-{n}"), 1, None, now).unwrap();
                }
                (0..1000)
                    .filter(|_| table.take("bucket".into(), 1, 0.0, 500, now))
                    .count()
            })
        };
        let threads: Vec<_> = (0..4).map(count).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(table.add("all".into(), 0, None, now), Ok(4000));
    for n in 0..1000 {
        assert_eq!(table.add(format!("each-{n}"), 0, None, now), Ok(4), "{n}");
    }
    assert_eq!(granted, 500);
}

#[test]
fn threads_that_fill_a_small_table_keep_its_bounds() {
    let bytes = 64 << 10;
    let table = Table::new(100, bytes);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let table = &table;
            scope.spawn(move || {
                let now = Instant::now();
                for n in 0..2000 {
                    let key = (n * 7 % 300).to_string();
                    match (n + thread) % 4 {
                        0 => _ = table.set(key, vec![0; n as usize], Some(SECOND), now),
                        1 => _ = table.add(key, 1, None, now),
                        2 => _ = table.take(key, 1, 1.0, 5, now),
                        _ => table.delete(&key),
                    }
                }
            });
        }
    });
    let held = table.held();
    assert!(held.entries <= 100 && held.bytes <= bytes as usize, "{held:?}");
}

// ---- against a model: a map without bounds, and with the same time ----

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Set(u8, Vec<u8>, u16),
    Delete(u8),
    Add(u8, i64, u16),
    Take(u8, u8, u8),
    Wait(u16),
}

#[derive(Debug, Clone, PartialEq)]
enum Model {
    Bytes(Vec<u8>),
    Counter(i64),
    /// Of 4 tokens, 8 a second: eighths of a second are exact.
    Bucket(f64, u64),
}

const RATE: f64 = 8.0;
const BURST: u32 = 4;

/// Eighths of a second, of which 0 is no time to live.
fn ttl(eighths: u16) -> Option<Duration> {
    (eighths > 0).then(|| Duration::from_millis(u64::from(eighths) * 125))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6_u8;
    let value = prop::collection::vec(any::<u8>(), 0..20);
    let by = prop_oneof![-3..3_i64, Just(i64::MAX), Just(i64::MIN)];
    let step = prop_oneof![
        key.clone().prop_map(Step::Get),
        (key.clone(), value, 0..20_u16).prop_map(|(key, value, ttl)| Step::Set(key, value, ttl)),
        key.clone().prop_map(Step::Delete),
        (key.clone(), by, 0..20_u16).prop_map(|(key, by, ttl)| Step::Add(key, by, ttl)),
        (key, 0..6_u8, 0..2_u8).prop_map(|(key, wanted, odd)| Step::Take(key, wanted, odd)),
        (0..10_u16).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn a_table_with_room_does_what_a_map_would(steps in steps()) {
        let (table, start) = table();
        let mut model: HashMap<u8, (Model, u64)> = HashMap::new();
        let mut time = 0_u64;
        let until = |time: u64, ttl: u16| if ttl == 0 { u64::MAX } else { time + u64::from(ttl) };
        for step in steps {
            let now = start + Duration::from_millis(time * 125);
            model.retain(|_, (_, expires)| *expires > time);
            match step {
                Step::Wait(eighths) => time += u64::from(eighths),
                Step::Get(key) => {
                    let expected = match model.get(&key) {
                        Some((Model::Bytes(bytes), _)) => Some(bytes.clone()),
                        Some((Model::Counter(count), _)) => Some(count.to_le_bytes().to_vec()),
                        Some((Model::Bucket(..), _)) | None => None,
                    };
                    prop_assert_eq!(table.get(&key.to_string(), now), expected);
                }
                Step::Set(key, value, eighths) => {
                    prop_assert_eq!(table.set(key.to_string(), value.clone(), ttl(eighths), now), Ok(()));
                    model.insert(key, (Model::Bytes(value), until(time, eighths)));
                }
                Step::Delete(key) => {
                    table.delete(&key.to_string());
                    model.remove(&key);
                }
                Step::Add(key, by, eighths) => {
                    let expected = match model.get_mut(&key) {
                        Some((Model::Counter(count), _)) => {
                            *count = count.saturating_add(by);
                            *count
                        }
                        _ => {
                            model.insert(key, (Model::Counter(by), until(time, eighths)));
                            by
                        }
                    };
                    prop_assert_eq!(table.add(key.to_string(), by, ttl(eighths), now), Ok(expected));
                }
                Step::Take(key, wanted, odd) => {
                    let rate = if odd == 0 { RATE } else { -RATE };
                    let got = table.take(key.to_string(), wanted.into(), rate, BURST, now);
                    if odd != 0 || u32::from(wanted) > BURST {
                        prop_assert!(!got);
                        continue;
                    }
                    let tokens = match model.get(&key) {
                        Some((Model::Bucket(tokens, filled), _)) => (tokens + (time - filled) as f64).min(BURST.into()),
                        _ => BURST.into(),
                    };
                    let enough = tokens >= wanted.into();
                    prop_assert_eq!(got, enough);
                    let left = if enough { tokens - f64::from(wanted) } else { tokens };
                    model.insert(key, (Model::Bucket(left, time), u64::MAX));
                }
            }
        }
    }

    #[test]
    fn no_steps_lead_out_of_the_bounds(steps in steps(), entries in 0..5_u64, bytes in 0..1000_u64) {
        let (table, now) = (Table::new(entries, bytes), Instant::now());
        for step in steps {
            match step {
                Step::Set(key, value, eighths) => {
                    let set = table.set(key.to_string(), value.clone(), ttl(eighths), now);
                    if set.is_ok() {
                        prop_assert_eq!(table.get(&key.to_string(), now), Some(value), "what was just set is there");
                    }
                }
                Step::Add(key, by, eighths) => _ = table.add(key.to_string(), by, ttl(eighths), now),
                Step::Take(key, wanted, _) => _ = table.take(key.to_string(), wanted.into(), RATE, BURST, now),
                Step::Delete(key) => table.delete(&key.to_string()),
                Step::Get(_) | Step::Wait(_) => {}
            }
            let held = table.held();
            prop_assert!(held.entries as u64 <= entries && held.bytes as u64 <= bytes, "{held:?}");
        }
    }
}

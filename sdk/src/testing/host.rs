use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::log::{Field, FieldValue, Level};
use crate::metrics::Kind;
use crate::store::Error;
use crate::upstreams::Upstream;
use crate::{Attribute, Value};

const KEY_LIMIT: usize = 256;
const VALUE_LIMIT: usize = 64 * 1024;
const ENTRIES: usize = 1024;
const FIELDS: usize = 32;
const KEYS: usize = 64;

/// The proxy that a scene's filter sees: before a run what it knows, after the run what the filter left.
///
/// The stored entries, the clock and the metrics go on in the next scene that gets this host.
#[derive(Clone, Debug)]
pub struct Host {
    pub(super) client: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) listener: String,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) entries: usize,
    pub(super) elapsed: Duration,
    /// TLS is to be had.
    pub(super) tls_offered: bool,
    /// It was asked for, and will begin with the next exchange.
    pub(super) tls_asked_for: bool,
    in_connection: bool,
    annotations: Vec<Attribute>,
    logs: Vec<Record>,
    metrics: BTreeMap<u32, f64>,
    store: HashMap<String, Entry>,
    buckets: HashMap<String, Bucket>,
    random: u64,
}

/// What a filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
    /// In the order of the call.
    pub fields: Vec<Attribute>,
}

impl Record {
    /// The first field with this key.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|field| field.key == key)
            .map(|field| &field.value)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            client: Some(SocketAddr::from(([192, 0, 2, 1], 40000))),
            local: Some(SocketAddr::from(([198, 51, 100, 1], 443))),
            listener: "test".to_owned(),
            attributes: BTreeMap::new(),
            upstreams: Vec::new(),
            entries: ENTRIES,
            elapsed: Duration::ZERO,
            tls_offered: false,
            tls_asked_for: false,
            in_connection: false,
            annotations: Vec::new(),
            logs: Vec::new(),
            metrics: BTreeMap::new(),
            store: HashMap::new(),
            buckets: HashMap::new(),
            random: 0,
        }
    }
}

impl Host {
    /// What the filter annotated: the last value of the key.
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.annotations
            .iter()
            .rev()
            .find(|annotation| annotation.key == key)
            .map(|annotation| &annotation.value)
    }

    /// What the filter logged, in order.
    pub fn logs(&self) -> &[Record] {
        &self.logs
    }

    /// The value of a metric. A histogram's is how often it was observed.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let number = numbers().iter().position(|known| known == name)?;
        self.metrics.get(&u32::try_from(number).ok()?).copied()
    }

    /// All annotations, and the last value of each key.
    pub fn annotations(&self) -> &[Attribute] {
        &self.annotations
    }

    /// The metrics that have counted something, by their names.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let names = numbers();
        let name = |number: &u32| names.get(usize::try_from(*number).ok()?).cloned();
        self.metrics
            .iter()
            .filter_map(|(number, value)| Some((name(number)?, *value)))
            .collect()
    }

    /// Runs with this host as the one that the filter sees, and gives it back.
    pub(super) fn run<T>(mut self, in_connection: bool, run: impl FnOnce() -> T) -> (T, Self) {
        self.in_connection = in_connection;
        self.tls_asked_for = false;
        self.annotations.clear();
        self.logs.clear();
        HOST.set(self);
        let value = run();
        (value, HOST.take())
    }

    fn entry(&mut self, key: &str) -> Option<&mut Entry> {
        let now = self.elapsed;
        self.store
            .get_mut(key)
            .filter(|entry| entry.expires.is_none_or(|expires| now < expires))
    }

    fn store(&mut self, key: &str, value: Vec<u8>, ttl_ms: u64) -> Result<(), Error> {
        if key.len() > KEY_LIMIT || value.len() > VALUE_LIMIT {
            return Err(Error::TooLarge);
        }
        let now = self.elapsed;
        self.store
            .retain(|_, entry| entry.expires.is_none_or(|expires| now < expires));
        if self.store.len() >= self.entries && !self.store.contains_key(key) {
            return Err(Error::Full);
        }
        let expires = (ttl_ms > 0).then(|| now + Duration::from_millis(ttl_ms));
        self.store.insert(key.to_owned(), Entry { value, expires });
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

thread_local! {
    // Each test has its own thread, and with it its own proxy.
    static HOST: RefCell<Host> = RefCell::default();
}

/// The names of all metrics, each at its number. Shared by all threads, since a filter's metrics are statics.
fn numbers() -> std::sync::MutexGuard<'static, Vec<String>> {
    static NUMBERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<T>(use_host: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(use_host)
}

/// Observers hear of connections outside of any.
pub(super) fn outside_of_connection<T>(call: impl FnOnce() -> T) -> T {
    with(|host| host.in_connection = false);
    let value = call();
    with(|host| host.in_connection = true);
    value
}

/// What the filter has annotated until now.
pub(super) fn annotated() -> Vec<Attribute> {
    with(|host| host.annotations.clone())
}

pub(super) fn advance(time: Duration) {
    with(|host| host.elapsed += time);
}

pub(crate) fn connection_id() -> u64 {
    with(|host| u64::from(host.in_connection))
}

pub(crate) fn client() -> Option<SocketAddr> {
    with(|host| host.client.filter(|_| host.in_connection))
}

pub(crate) fn local() -> Option<SocketAddr> {
    with(|host| host.local.filter(|_| host.in_connection))
}

pub(crate) fn listener() -> String {
    with(|host| {
        if host.in_connection {
            host.listener.clone()
        } else {
            String::new()
        }
    })
}

pub(crate) fn attribute(key: &str) -> Option<Value> {
    with(|host| {
        let known = host.annotation(key).or_else(|| host.attributes.get(key));
        known.filter(|_| host.in_connection).cloned()
    })
}

pub(crate) fn annotate(key: &str, value: Value) {
    with(|host| {
        host.annotations.retain(|annotation| annotation.key != key);
        host.annotations.push(Attribute::new(key, value));
    });
}

pub(crate) fn start_tls() -> bool {
    with(|host| {
        host.tls_asked_for |= host.tls_offered;
        host.tls_offered
    })
}

/// Whether TLS was asked for since this was asked last. Who has it is not offered it again.
pub(super) fn take_request_for_tls() -> bool {
    with(|host| {
        let asked = host.tls_asked_for;
        host.tls_offered &= !asked;
        host.tls_asked_for = false;
        asked
    })
}

pub(crate) fn now() -> u64 {
    const START: Duration = Duration::from_secs(1_750_000_000);
    with(|host| nanoseconds(START + host.elapsed))
}

pub(crate) fn monotonic() -> u64 {
    with(|host| nanoseconds(host.elapsed))
}

/// SplitMix64: the same numbers in every run.
pub(crate) fn random() -> u64 {
    with(|host| {
        host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = host.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

pub(crate) fn log_enabled(_level: Level) -> bool {
    true
}

pub(crate) fn log_emit(level: Level, message: &str, fields: &[Field<'_>]) {
    record(level, message, fields.iter().map(|field| (field.key, &field.value)));
}

pub(crate) fn log_emit_batch(level: Level, message: &str, keys: &[&str], values: &[Option<FieldValue<'_>>]) {
    assert!(
        keys.len() <= KEYS && values.len().is_multiple_of(keys.len()),
        "a batch of {} values for {} keys: each record has one for each key, and there may be {KEYS} keys",
        values.len(),
        keys.len()
    );
    for values in values.chunks_exact(keys.len().max(1)) {
        let fields = keys.iter().zip(values);
        let there = fields.filter_map(|(key, value)| Some((*key, value.as_ref()?)));
        record(level, message, there);
    }
}

/// Of fields with the same key the first counts, and the first 32 are kept.
fn record<'a>(level: Level, message: &str, all: impl Iterator<Item = (&'a str, &'a FieldValue<'a>)>) {
    let mut fields: Vec<Attribute> = Vec::new();
    for (key, value) in all {
        if fields.iter().all(|known| known.key != key) {
            fields.push(Attribute::new(key, value));
        }
    }
    fields.truncate(FIELDS);
    with(|host| {
        host.logs.push(Record {
            level,
            message: message.to_owned(),
            fields,
        })
    });
}

pub(crate) fn metric_define(name: &str, _kind: Kind, _help: &str) -> Result<u32, String> {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if !name.bytes().next().is_some_and(letter) || !name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit()) {
        return Err("a name is letters, digits and underscores".to_owned());
    }
    let mut numbers = numbers();
    let number = numbers.iter().position(|known| known == name).unwrap_or_else(|| {
        numbers.push(name.to_owned());
        numbers.len() - 1
    });
    u32::try_from(number).map_err(|_| "there are too many".to_owned())
}

pub(crate) fn metric_add(metric: u32, by: u64) {
    with(|host| *host.metrics.entry(metric).or_default() += by as f64);
}

pub(crate) fn metric_set(metric: u32, value: f64) {
    with(|host| host.metrics.insert(metric, value));
}

pub(crate) fn metric_observe(metric: u32, _value: f64) {
    with(|host| *host.metrics.entry(metric).or_default() += 1.0);
}

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    with(|host| host.entry(key).map(|entry| entry.value.clone()))
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), Error> {
    with(|host| host.store(key, value.to_vec(), ttl_ms))
}

pub(crate) fn store_delete(key: &str) {
    with(|host| host.store.remove(key));
}

pub(crate) fn store_add(key: &str, by: i64, ttl_ms: u64) -> Result<i64, Error> {
    with(|host| {
        let before = host
            .entry(key)
            .and_then(|entry| entry.value.as_slice().try_into().ok())
            .map_or(0, i64::from_le_bytes);
        let after = before.saturating_add(by);
        host.store(key, after.to_le_bytes().to_vec(), ttl_ms)?;
        Ok(after)
    })
}

pub(crate) fn store_take(key: &str, tokens: u32, per_second: f64, burst: u32) -> bool {
    with(|host| {
        let now = host.elapsed;
        let full = Bucket {
            tokens: f64::from(burst),
            filled: now,
        };
        let bucket = host.buckets.entry(key.to_owned()).or_insert(full);
        let refill = (now - bucket.filled).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + refill).min(f64::from(burst));
        bucket.filled = now;
        let enough = bucket.tokens >= f64::from(tokens);
        if enough {
            bucket.tokens -= f64::from(tokens);
        }
        enough
    })
}

pub(crate) fn upstream(name: &str) -> Option<Upstream> {
    with(|host| host.upstreams.iter().find(|upstream| upstream.name == name).cloned())
}

pub(crate) fn upstreams() -> Vec<Upstream> {
    with(|host| host.upstreams.clone())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

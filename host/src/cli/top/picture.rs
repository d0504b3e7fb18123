//! A proxy at one moment, and how fast its counts grew since the moment before.

use std::collections::HashMap;

use crate::admin::said::{Bytes, Filter, Generation, Overview};

pub struct Picture {
    pub overview: Overview,
    /// There are none in the first picture of a process.
    pub rates: Option<Rates>,
}

/// In a second.
#[derive(Debug)]
pub struct Rates {
    pub accepted: f64,
    pub up: Bytes,
    pub down: Bytes,
    /// Connections that ended, by listener.
    pub ended: HashMap<String, f64>,
    /// By filter and generation.
    costs: HashMap<String, HashMap<u64, Cost>>,
    /// Bytes up and down, by connection.
    moved: HashMap<u64, (u64, u64)>,
}

/// What calls of a generation take, in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub calls: f64,
    /// Microseconds of one call.
    pub each: Option<f64>,
    /// Of the time of one processor, 1 is all.
    pub share: f64,
}

impl Picture {
    pub fn after(before: Option<&Overview>, overview: Overview) -> Self {
        let rates = before.and_then(|before| Rates::between(before, &overview));
        Self { overview, rates }
    }
}

impl Rates {
    /// None where another process answers now, whose counts began anew, and where no time has passed.
    fn between(before: &Overview, now: &Overview) -> Option<Self> {
        if before.status.pid != now.status.pid {
            return None;
        }
        // The clock of the day may be set; this one is not.
        let time = now.status.uptime_ms.checked_sub(before.status.uptime_ms);
        let time = time.filter(|time| *time > 0)?;
        let listeners = by_name(&before.listeners, |listener| (&listener.name, listener.connections));
        let filters = by_name(&before.filters, |filter| (&filter.name, filter));
        let open = before.biggest.iter().chain(&before.slowest);
        let open: HashMap<_, _> = open.map(|it| (it.id, (it.up.total(), it.down.total()))).collect();
        let ended = now.listeners.iter().filter_map(|listener| {
            let before = listeners.get(listener.name.as_str())?;
            Some((listener.name.clone(), rate(*before, listener.connections, time)))
        });
        let costs = now.filters.iter().map(|filter| {
            let before = filters.get(filter.name.as_str()).copied();
            (filter.name.clone(), costs(before, filter, time))
        });
        let moved = now.biggest.iter().chain(&now.slowest).filter_map(|it| {
            let (up, down) = open.get(&it.id)?;
            let moved = (
                per_second(*up, it.up.total(), time),
                per_second(*down, it.down.total(), time),
            );
            Some((it.id, moved))
        });
        Some(Self {
            accepted: rate(before.traffic.accepted, now.traffic.accepted, time),
            up: bytes(before.traffic.up, now.traffic.up, time),
            down: bytes(before.traffic.down, now.traffic.down, time),
            ended: ended.collect(),
            costs: costs.collect(),
            moved: moved.collect(),
        })
    }

    pub fn cost(&self, filter: &str, generation: u64) -> Option<Cost> {
        self.costs.get(filter)?.get(&generation).copied()
    }

    /// Bytes up and down of a connection.
    pub fn moved(&self, connection: u64) -> Option<(u64, u64)> {
        self.moved.get(&connection).copied()
    }
}

impl Cost {
    fn between(before: &Generation, now: &Generation, time: u64) -> Self {
        let calls = now.calls.saturating_sub(before.calls);
        let busy = now.busy_us.saturating_sub(before.busy_us) as f64;
        Self {
            calls: rate(before.calls, now.calls, time),
            each: (calls > 0).then(|| busy / calls as f64),
            share: busy / (time as f64 * 1000.0),
        }
    }
}

/// Microseconds of one call, of all that there were.
pub fn ever(generation: &Generation) -> Option<f64> {
    (generation.calls > 0).then(|| generation.busy_us as f64 / generation.calls as f64)
}

fn costs(before: Option<&Filter>, now: &Filter, time: u64) -> HashMap<u64, Cost> {
    let known = before.map(|filter| filter.generations.as_slice()).unwrap_or_default();
    let cost = |generation: &Generation| {
        let before = known.iter().find(|it| it.number == generation.number)?;
        Some((generation.number, Cost::between(before, generation, time)))
    };
    now.generations.iter().filter_map(cost).collect()
}

fn by_name<'a, T, V>(items: &'a [T], entry: impl Fn(&'a T) -> (&'a String, V)) -> HashMap<&'a str, V> {
    let entries = items.iter().map(entry);
    entries.map(|(name, value)| (name.as_str(), value)).collect()
}

fn bytes(before: Bytes, now: Bytes, time: u64) -> Bytes {
    Bytes {
        copied: per_second(before.copied, now.copied, time),
        spliced: per_second(before.spliced, now.spliced, time),
        filtered: per_second(before.filtered, now.filtered, time),
    }
}

/// `time` is in milliseconds, and not 0.
fn per_second(before: u64, now: u64, time: u64) -> u64 {
    let more = u128::from(now.saturating_sub(before));
    u64::try_from(more * 1000 / u128::from(time)).unwrap_or(u64::MAX)
}

/// The same of what is counted one by one.
fn rate(before: u64, now: u64, time: u64) -> f64 {
    now.saturating_sub(before) as f64 * 1000.0 / time as f64
}

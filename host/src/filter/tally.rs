//! What one generation of a filter has done, as it is seen from outside.
//!
//! Counted on the way of the bytes, so that nothing may be shared there: each thread has a stripe of its own, and they are
//! added up when somebody asks.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use super::failure::Kind;
use super::observers::number_of_this_thread;

/// Counts of one generation.
pub struct Tally {
    stripes: Box<[Stripe]>,
    instances: AtomicI64,
    memory: AtomicI64,
}

/// The same, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub calls: [u64; Role::ALL.len()],
    pub verdicts: [[u64; Verdict::ALL.len()]; Role::ALL.len()],
    pub failures: [u64; Kind::ALL.len()],
    /// Bytes that inspectors and transformers were shown, and that inspectors skipped.
    pub shown: u64,
    pub skipped: u64,
    /// Connections that began with this generation and have ended, by how.
    pub ends: [u64; End::ALL.len()],
    /// Of one call in [`TIMED`]: how many took no longer than each of [`BUCKETS`], the rest at the end, and the sum.
    pub times: [u64; BUCKETS.len() + 1],
    pub time: Duration,
    /// Now.
    pub instances: u64,
    /// Bytes of linear memory, of all instances.
    pub memory: u64,
}

/// What a filter is asked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Router,
    Inspector,
    Transformer,
    Observer,
}

/// What it answers. Not every role has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Need,
    Exchange,
    Route,
    Forward,
    Hold,
    Skip,
    More,
    Detach,
    Refuse,
}

/// How a connection ended, as far as it may be a filter's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As connections end.
    Usual,
    /// A filter refused it.
    Refused,
    /// Before the upstream had said anything, or by a reset or a failure.
    Early,
}

/// One call in so many is timed: to look at the clock twice costs a fifth of a call.
pub const TIMED: u32 = 8;

/// From half a microsecond, which is a call that does nothing, to half a second.
pub const BUCKETS: [Duration; 11] = [
    Duration::from_nanos(500),
    Duration::from_micros(1),
    Duration::from_micros(2),
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(50),
    Duration::from_micros(250),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(500),
];

/// Two cache lines: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    calls: [AtomicU64; Role::ALL.len()],
    verdicts: [[AtomicU64; Verdict::ALL.len()]; Role::ALL.len()],
    failures: [AtomicU64; Kind::ALL.len()],
    shown: AtomicU64,
    skipped: AtomicU64,
    ends: [AtomicU64; End::ALL.len()],
    times: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        // Workers, and the thread of the observers.
        let threads = available_parallelism().map_or(1, NonZeroUsize::get) + 1;
        Self {
            stripes: (0..threads).map(|_| Stripe::default()).collect(),
            instances: AtomicI64::new(0),
            memory: AtomicI64::new(0),
        }
    }
}

impl Tally {
    /// A call begins: the clock, where it is one that is timed.
    pub fn call(&self, role: Role) -> Option<Instant> {
        thread_local! {
            static CALLS: Cell<u32> = const { Cell::new(0) };
        }
        count(&self.stripe().calls[role as usize], 1);
        let calls = CALLS.get();
        CALLS.set(calls.wrapping_add(1));
        calls.is_multiple_of(TIMED).then(Instant::now)
    }

    /// A call that was timed is over.
    pub fn took(&self, time: Duration) {
        let stripe = self.stripe();
        let bucket = BUCKETS.iter().position(|most| time <= *most);
        count(&stripe.times[bucket.unwrap_or(BUCKETS.len())], 1);
        count(&stripe.nanoseconds, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn verdict(&self, role: Role, verdict: Verdict) {
        count(&self.stripe().verdicts[role as usize][verdict as usize], 1);
    }

    pub fn failed(&self, kind: Kind) {
        count(&self.stripe().failures[kind as usize], 1);
    }

    pub fn shown(&self, bytes: usize) {
        count(&self.stripe().shown, bytes as u64);
    }

    pub fn skipped(&self, bytes: u64) {
        count(&self.stripe().skipped, bytes);
    }

    pub fn ended(&self, end: End) {
        count(&self.stripe().ends[end as usize], 1);
    }

    /// So many more instances, or fewer.
    pub fn instances(&self, more: i64) {
        self.instances.fetch_add(more, Ordering::Relaxed);
    }

    /// So many more bytes of their memory, or fewer.
    pub fn memory(&self, more: i64) {
        self.memory.fetch_add(more, Ordering::Relaxed);
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            instances: u64::try_from(self.instances.load(Ordering::Relaxed)).unwrap_or(0),
            memory: u64::try_from(self.memory.load(Ordering::Relaxed)).unwrap_or(0),
            ..Totals::default()
        };
        for stripe in &self.stripes {
            add(&mut totals.calls, &stripe.calls);
            for (total, stripe) in totals.verdicts.iter_mut().zip(&stripe.verdicts) {
                add(total, stripe);
            }
            add(&mut totals.failures, &stripe.failures);
            totals.shown += stripe.shown.load(Ordering::Relaxed);
            totals.skipped += stripe.skipped.load(Ordering::Relaxed);
            add(&mut totals.ends, &stripe.ends);
            add(&mut totals.times, &stripe.times);
            totals.time += Duration::from_nanos(stripe.nanoseconds.load(Ordering::Relaxed));
        }
        totals
    }

    fn stripe(&self) -> &Stripe {
        &self.stripes[number_of_this_thread() % self.stripes.len()]
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn add<const N: usize>(totals: &mut [u64; N], stripe: &[AtomicU64; N]) {
    for (total, counter) in totals.iter_mut().zip(stripe) {
        *total += counter.load(Ordering::Relaxed);
    }
}

impl Totals {
    /// Failures that are the filter's own: not those for which the machine had no room.
    pub fn own_failures(&self) -> u64 {
        let own = Kind::ALL.iter().filter(|kind| **kind != Kind::Budget);
        own.map(|kind| self.failures[*kind as usize]).sum()
    }

    /// Connections that have ended.
    pub fn connections(&self) -> u64 {
        self.ends.iter().sum()
    }
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Router, Self::Inspector, Self::Transformer, Self::Observer];

    /// As the contract calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Inspector => "inspector",
            Self::Transformer => "transformer",
            Self::Observer => "observer",
        }
    }
}

impl Verdict {
    pub const ALL: [Self; 10] = [
        Self::Pass,
        Self::Need,
        Self::Exchange,
        Self::Route,
        Self::Forward,
        Self::Hold,
        Self::Skip,
        Self::More,
        Self::Detach,
        Self::Refuse,
    ];

    /// As the contract calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Need => "need",
            Self::Exchange => "exchange",
            Self::Route => "route",
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Skip => "skip",
            Self::More => "more",
            Self::Detach => "detach",
            Self::Refuse => "refuse",
        }
    }
}

impl End {
    pub const ALL: [Self; 3] = [Self::Usual, Self::Refused, Self::Early];

    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Refused => "refused",
            Self::Early => "early",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_added_up() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        tally.call(Role::Inspector);
                        tally.verdict(Role::Inspector, Verdict::Forward);
                        tally.shown(10);
                        tally.ended(End::Early);
                        tally.failed(Kind::Trap);
                    }
                });
            }
        });
        let totals = tally.totals();
        assert_eq!(totals.calls, [0, 800, 0, 0]);
        assert_eq!(
            totals.verdicts[Role::Inspector as usize][Verdict::Forward as usize],
            800
        );
        assert_eq!(
            (totals.shown, totals.own_failures(), totals.connections()),
            (8000, 800, 800)
        );
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        for time in [
            Duration::ZERO,
            BUCKETS[0],
            Duration::from_micros(3),
            Duration::from_secs(9),
        ] {
            tally.took(time);
        }
        let totals = tally.totals();
        assert_eq!(
            (totals.times[0], totals.times[3], totals.times[BUCKETS.len()]),
            (2, 1, 1)
        );
        assert!(totals.time > Duration::from_secs(9));
    }

    #[test]
    fn every_variant_has_the_place_of_its_number() {
        assert!(
            Role::ALL
                .iter()
                .enumerate()
                .all(|(place, role)| *role as usize == place)
        );
        assert!(
            Verdict::ALL
                .iter()
                .enumerate()
                .all(|(place, verdict)| *verdict as usize == place)
        );
        assert!(End::ALL.iter().enumerate().all(|(place, end)| *end as usize == place));
        assert!(
            Kind::ALL
                .iter()
                .enumerate()
                .all(|(place, kind)| *kind as usize == place)
        );
    }
}

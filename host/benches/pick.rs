//! What it costs to choose a server: nanoseconds for a pick, milliseconds for a new lineup.
//!
//! `cargo bench -p spliceway --bench pick`. Best of five: whatever else the machine does only makes it longer.
//! Connections are counts that do not change, so least-connections finds nobody idle and looks at all; nobody is full,
//! but for the last column, where all but one are.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "the answer of a benchmark is what it prints, and it has none where nobody is picked"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spliceway::balance::{Balance, Lineup, Seat, hash_key};

const WAYS: [Balance; 6] = [
    Balance::RoundRobin,
    Balance::LeastConnections,
    Balance::TwoChoices,
    Balance::SourceHash,
    Balance::Maglev,
    Balance::Random,
];

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(30);

/// As large as a server would be at least: two do not share a cache line.
#[repr(align(64))]
struct Server {
    id: u64,
    connections: AtomicU32,
    full: AtomicBool,
}

impl Seat for Server {
    fn id(&self) -> u64 {
        self.id
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

fn main() {
    println!("| balance | servers | weights | ns/pick | 2 threads | one retry | all but one full | new lineup, ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for balance in WAYS {
        for count in [10, 1000, 10_000] {
            for (weights, weight) in [("equal", 1), ("1..=256", 256)] {
                let seats = servers(count, weight);
                let new = build(balance, &seats);
                let lineup = Lineup::new(balance, seats.clone());
                let alone = best(|| picks(&lineup, &[]));
                let two = best(|| both(|| picks(&lineup, &[])));
                let tried = best(|| picks(&lineup, &[seats[count / 3].0.id]));
                for (server, _) in &seats {
                    server.full.store(true, Ordering::Relaxed);
                }
                seats[count / 2].0.full.store(false, Ordering::Relaxed);
                let full = best(|| picks(&lineup, &[]));
                println!(
                    "| {balance:?} | {count} | {weights} | {alone:.0} | {two:.0} | {tried:.0} | {full:.0} | {new:.2} |"
                );
            }
        }
    }
}

fn servers(count: usize, heaviest: u32) -> Vec<(Arc<Server>, u32)> {
    let mut random = fastrand::Rng::with_seed(1);
    let server = |number: usize| {
        let server = Server {
            id: hash_key(format!("192.0.2.{number}:80").as_bytes()),
            connections: AtomicU32::new(random.u32(5..50)),
            full: AtomicBool::new(false),
        };
        (Arc::new(server), random.u32(1..=heaviest))
    };
    (0..count).map(server).collect()
}

fn build(balance: Balance, seats: &[(Arc<Server>, u32)]) -> f64 {
    best(|| {
        let seats = seats.to_vec();
        let begin = Instant::now();
        black_box(Lineup::new(balance, seats));
        begin.elapsed().as_secs_f64() * 1e3
    })
}

fn best(measure: impl Fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds for each.
fn picks(lineup: &Lineup<Server>, tried: &[u64]) -> f64 {
    let mut picks = 0_u64;
    let begin = Instant::now();
    while begin.elapsed() < ROUND {
        for _ in 0..64 {
            picks += 1;
            let key = picks.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            black_box(lineup.pick(Some(key), tried).expect("one is not full"));
        }
    }
    begin.elapsed().as_secs_f64() * 1e9 / picks as f64
}

/// The mean of two threads at once.
fn both(measure: impl Fn() -> f64 + Sync) -> f64 {
    thread::scope(|scope| {
        let other = scope.spawn(&measure);
        let own = measure();
        other.join().map_or(f64::NAN, |other| (own + other) / 2.0)
    })
}

//! What the host itself takes for a filter, in nanoseconds: for a session, for a chunk, for a decision.
//!
//! `cargo bench -p spliceway --bench filters`, after `scripts/build-filters`. Best of five: whatever else the machine does
//! only makes it longer. The guests do next to nothing, so this is what it costs to ask. Chunks are shown to many sessions
//! in turn, as they come in a worker: none finds its memory in the CPU's first cache.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "the answer of a benchmark is what it prints, and it has none without the guests"
)]

use std::hint::black_box;
use std::path::PathBuf;

use serde_json::{Value, json};
use spliceway::bench::{Counting, Loaded, Session, best};

/// Sessions that live at the same time.
const LIVE: u32 = 1000;

const CHUNKS: [usize; 3] = [64, 1 << 10, 16 << 10];

fn main() {
    println!("| what | isolated | shared |");
    println!("| --- | --- | --- |");
    let pass = |shared| loaded("inspector-pass", Value::Null, shared);
    row("a session: opened, 64 bytes, closed", |shared| {
        let filter = pass(shared);
        best(|| {
            let mut session = filter.session().expect("it watches");
            session.show(&filter, &[b'x'; 64])
        })
    });
    for (role, guest) in [("inspected", "inspector-pass"), ("transformed", "transformer-pass")] {
        for size in CHUNKS {
            row(
                &format!("a chunk of {size} bytes, {role}, of {LIVE} sessions"),
                |shared| {
                    let filter = loaded(guest, Value::Null, shared);
                    let mut sessions: Vec<Session> = (0..LIVE).map(|_| filter.session().expect("it watches")).collect();
                    let chunk = vec![b'x'; size];
                    let mut turns = (0..sessions.len()).cycle();
                    best(|| sessions[turns.next().unwrap_or_default()].show(&filter, black_box(&chunk)))
                },
            );
        }
    }
    let router = json!({ "decision": "route", "upstream": "blue" });
    let router = loaded("router-script", router, 1);
    println!(
        "| a router's decision about 64 bytes | {:.0} | |",
        best(|| router.decide(&[b'x'; 64]))
    );
    let counting = Counting::default();
    println!(
        "| what is counted for a chunk | {:.1} | |",
        best(|| black_box(&counting).chunk())
    );
}

/// Nanoseconds where each session has an instance of its own, and where they share one.
fn row(what: &str, measure: impl Fn(u32) -> f64) {
    let (isolated, shared) = (measure(1), measure(LIVE));
    println!("| {what} | {isolated:.0} | {shared:.0} |");
}

fn loaded(guest: &str, config: Value, sessions_per_instance: u32) -> Loaded {
    let guests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let file = guests.join(format!("{guest}.wasm"));
    Loaded::new(&file, config, sessions_per_instance).expect("scripts/build-filters has built the guests")
}

//! What a filter that uses up its time costs a listener that has no filter at all.
//!
//! Both are served by the same worker, which runs one call at a time: whoever is ready meanwhile waits until the call is
//! over. So what a neighbour may wait for is the limit of one call for each connection whose filter loops at that moment. A
//! limit is kept to within two ticks of the engine's clock (host/src/filter/engine.rs), and it is CPU time: on a machine that
//! has other work besides, it takes longer by the clock on the wall. How much longer is measured, and is 1 on one that has not.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spliceway_tests::artifacts::guest;
use spliceway_tests::{Client, Proxy, Upstream, alone, skip};

/// Of one call, as it is unless somebody says otherwise.
const CALL: Duration = Duration::from_millis(20);

/// What the engine needs to notice that it is over: two ticks, and of the six in a call each comes a little late.
const TICKS: Duration = Duration::from_millis(11);

/// Where CPU time takes so much longer than that, the machine is busy with something else, and figures say nothing of us.
const BUSY: f64 = 1.5;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);

/// A client of the listener without a filter asks so often, whether the last answer took long or not.
const PACE: Duration = Duration::from_millis(2);

#[test]
fn a_filter_that_loops_costs_another_listener_the_limit_of_a_call_and_no_more() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let config = format!(
        "workers = 1\n[filters.wild]\nsource = \"{}\"\nconfig = {{ how = \"loop\", when = \"misbehave\" }}\n\
         limits.call = \"{}ms\"\n[upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"hostile\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n\
         [[listeners]]\nname = \"native\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n",
        guest("misbehave").display(),
        CALL.as_millis(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).log_level("warn,spliceway=info").start();
    for loops_at_once in [1, 3] {
        // Without and with by turns, so that what the machine does besides is in both.
        let (mut without, mut with) = (Vec::new(), Vec::new());
        let mut stretched: f64 = 1.0;
        for _ in 0..ROUNDS {
            without.push(tail(&asked(&proxy, ROUND)));
            let over = AtomicBool::new(false);
            with.push(thread::scope(|scope| {
                for _ in 0..loops_at_once {
                    scope.spawn(|| misbehave(&proxy, &over));
                }
                let tail = tail(&asked(&proxy, ROUND));
                over.store(true, Ordering::Relaxed);
                tail
            }));
            stretched = stretched.max(stretch());
        }
        let (without, with) = (median(without), median(with));
        let most = without.mul_f64(1.2) + ((CALL + TICKS) * loops_at_once).mul_f64(stretched);
        println!(
            "{loops_at_once} at once: p99 {without:?} without, {with:?} with, at most {most:?}; \
             CPU time takes {stretched:.2} of its time"
        );
        if stretched > BUSY {
            skip!("this machine has too much to do");
        }
        assert!(with <= most, "{loops_at_once} at once: {with:?}, at most {most:?}");
        assert!(with > CALL / 2, "nobody looped: {with:?}");
    }
}

/// How much longer work takes than the CPU time that it needs, as long as one call and what notices its end.
fn stretch() -> f64 {
    let worked = || {
        let counted = fs::read_to_string("/proc/thread-self/schedstat").expect("a thread has its statistics");
        let nanoseconds = counted.split(' ').next().and_then(|time| time.parse().ok());
        Duration::from_nanos(nanoseconds.expect("the time that it ran comes first"))
    };
    let (begun, before) = (Instant::now(), worked());
    while worked() - before < CALL + TICKS {}
    begun.elapsed().as_secs_f64() / (worked() - before).as_secs_f64()
}

/// One connection after another whose filter loops until it is stopped.
fn misbehave(proxy: &Proxy, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut client = Client::connect(proxy.listener("hostile"));
        client.try_send(b"misbehave").ok();
        client.expect_closed();
    }
}

/// How long each answer took.
fn asked(proxy: &Proxy, during: Duration) -> Vec<Duration> {
    let mut client = Client::connect(proxy.listener("native"));
    let until = Instant::now() + during;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        client.send(b"ping");
        client.expect(b"ping");
        let took = begun.elapsed();
        times.push(took);
        thread::sleep(PACE.saturating_sub(took));
    }
    times
}

/// The 99th percentile.
fn tail(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

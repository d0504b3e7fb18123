//! All that is done to a proxy while it serves, one after the other, and what people do with it meanwhile: a benchmark, one
//! long transfer, and a thousand sessions that say nothing. None of them is to notice anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use spliceway_tests::bytes::pattern;
use spliceway_tests::command::run;
use spliceway_tests::servers::Redis;
use spliceway_tests::service::{PATIENCE, Service, connected, pid};
use spliceway_tests::{Client, Peer, Upstream, alone, eventually};

/// That the long transfer moves at the least; it goes on until everything has been done to the proxy.
const BULK: u64 = 10 << 30;

/// What the server of the long transfer sends again and again.
const CHUNK: usize = 1 << 20;

const SESSIONS: usize = 1000;

/// The second time, everything is done to a process that has taken over itself.
const ROUNDS: usize = 2;

/// Tests share a machine with what they test: a session has a descriptor here, two in a proxy, and one at its server, which is
/// here as well.
const DESCRIPTORS: u64 = 8192;

#[test]
fn a_benchmark_ten_gibibytes_and_a_thousand_sessions_outlive_reloads_upgrades_and_processes_that_are_killed() {
    let _alone = alone();
    raise_the_descriptor_limit();
    let redis = Redis::start();
    let echo = Upstream::echo();
    let over = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let source = Upstream::listen().serving({
        let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
        move |peer| pour(peer, &over, &sent)
    });
    let service = Service::run(|place| {
        format!(
            "workers = 2\n\
             process = {{ upgrade-socket = \"{place}/upgrade.sock\", upgrade-timeout = \"8s\" }}\n\
             admin = {{ listen = \"unix:{place}/admin.sock\" }}\n\
             metrics = {{ address = \"unix:{place}/metrics\" }}\n\
             {}{}{}",
            listener("redis", &redis.address()),
            listener("bulk", source.address()),
            listener("idle", echo.address()),
        )
    });
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| connected(service.address("idle"))).collect();
    let (benchmarks, received) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let benchmark = scope.spawn(|| run_benchmarks(port(service.address("redis")), &over, &benchmarks));
        let bulk = scope.spawn(|| drink(service.address("bulk"), &received));
        // Whatever fails here, the two threads are to end.
        let done = scope.spawn(|| do_everything(&service, &benchmarks)).join();
        over.store(true, Ordering::Relaxed);
        sessions.extend(done.expect("everything could be done"));
        benchmark.join().expect("no benchmark has lost a connection");
        bulk.join().expect("every byte has come");
    });
    eventually("the server has seen the end of the long transfer", || {
        (sent.load(Ordering::Relaxed) == received.load(Ordering::Relaxed)).then_some(())
    });
    assert!(received.load(Ordering::Relaxed) >= BULK);
    assert_eq!(service.processes().len(), ROUNDS + 1, "each has sessions");
    for session in &mut sessions {
        session.send(b"still here");
        session.expect(b"still here");
    }
    eprintln!(
        "{} benchmarks and {} MiB meanwhile",
        benchmarks.into_inner(),
        received.into_inner() >> 20
    );
}

/// Every way in which a configuration or a process takes the place of another, or fails to. Returns a session for each process
/// that took over.
fn do_everything(service: &Service, benchmarks: &AtomicU64) -> Vec<Peer> {
    let load_goes_on = || {
        let before = benchmarks.load(Ordering::Relaxed);
        eventually("another benchmark is through", || {
            (benchmarks.load(Ordering::Relaxed) > before).then_some(())
        });
        drop(connected(service.address("idle")));
    };
    let config = service.config();
    let mut sessions = Vec::new();
    for _ in 0..ROUNDS {
        // Another listener, other timeouts, another share for each server.
        let other = format!(
            "{}{}",
            config
                .replace("weight = 1", "weight = 2")
                .replace("idle = \"1h\"", "idle = \"2h\""),
            listener("another", "127.0.0.1:1")
        );
        reload(service, &other, "configuration reloaded");
        load_goes_on();
        reload(
            service,
            "this is no configuration",
            "configuration rejected: the one before serves on",
        );
        load_goes_on();
        reload(service, &config, "configuration reloaded");
        load_goes_on();
        // New processes that fail at each of their steps.
        for fault in ["begun:kill", "inherited:kill", "serving:panic"] {
            let (step, what) = fault.split_once(':').expect("a step and a fault");
            let binary = service.faulty(step, what).display().to_string();
            let said = service.upgrade(&["--binary", &binary]);
            assert_eq!(said.code(), Some(1), "{fault}: {}", said.stderr);
        }
        load_goes_on();
        // One that somebody kills when it has the sockets and does not serve yet.
        let hangs = service.faulty("serving", "hang").display().to_string();
        let before = service.newest();
        thread::scope(|scope| {
            let asking = scope.spawn(|| service.upgrade(&["--binary", &hangs]));
            let hanging = eventually("it is started", || {
                Some(service.newest()).filter(|newest| *newest != before)
            });
            kill_process(pid(hanging), Signal::KILL).expect("it runs");
            assert_eq!(asking.join().expect("it is answered").code(), Some(1));
        });
        load_goes_on();
        // And those that take over: the second time, from one that has taken over itself.
        service.upgraded();
        sessions.push(connected(service.address("idle")));
        load_goes_on();
    }
    sessions
}

/// By the newest process, as its log says.
#[track_caller]
fn reload(service: &Service, config: &str, outcome: &str) {
    service.configure(config);
    let before = service.proxy.logged(outcome).len();
    kill_process(pid(service.serving()), Signal::HUP).expect("it runs");
    eventually(outcome, || (service.proxy.logged(outcome).len() > before).then_some(()));
}

fn listener(name: &str, server: &str) -> String {
    format!(
        "[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nupstream = \"{name}\"\ntimeouts = {{ idle = \"1h\" }}\n\
         [upstreams.{name}]\nservers = [{{ address = \"{server}\", weight = 1 }}]\n"
    )
}

fn run_benchmarks(port: u16, over: &AtomicBool, count: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        let arguments = ["-t", "set,get", "-n", "5000", "-c", "20", "-q"];
        let finished = run(&mut Redis::benchmark(port, &arguments), PATIENCE);
        assert!(finished.stderr.is_empty(), "{}", finished.stderr);
        let said = finished.success();
        assert!(said.contains("SET: ") && said.contains("GET: "), "{said}");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends the same mebibyte until it has been enough and all is over, and says how much that was when it has come to a good end.
fn pour(mut peer: Peer, over: &AtomicBool, sent: &AtomicU64) {
    let chunk = pattern(8, CHUNK);
    let mut so_far = 0;
    while so_far < BULK || !over.load(Ordering::Relaxed) {
        // A client that is gone says so itself.
        if peer.try_send(&chunk).is_err() {
            return;
        }
        so_far += chunk.len() as u64;
    }
    peer.half_close();
    peer.expect_eof();
    sent.store(so_far, Ordering::Relaxed);
}

fn drink(address: &str, received: &AtomicU64) {
    let expected = pattern(8, CHUNK);
    let mut client = Client::connect(address);
    while let Some(chunk) = client.try_receive(CHUNK) {
        let so_far = received.fetch_add(CHUNK as u64, Ordering::Relaxed);
        assert!(
            chunk == expected,
            "other bytes than were sent, within a mebibyte after {so_far}"
        );
    }
    client.half_close();
}

fn port(address: &str) -> u16 {
    let port = address.rsplit_once(':').map(|(_, port)| port);
    port.and_then(|port| port.parse().ok()).expect("an address of TCP")
}

/// Of this process, and of the proxies that it starts.
fn raise_the_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: Some(
            DESCRIPTORS
                .max(limit.current.unwrap_or(u64::MAX))
                .min(limit.maximum.unwrap_or(u64::MAX)),
        ),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted).expect("as many as the machine allows");
}

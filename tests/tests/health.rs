//! Health: servers that are killed, paused and started again under load, and who notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spliceway_tests::ports::Port;
use spliceway_tests::servers::{Postgres, Redis};
use spliceway_tests::{Client, Event, Peer, Proxy, Upstream, alone, eventually};

/// Asks often, so that a test does not take long.
const OFTEN: &str = "interval = \"300ms\", fast-interval = \"100ms\", timeout = \"90ms\", rise = 2, fall = 2";

// ---- real servers ----

#[test]
fn redis_servers_that_crash_hang_and_return_cost_no_new_session() {
    let _alone = alone();
    let mut servers = [Redis::start(), Redis::start()];
    let addresses = [servers[0].address(), servers[1].address()];
    let ping = r"send = 'PING\r\n', expect = '+PONG'";
    let proxy = of(&addresses, &format!("health = {{ {OFTEN}, {ping} }}"));
    both_up(&proxy, &addresses);

    let sessions = Sessions::of_redis(proxy.address());
    sessions.go_on();
    assert_eq!(sessions.failed(), 0);

    // A crash: it refuses at once, so retries cover even the time before it is noticed. The session that it had is lost.
    servers[0].kill();
    proxy.wait_for("server down", is(&addresses[0]));
    let lost = sessions.failed();
    assert!(lost <= 1, "{lost} sessions failed");
    sessions.go_on();
    servers[0].restart();
    wait_for_times(&proxy, "server up", &addresses[0], 2);
    sessions.go_on();

    // A server that hangs accepts for as long as its backlog lasts: the session that began before it was noticed waits.
    servers[1].pause();
    proxy.wait_for("server down", is(&addresses[1]));
    servers[1].resume();
    wait_for_times(&proxy, "server up", &addresses[1], 2);
    sessions.go_on();

    // One line for each transition, and no more.
    assert_eq!(lines(&proxy, "server down", &addresses[0]).len(), 1);
    assert_eq!(lines(&proxy, "server down", &addresses[1]).len(), 1);
    let reason = lines(&proxy, "server down", &addresses[1])[0].text("reason").to_owned();
    assert!(reason.contains("90ms") || reason.contains("timed out"), "{reason}");
    let (done, failed) = sessions.end();
    eprintln!("{done} sessions, {failed} failed, {lost} of them because their server crashed");
    assert_eq!(failed, lost);
}

#[test]
fn postgresql_that_crashes_and_returns_costs_no_new_session() {
    let _alone = alone();
    let mut servers = [Postgres::start(), Postgres::start()];
    let addresses = [servers[0].address(), servers[1].address()];
    // A bare connection is enough to see a crash. PostgreSQL logs each, as an incomplete startup packet.
    let proxy = of(&addresses, &format!("health = {{ {OFTEN} }}"));
    both_up(&proxy, &addresses);
    servers[0].kill();
    let mut done = 0;
    while lines(&proxy, "server down", &addresses[0]).is_empty() {
        Postgres::psql(proxy.port(), "postgres", "select 1").success();
        done += 1;
    }
    for _ in 0..5 {
        Postgres::psql(proxy.port(), "postgres", "select 1").success();
    }
    servers[0].restart();
    wait_for_times(&proxy, "server up", &addresses[0], 2);
    // It is up for connections a moment before it is up for questions.
    eventually("both answer", || {
        let answers = |server: &Postgres| Postgres::psql(server.port(), "postgres", "select 1").status.success();
        servers.iter().all(answers).then_some(())
    });
    for _ in 0..6 {
        Postgres::psql(proxy.port(), "postgres", "select 1").success();
    }
    eprintln!("{done} sessions before the crash was noticed");
}

// ---- what a check is ----

#[test]
fn a_client_that_comes_before_the_first_check_waits_for_it() {
    let server = Upstream::named("alive");
    let proxy = of(&[server.address()], &format!("health = {{ {OFTEN} }}"));
    Client::connect(proxy.address()).expect(b"alive");
}

#[test]
fn a_server_that_answers_something_else_is_down() {
    let wrong = Upstream::named("-LOADING dataset");
    let right = Upstream::named("+OK ready");
    let addresses = [wrong.address().to_owned(), right.address().to_owned()];
    let proxy = of(&addresses, &format!("health = {{ {OFTEN}, expect = '+OK' }}"));
    let down = proxy.wait_for("server down", is(&addresses[0]));
    assert!(down.text("reason").contains("-LOADING"), "{down}");
    proxy.wait_for("server up", is(&addresses[1]));
    for _ in 0..4 {
        Client::connect(proxy.address()).expect(b"+OK ready");
    }
}

#[test]
fn backups_are_for_when_no_other_server_is_up() {
    let backup = Upstream::named("backup");
    let port = Port::reserve();
    let primary = format!("127.0.0.1:{}", port.number());
    let proxy = proxy(&format!(
        "servers = [\"{primary}\", {{ address = \"{}\", backup = true }}]\nhealth = {{ {OFTEN} }}",
        backup.address()
    ));
    proxy.wait_for("server down", is(&primary));
    Client::connect(proxy.address()).expect(b"backup");
    let redis = Redis::start_at(port);
    proxy.wait_for("server up", is(&redis.address()));
    let mut client = Client::connect(proxy.address());
    client.send(b"PING\r\n");
    client.expect(b"+PONG\r\n");
}

#[test]
fn where_nobody_is_up_clients_are_told_at_once_and_where_that_is_wanted_all_are_tried() {
    for (keys, served) in [("", false), ("panic = \"50%\"", true)] {
        let server = Upstream::named("ill");
        let addresses = [server.address().to_owned()];
        let proxy = of(&addresses, &format!("{keys}\nhealth = {{ {OFTEN}, expect = 'well' }}"));
        proxy.wait_for("server down", is(&addresses[0]));
        let mut client = Client::connect(proxy.address());
        if served {
            client.expect(b"ill");
        } else {
            client.expect_eof();
            client.half_close();
            assert_eq!(proxy.ended(&client).outcome, "connect.no-server.proxy");
        }
    }
}

// ---- what becomes of a server's connections when it goes down ----

#[test]
fn connections_of_a_server_that_is_down_stay_or_drain_or_end() {
    for (on_down, outcome) in [
        ("keep", None),
        ("drain", Some("relay.server-down.upstream")),
        ("kill", Some("relay.server-down.upstream")),
    ] {
        let well = Arc::new(AtomicBool::new(true));
        let server = Upstream::listen().serving({
            let well = Arc::clone(&well);
            move |mut peer: Peer| {
                peer.send(if well.load(Ordering::SeqCst) { b"well" } else { b"ill!" });
                while let Some(byte) = peer.try_receive(1) {
                    peer.send(&byte);
                }
            }
        });
        let addresses = [server.address().to_owned()];
        let proxy = of(
            &addresses,
            &format!("on-down = \"{on_down}\"\nhealth = {{ {OFTEN}, expect = 'well' }}"),
        );
        let mut client = Client::connect(proxy.address());
        client.expect(b"well");
        well.store(false, Ordering::SeqCst);
        proxy.wait_for("server down", is(&addresses[0]));
        match outcome {
            None => {
                client.send(b"?");
                client.expect(b"?");
            }
            Some(outcome) => {
                client.expect_eof();
                client.half_close();
                assert_eq!(proxy.ended(&client).outcome, outcome, "{on_down}");
            }
        }
    }
}

// ---- what connections tell ----

#[test]
fn a_server_that_resets_connections_is_left_alone_for_a_while_and_then_tried_again() {
    let well = Arc::new(AtomicBool::new(false));
    let moody = Upstream::listen().serving({
        let well = Arc::clone(&well);
        move |mut peer: Peer| {
            if well.load(Ordering::SeqCst) {
                peer.send(b"moody");
                peer.hear_out();
            } else {
                peer.reset();
            }
        }
    });
    let server = Upstream::named("alive");
    let addresses = [moody.address().to_owned(), server.address().to_owned()];
    let proxy = of(
        &addresses,
        "passive = { failures = 3, ejection = \"1s\", longest-ejection = \"4s\" }",
    );
    // The fault of a reset is not repaired: it is counted, three times.
    let mut resets = 0;
    while lines(&proxy, "server ejected", &addresses[0]).is_empty() {
        let mut client = Client::connect(proxy.address());
        match client.try_receive(5) {
            None => resets += 1,
            Some(bytes) => assert_eq!(bytes, b"alive"),
        }
    }
    assert_eq!(resets, 3);
    let begun = Instant::now();
    for _ in 0..6 {
        Client::connect(proxy.address()).expect(b"alive");
    }
    well.store(true, Ordering::SeqCst);
    proxy.wait_for("server returns", is(&addresses[0]));
    assert!(begun.elapsed() > Duration::from_millis(500));
    let both: Vec<_> = (0..4).map(|_| Client::connect(proxy.address()).receive(5)).collect();
    assert!(both.contains(&b"moody".to_vec()), "{both:?}");
}

#[test]
fn a_client_that_goes_away_is_not_its_server_s_fault() {
    let server = Upstream::listen();
    let proxy = of(&[server.address()], "passive = { failures = 1, ejection = \"60s\" }");
    for _ in 0..4 {
        let client = Client::connect(proxy.address());
        let served = server.accept();
        let local = client.local().to_owned();
        client.reset();
        proxy.all_ended_from(&local, 1);
        drop(served);
    }
    assert!(proxy.logged("server ejected").is_empty());
}

// ---- the scenes ----

fn proxy(keys: &str) -> Proxy {
    Proxy::run(&format!(
        "[upstreams.only]\n{keys}\n[[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n"
    ))
    .start()
}

fn of(addresses: &[impl AsRef<str>], keys: &str) -> Proxy {
    let addresses: Vec<_> = addresses.iter().map(AsRef::as_ref).collect();
    proxy(&format!("servers = {addresses:?}\n{keys}"))
}

fn is(server: &str) -> impl Fn(&Event) -> bool {
    move |event| event.text("server") == server
}

fn lines(proxy: &Proxy, message: &str, server: &str) -> Vec<Event> {
    let mut lines = proxy.logged(message);
    lines.retain(is(server));
    lines
}

fn wait_for_times(proxy: &Proxy, message: &str, server: &str, times: usize) {
    eventually(&format!("{message} for the {times}. time"), || {
        (lines(proxy, message, server).len() >= times).then_some(())
    });
}

fn both_up(proxy: &Proxy, addresses: &[String]) {
    for address in addresses {
        proxy.wait_for("server up", is(address));
    }
}

/// Clients that come, ask one thing, and go, one after the other, for as long as this lives.
struct Sessions {
    done: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Sessions {
    fn of_redis(address: &str) -> Self {
        let [done, failed] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (done, failed, over, address) = (done.clone(), failed.clone(), over.clone(), address.to_owned());
            move || {
                while !over.load(Ordering::SeqCst) {
                    let mut client = Client::connect(&address);
                    let asked = client.try_send(b"PING\r\n").is_ok();
                    let answered = asked && client.try_receive(7).is_some_and(|answer| answer == b"+PONG\r\n");
                    if answered { &done } else { &failed }.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            done,
            failed,
            over,
            thread,
        }
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    /// Some more come through.
    fn go_on(&self) {
        let before = self.done.load(Ordering::SeqCst);
        eventually("sessions go on", || {
            (self.done.load(Ordering::SeqCst) > before + 20).then_some(())
        });
    }

    fn end(self) -> (usize, usize) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("sessions end");
        (self.done.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

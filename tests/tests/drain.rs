//! The drain: from SIGTERM to the end of the process. Nobody new comes, who is idle goes in his turn, who is busy has
//! until the hard end, and the exit code tells whether somebody was cut off.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::listen;
use rustix::process::Signal;
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::pattern;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, alone, eventually};

const MIB: usize = 1 << 20;

/// What is to happen at once has happened by then: far from the seconds of the deadlines that it must not wait for.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Every way of sharing a listener among workers.
const ACCEPT: [&str; 3] = ["groups", "per-worker", "shared"];

/// Deadlines that no test reaches.
const FAR_AWAY: &str = r#"soft = "60s", hard = "120s""#;

// ---- the exit codes ----
const FINISHED: Option<i32> = Some(0);
const CUT_OFF: Option<i32> = Some(3);
const HURRIED: Option<i32> = Some(4);

// ---- nobody new ----

#[test]
fn who_waits_in_the_accept_queue_is_still_served() {
    for accept in ACCEPT {
        let upstream = Upstream::echo();
        // The proxy connects all of them at once. Whom the upstream has no place for would come back a second later.
        listen(&upstream, 1000).expect("a listening socket can be given a longer queue");
        let config = config(FAR_AWAY, &format!("accept = \"{accept}\""), upstream.address());
        let mut proxy = Proxy::run(&config).start();
        // More than a worker accepts in one go.
        proxy.freeze();
        let mut clients: Vec<Peer> = (0..300).map(|_| Client::connect(proxy.address())).collect();
        proxy.signal(Signal::TERM);
        proxy.thaw();
        for client in &mut clients {
            client.send(b"hello");
            client.expect(b"hello");
        }
        drop(clients);
        assert_eq!(proxy.wait().code(), FINISHED, "{accept}");
    }
}

#[test]
fn new_connections_are_refused_though_they_keep_coming() {
    let _alone = alone();
    for accept in ACCEPT {
        let upstream = Upstream::echo();
        // Those who keep coming are sent away at once, so that they do not wait for one another.
        let (_port, nobody) = Upstream::refusing();
        let accept = format!("accept = \"{accept}\"");
        let more = format!(
            "[upstreams.none]\nservers = [\"{nobody}\"]\n\
             [[listeners]]\nname = \"crowd\"\naddress = \"127.0.0.1:0\"\nupstream = \"none\"\n{accept}\n"
        );
        let proxy = Proxy::run(&(config(FAR_AWAY, &accept, upstream.address()) + &more)).start();
        // One connection lives on, so that it is not the end of the process that refuses the others.
        let mut lasting = Client::connect(proxy.listener("front"));
        lasting.send(b"x");
        lasting.expect(b"x");
        let crowd = proxy.listener("crowd").to_owned();
        let mut drained = Drained::of(proxy, upstream);
        let told = drained.told;
        let last = thread::scope(|scope| {
            let coming: Vec<_> = (0..8).map(|_| scope.spawn(|| last_let_in(&crowd, told))).collect();
            let last = coming
                .into_iter()
                .map(|thread| thread.join().expect("it is refused at last"));
            last.max().expect("there are eight")
        });
        assert!(
            last < Duration::from_secs(1),
            "{accept}: one that began {last:?} later was let in"
        );
        lasting.send(b"y");
        lasting.expect(b"y");
        drop(lasting);
        drained.ends_with(FINISHED);
    }
}

/// Connects again and again until that is refused, and says when the last connection began that was not.
#[track_caller]
fn last_let_in(address: &str, told: Instant) -> Duration {
    let mut last = Duration::ZERO;
    loop {
        let begun = told.elapsed();
        assert!(begun < DEADLINE, "it is never refused");
        match Client::try_connect(address) {
            Ok(_) => last = begun,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return last,
            // Accepted, and reset when the queue was closed; or this machine has run out of ports for a moment.
            Err(_) => {}
        }
    }
}

// ---- the end, when nobody is left ----

#[test]
fn without_connections_a_drain_is_over_at_once() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(FAR_AWAY, "", upstream.address())).start();
    let mut drained = Drained::of(proxy, upstream);
    drained.ends_with(FINISHED);
    drained.took_less_than(AT_ONCE);
}

#[test]
fn a_drain_is_over_when_the_last_connection_has_ended_by_itself() {
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&config(FAR_AWAY, "", upstream.address())).start();
    let mut clients: Vec<Peer> = (0..10).map(|_| Client::connect(proxy.address())).collect();
    for client in &mut clients {
        client.send(b"x");
        client.expect(b"x");
    }
    let mut drained = Drained::of(proxy, upstream);
    drained.refuses_new_ones();
    // They may finish what they are at, and take their time.
    let mut last = clients.pop().expect("there are ten");
    drop(clients);
    drained.proxy.all_ended(9);
    assert!(drained.proxy.is_running());
    last.send(b"still here");
    last.expect(b"still here");
    drop(last);
    drained.ends_with(FINISHED);
    drained.took_less_than(AT_ONCE);
}

// ---- soft: who is idle ----

#[test]
fn who_is_idle_is_told_so_by_a_fin_at_some_time_between_soft_and_the_end_of_the_spread() {
    let upstream = Upstream::echo();
    let drain = r#"soft = "1s", spread = "1s", hard = "60s""#;
    let mut proxy = Proxy::run(&config(drain, "", upstream.address())).start();
    let mut clients: Vec<Peer> = (0..40).map(|_| Client::connect(proxy.address())).collect();
    for client in &mut clients {
        client.send(b"x");
        client.expect(b"x");
    }
    let told = Instant::now();
    proxy.signal(Signal::TERM);
    let mut ends: Vec<Duration> = thread::scope(|scope| {
        let waiting: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    client.hears_fin();
                    told.elapsed()
                })
            })
            .collect();
        waiting
            .into_iter()
            .map(|thread| thread.join().expect("it hears a FIN"))
            .collect()
    });
    assert_eq!(proxy.wait().code(), FINISHED);
    let outcomes = proxy.all_ended(40);
    assert!(
        outcomes.iter().all(|ended| ended.outcome == "relay.drained.proxy"),
        "{outcomes:?}"
    );

    ends.sort_unstable();
    // The proxy's clock may be one tick of 10 ms behind.
    assert!(ends[0] >= Duration::from_millis(985), "{ends:?}");
    assert!(ends[39] < Duration::from_secs(20), "{ends:?}");
    // Their share for each quarter of the spread, and a few more: a machine that stands still for a while makes them
    // late, not early.
    for quarter in 1..4 {
        let until = Duration::from_millis(1000 + 250 * quarter);
        let gone = ends.iter().filter(|end| **end < until).count();
        assert!(gone <= 14 * quarter as usize, "{gone} before {until:?}: {ends:?}");
    }
    assert!(ends[39] - ends[0] > Duration::from_millis(600), "{ends:?}");
}

#[test]
fn both_peers_of_an_idle_connection_are_told_and_may_say_goodbye() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(
        r#"soft = "1ms", spread = "0", hard = "60s""#,
        "",
        upstream.address(),
    ))
    .start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    let mut drained = Drained::of(proxy, upstream);
    client.hears_fin();
    server.hears_fin();
    // What they say now has nobody to go to, and is no reason for a RST either.
    client.send(b"goodbye");
    server.send(b"goodbye");
    client.half_close();
    server.half_close();
    assert_eq!(drained.proxy.ended(&client).outcome, "relay.drained.proxy");
    for peer in [&mut client, &mut server] {
        peer.hears_fin();
    }
    drained.ends_with(FINISHED);
}

#[test]
fn who_is_busy_outlives_soft_and_is_ended_at_hard() {
    let upstream = Upstream::echo();
    let drain = r#"soft = "1ms", spread = "0", hard = "2500ms""#;
    let proxy = Proxy::run(&config(drain, "", upstream.address())).start();
    let [mut idle, mut busy] = [(); 2].map(|()| Client::connect(proxy.address()));
    busy.send(b".");
    busy.expect(b".");
    let idle_is_told = AtomicBool::new(false);
    let mut drained = Drained::of(proxy, upstream);

    let outlived = thread::scope(|scope| {
        scope.spawn(|| {
            idle.hears_fin();
            idle_is_told.store(true, Ordering::Release);
            drop(idle);
        });
        let mut outlived = 0;
        while busy.try_send(b".").is_ok() && busy.try_receive(1).is_some() {
            outlived += usize::from(idle_is_told.load(Ordering::Acquire));
            // The scene itself: somebody who has something to say now and then.
            thread::sleep(Duration::from_millis(50));
        }
        outlived
    });
    assert!(
        outlived >= 5,
        "it was answered {outlived} times after the idle one was told to go"
    );
    assert_eq!(drained.proxy.ended(&busy).outcome, "relay.drain-over.proxy");
    drop(busy);
    drained.ends_with(CUT_OFF);
    assert!(
        drained.told.elapsed() >= Duration::from_millis(2480),
        "{:?}",
        drained.told.elapsed()
    );
}

#[test]
fn who_is_in_the_middle_of_an_answer_is_not_idle_though_he_takes_nothing_of_it() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let drain = r#"soft = "1ms", spread = "0", hard = "60s""#;
    let proxy = Proxy::run(&config(drain, "", upstream.address())).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    // More than the kernel keeps for him.
    let answer = pattern(1, 16 * MIB);
    let mut idle = Client::connect(proxy.address());
    let mut idle_server = upstream.accept();
    let mut drained = Drained::of(proxy, upstream);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.send(&answer);
            server.half_close();
        });
        // The idle one is told to go, and does not: it is ended a second later, and so would be the other one.
        idle.hears_fin();
        idle_server.hears_fin();
        drained.proxy.ended(&idle);
        client.hear_out().is_whole(&answer);
    });
    drop(client);
    drained.ends_with(FINISHED);
}

// ---- hard: who is left ----

/// What was read was as good as delivered, as far as its sender knows.
#[test]
fn at_the_hard_end_a_slow_reader_still_gets_what_was_read_for_it() {
    let _alone = alone();
    thread::scope(|scope| {
        for way in [Way::Copied, Way::Spliced, Way::Filtered] {
            scope.spawn(move || gets_what_was_read(way));
        }
    });
}

#[track_caller]
fn gets_what_was_read(way: Way) {
    let upstream = Upstream::listen();
    let drain = r#"soft = "1ms", spread = "0", hard = "300ms""#;
    let config = config(drain, way.filters(), upstream.address()) + &way.filter();
    let proxy = Proxy::run(&config).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"?");
    server.expect(b"?");
    if let Way::Copied = way {
        // No descriptor, no pipe.
        proxy.forbid_new_descriptors();
    }
    let answer = pattern(2, 32 * MIB);
    let sent = server.send_until_blocked(&answer) as u64;
    let queues = Queues::of(&client, &server);
    let read = sent - queues.not_acknowledged_to_the_server - queues.not_read_by_the_proxy;
    let passed_on = queues.not_acknowledged_by_the_client + queues.not_read_by_the_client;
    // The bytes between are in the proxy's memory, or in a pipe of its.
    assert!(read > passed_on, "{way:?}: {queues:?}");

    let mut drained = Drained::of(proxy, upstream);
    // The end has begun when the upstream is told so.
    server.hears_fin();
    let heard = client.hear_out_slowly(64 << 10, Duration::from_millis(1));
    heard.is_whole(&answer[..read as usize]);
    let transfer = drained.proxy.ended(&client);
    assert_eq!(transfer.outcome, "relay.drain-over.proxy");
    assert_eq!(transfer.down(), read, "{transfer:?}");
    assert_eq!(transfer.down_spliced > 0, way == Way::Spliced, "{transfer:?}");
    assert_eq!(transfer.down_filtered > 0, way == Way::Filtered, "{transfer:?}");
    drained.ends_with(CUT_OFF);
}

#[test]
fn at_the_hard_end_who_reads_nothing_is_not_made_to_believe_that_it_was_everything() {
    let _alone = alone();
    let drain = r#"soft = "1ms", spread = "0", hard = "300ms""#;
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(drain, "", upstream.address())).start();
    let mut client = Client::connect_narrow(proxy.address());
    let mut server = upstream.accept();
    let answer = pattern(3, 32 * MIB);
    server.send_until_blocked(&answer);
    let mut drained = Drained::of(proxy, upstream);
    drained.ends_with(CUT_OFF);
    drained.took_less_than(AT_ONCE);
    client.hear_out().is_cut_off(&answer);
}

#[test]
fn at_the_hard_end_who_has_no_upstream_yet_is_ended_too() {
    let nobody = Upstream::unanswering();
    let timeouts = r#"timeouts = { connect = "0" }"#;
    let drain = r#"soft = "1ms", spread = "0", hard = "300ms""#;
    let proxy = Proxy::run(&config(drain, timeouts, nobody.address())).start();
    let mut client = Client::connect(proxy.address());
    let mut drained = Drained::of(proxy, nobody);
    client.expect_closed();
    drained.ends_with(CUT_OFF);
    // A little later than the others, which is said in server/mod.rs.
    drained.took_less_than(Duration::from_secs(5));
    assert_eq!(drained.proxy.ended(&client).outcome, "connect.interrupted.proxy");
}

#[test]
fn at_the_hard_end_who_waits_for_a_place_is_ended_too() {
    let upstream = Upstream::echo();
    let limits = r#"limits = { connections = 1, at-limit = "delay" }"#;
    let drain = r#"soft = "0", hard = "300ms""#;
    let proxy = Proxy::run(&config(drain, limits, upstream.address())).start();
    let mut served = Client::connect(proxy.address());
    served.send(b"x");
    served.expect(b"x");
    let mut waiting = Client::connect(proxy.address());
    waiting.send(b"x");
    let mut drained = Drained::of(proxy, upstream);
    for client in [&mut served, &mut waiting] {
        client.expect_closed();
    }
    drained.ends_with(CUT_OFF);
    drained.took_less_than(Duration::from_secs(5));
}

// ---- twice ----

#[test]
fn told_twice_it_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let upstream = Upstream::listen();
        let proxy = Proxy::run(&config(FAR_AWAY, "", upstream.address())).start();
        let mut client = Client::connect(proxy.address());
        client.send(b"hello");
        let mut server = upstream.accept();
        server.expect(b"hello");
        let mut drained = Drained::of(proxy, upstream);
        // Two signals of a kind are one until the first has been heard of.
        drained.refuses_new_ones();
        drained.proxy.signal(signal);
        client.expect_closed();
        server.expect_closed();
        drained.ends_with(HURRIED);
        drained.took_less_than(AT_ONCE);
        assert_eq!(drained.proxy.ended(&client).outcome, "relay.interrupted.proxy");
    }
}

// ---- the scenes ----

/// A proxy that has been told to end.
struct Drained {
    proxy: Proxy,
    told: Instant,
    _upstream: Upstream,
}

impl Drained {
    fn of(proxy: Proxy, upstream: Upstream) -> Self {
        let told = Instant::now();
        proxy.signal(Signal::TERM);
        Self {
            proxy,
            told,
            _upstream: upstream,
        }
    }

    #[track_caller]
    fn refuses_new_ones(&self) {
        eventually("new connections are refused", || {
            Client::try_connect(self.proxy.address()).is_err().then_some(())
        });
    }

    #[track_caller]
    fn ends_with(&mut self, code: Option<i32>) {
        assert_eq!(self.proxy.wait().code(), code);
    }

    #[track_caller]
    fn took_less_than(&self, time: Duration) {
        let took = self.told.elapsed();
        assert!(took < time, "it took {took:?}");
    }
}

/// One listener, with more to it, in front of one server.
fn config(drain: &str, listener: &str, upstream: &str) -> String {
    format!(
        "drain = {{ {drain} }}\n\
         [upstreams.only]\nservers = [\"{upstream}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n{listener}\n"
    )
}

/// How the bytes of an answer are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Copied,
    Spliced,
    Filtered,
}

impl Way {
    fn filters(self) -> &'static str {
        match self {
            Self::Copied | Self::Spliced => "",
            Self::Filtered => "filters = [\"pass\"]",
        }
    }

    fn filter(self) -> String {
        match self {
            Self::Copied | Self::Spliced => String::new(),
            Self::Filtered => format!("[filters.pass]\nsource = \"{}\"\n", guest("inspector-pass").display()),
        }
    }
}

/// What the kernel keeps of an answer on its way.
#[derive(Debug)]
struct Queues {
    not_acknowledged_to_the_server: u64,
    not_read_by_the_proxy: u64,
    not_acknowledged_by_the_client: u64,
    not_read_by_the_client: u64,
}

impl Queues {
    #[track_caller]
    fn of(client: &Peer, server: &Peer) -> Self {
        // Read once: it tells of every connection of the machine, and may be long.
        let table = fs::read_to_string("/proc/net/tcp").expect("the kernel tells of its connections");
        let queues = |local, remote| queues(&table, local, remote).expect("the connection is there");
        let (not_acknowledged_to_the_server, _) = queues(server.local(), server.remote());
        let (_, not_read_by_the_proxy) = queues(server.remote(), server.local());
        let (not_acknowledged_by_the_client, _) = queues(client.remote(), client.local());
        let (_, not_read_by_the_client) = queues(client.local(), client.remote());
        Self {
            not_acknowledged_to_the_server,
            not_read_by_the_proxy,
            not_acknowledged_by_the_client,
            not_read_by_the_client,
        }
    }
}

/// Of one end of a connection: the bytes that the other end has not acknowledged, and those that nobody has read.
fn queues(table: &str, local: &str, remote: &str) -> Option<(u64, u64)> {
    let port = |address: &str| Some(format!(":{:04X}", address.parse::<SocketAddr>().ok()?.port()));
    let (local, remote) = (port(local)?, port(remote)?);
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let here = words.next()?.ends_with(&local) && words.next()?.ends_with(&remote);
        let (send, receive) = words.nth(1).filter(|_| here)?.split_once(':')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(send)?, number(receive)?))
    })
}

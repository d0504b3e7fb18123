//! Bandwidth and quotas: what iperf3 measures through a limit is the limit, whoever shares it, and splicing goes on.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;
use spliceway_tests::admin::Operator;
use spliceway_tests::artifacts::guest;
use spliceway_tests::iperf::{Iperf, Measured};
use spliceway_tests::{Client, Peer, Proxy, Upstream, alone, eventually};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A client of its own: all of 127.0.0.0/8 is this machine.
const SOMEBODY_ELSE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How far a rate may be from what it should be: the promise, of 5 s.
const ACCURACY: f64 = 0.03;

// ---- rates ----

#[test]
fn each_connection_has_its_rate_however_slow() {
    let _alone = alone();
    let scene = Scene::through(r#"bandwidth = { up = "64KiB/s", down = "64KiB/s" }"#);
    for arguments in [&[][..], &["--reverse"]] {
        is_about(&scene.measure(arguments), 64 * KIB);
    }
}

#[test]
fn a_fast_rate_is_kept_and_spliced() {
    let _alone = alone();
    let scene = Scene::through(r#"bandwidth = { up = "1Gbit/s", down = "2Gbit/s" }"#);
    is_about(&scene.measure(&[]), 1_000_000_000 / 8);
    is_about(&scene.measure(&["--reverse"]), 2_000_000_000 / 8);
    // A control connection and one with data, each time.
    let moved = scene.proxy.all_ended(4);
    let all: u64 = moved.iter().map(|transfer| transfer.up() + transfer.down()).sum();
    let spliced: u64 = moved
        .iter()
        .map(|transfer| transfer.up_spliced + transfer.down_spliced)
        .sum();
    assert!(spliced > all / 100 * 95, "{spliced} of {all} bytes: {moved:?}");
}

#[test]
fn those_who_share_a_rate_get_the_same_of_it() {
    let _alone = alone();
    let scene = Scene::through(r#"bandwidth = { up = "10MiB/s", down = "20MiB/s", per = "all" }"#);
    for (arguments, rate) in [
        (&["--parallel", "8"][..], 10 * MIB),
        (&["--parallel", "4", "--reverse"], 20 * MIB),
    ] {
        let measured = scene.measure(arguments);
        is_about(&measured, rate);
        let (least, most) = (measured.streams.iter().min(), measured.streams.iter().max());
        let (least, most) = least.zip(most).unwrap();
        assert!(*least as f64 > *most as f64 * 0.85, "{:?}", measured.streams);
    }
}

#[test]
fn a_client_s_rate_is_none_of_another_s() {
    let (proxy, upstream) = serving(r#"bandwidth = { down = "100KiB/s", per = "client", burst = "1KiB" }"#);
    let began = Instant::now();
    let ours = Client::connect(proxy.address());
    let ours_too = Client::connect(proxy.address());
    let others = Client::connect_from(SOMEBODY_ELSE, proxy.address());
    let mut pairs: Vec<(Peer, Peer)> = [ours, ours_too, others]
        .into_iter()
        .map(|client| (client, upstream.accept()))
        .collect();
    for (_, server) in &mut pairs {
        server.send(&vec![b'x'; 60 * KIB as usize]);
    }
    let [one, two, other] = [0, 1, 2].map(|_| {
        let (mut client, server) = pairs.remove(0);
        std::thread::spawn(move || {
            client.expect(&vec![b'x'; 60 * KIB as usize]);
            drop(server);
            began.elapsed()
        })
    });
    let [one, two, other] = [one, two, other].map(|thread| thread.join().unwrap());
    assert!(one.max(two) > Duration::from_millis(1100), "{one:?} {two:?}");
    assert!(other > Duration::from_millis(550), "{other:?}");
    assert!(other < one.max(two), "{other:?} {one:?} {two:?}");
}

#[test]
fn a_burst_goes_at_once_and_the_rest_does_not() {
    let (proxy, upstream) = serving(r#"bandwidth = { up = "64KiB/s", burst = "256KiB" }"#);
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    let began = Instant::now();
    client.send(&vec![1; 320 * KIB as usize]);
    server.expect(&vec![1; 256 * KIB as usize]);
    let burst = began.elapsed();
    server.expect(&vec![1; 64 * KIB as usize]);
    let all = began.elapsed();
    assert!(all > Duration::from_millis(950), "{all:?}");
    assert!(burst < all / 2, "{burst:?} of {all:?}");
}

// ---- quotas ----

#[test]
fn a_connection_ends_with_its_client_s_quota_and_the_next_one_is_not_served() {
    let (proxy, upstream) = serving(r#"quota = { bytes = "10KiB", every = "1h", per = "client" }"#);
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(&vec![b'x'; 4 * KIB as usize]);
    server.expect(&vec![b'x'; 4 * KIB as usize]);
    server.send(&vec![b'y'; 20 * KIB as usize]);
    client.expect(&vec![b'y'; 6 * KIB as usize]);
    client.expect_eof();
    assert_eq!(proxy.ended(&client).outcome, "relay.quota-over.proxy");
    let mut next = Client::connect(proxy.address());
    next.expect_eof();
    assert_eq!(proxy.ended(&next).outcome, "route.quota-over.proxy");
    // Another client has its own.
    let mut other = Client::connect_from(SOMEBODY_ELSE, proxy.address());
    other.send(b"hello");
    upstream.accept().expect(b"hello");
}

#[test]
fn so_many_connections_in_a_time_and_no_more() {
    let (proxy, upstream) = serving(r#"quota = { connections = 2, every = "1h", per = "all" }"#);
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address());
        client.send(b"hello");
        upstream.accept().expect(b"hello");
    }
    let mut third = Client::connect(proxy.address());
    third.expect_eof();
}

// ---- whose ----

#[test]
fn a_route_and_an_upstream_have_their_treatments_and_all_of_them_hold() {
    let admin = Operator::new();
    let upstream = Upstream::listen();
    let config = format!(
        "{}\n[upstreams.only]\nservers = [\"{}\"]\ntreatment.quota = {{ bytes = \"8KiB\", every = \"1h\", per = \"connection\" }}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\n\
         [[listeners.routes]]\nname = \"ours\"\nclient = [\"127.0.0.1\"]\nupstream = \"only\"\n\
         treatment.quota = {{ bytes = \"4KiB\", every = \"1h\", per = \"connection\" }}\n\
         [[listeners.routes]]\nname = \"others\"\nclient = [\"127.0.0.0/8\"]\nupstream = \"only\"\n",
        admin.table(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    for (source, bytes) in [(Ipv4Addr::LOCALHOST, 4 * KIB), (SOMEBODY_ELSE, 8 * KIB)] {
        let mut client = Client::connect_from(source, proxy.address());
        let mut server = upstream.accept();
        server.send(&vec![b'z'; 32 * KIB as usize]);
        client.expect(&vec![b'z'; bytes as usize]);
        client.expect_eof();
    }
}

#[test]
fn a_filter_asks_for_a_treatment_that_those_with_the_same_key_share() {
    let options =
        r#"{ treatment = "{ quota = { bytes = '4KiB', every = '1h', per = 'key' } }", treatment-key = "tenant" }"#;
    let upstream = Upstream::listen();
    let config = format!(
        "[filters.router]\nsource = {:?}\n\
         config = {{ decision = \"route\", upstream = \"only\", options = {options} }}\n\
         [upstreams.only]\nservers = [{:?}]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nfilters = [\"router\"]\n",
        guest("router-script"),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    let mut client = Client::connect(proxy.address());
    upstream.accept().send(&vec![b'k'; 5 * KIB as usize]);
    client.expect(&vec![b'k'; 4 * KIB as usize]);
    client.expect_closed();
    // Whoever it is.
    let mut other = Client::connect_from(SOMEBODY_ELSE, proxy.address());
    other.expect_eof();
    assert_eq!(proxy.ended(&other).outcome, "route.quota-over.proxy");
}

#[test]
fn a_measure_reaches_connections_that_are_open_and_ends_by_itself() {
    let upstream = Upstream::listen();
    let (proxy, admin) = operated(&upstream);
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    // Idle as it is when the measure is taken.
    let mut exchange = |bytes: u64| {
        let began = Instant::now();
        server.send(&vec![b'x'; bytes as usize]);
        client.expect(&vec![b'x'; bytes as usize]);
        began.elapsed()
    };
    exchange(KIB);
    let of_others = r#"{ "scope": { "client": "10.0.0.0/8" }, "treatment": { "bandwidth": { "down": "1KiB/s" } } }"#;
    let ours = r#"{ "scope": { "listener": "front" }, "treatment": { "bandwidth": { "down": "64KiB/s" } } }"#;
    assert_eq!(admin.say("POST", "/v1/measures", of_others).0, 201);
    let (status, said) = admin.say("POST", "/v1/measures", ours);
    assert_eq!((status, &said["id"]), (201, &Value::from(2)));
    let slow = exchange(64 * KIB);
    assert!(slow > Duration::from_millis(900), "{slow:?}");
    let listed = admin.get("/v1/measures");
    assert_eq!(listed["measures"][1]["treatment"]["bandwidth"][0]["down"], "64KiB/s");
    assert_eq!(listed["measures"][1]["scope"]["listener"], "front");
    admin.done("DELETE", "/v1/measures/2", "");
    let fast = exchange(640 * KIB);
    assert!(fast < Duration::from_secs(5), "{fast:?}");
    admin.refused(404, "DELETE", "/v1/measures/2", "");

    let brief = r#"{ "treatment": { "bandwidth": { "up": "1KiB/s" } }, "for": "20ms" }"#;
    assert_eq!(admin.say("POST", "/v1/measures", brief).0, 201);
    eventually("its time is over", || {
        let left = admin.get("/v1/measures")["measures"].as_array().unwrap().len();
        (left == 1).then_some(())
    });
    for wrong in [
        r#"{ "treatment": {} }"#,
        r#"{ "treatment": { "bandwidth": {} } }"#,
        r#"{ "treatment": { "bandwidth": { "down": "1MB/s" } } }"#,
        r#"{ "treatment": { "bandwidth": { "down": "1MiB/s" } }, "for": "soon" }"#,
        r#"{ "treatment": { "bandwidth": { "down": "1MiB/s" } }, "scope": { "share": "101%" } }"#,
        r#"{ "treatment": { "bandwidth": { "down": "1MiB/s" } }, "scope": { "client": "nobody" } }"#,
    ] {
        admin.refused(422, "POST", "/v1/measures", wrong);
    }
}

#[test]
fn ctl_takes_measures_and_takes_them_back() {
    let upstream = Upstream::echo();
    let (_proxy, admin) = operated(&upstream);
    let limit = r#"{ bandwidth = { down = "1MiB/s" } }"#;
    let added = admin.ctl(&["measures", "add", "--listener", "front", "--for", "1h", limit]);
    assert_eq!(added.success().trim(), "measure 1 is in force");
    let listed = admin.ctl(&["measures"]).success();
    assert!(
        listed.contains("listener=front") && listed.contains("1MiB/s"),
        "{listed}"
    );
    let removed = admin.ctl(&["measures", "remove", "1"]).success();
    assert_eq!(removed.trim(), "measure 1 is taken back");
    let wrong = admin.ctl(&["measures", "add", "{ bandwidth = "]);
    assert!(!wrong.status.success());
}

// ---- the scene ----

/// A proxy in front of one server, whose listener has this treatment.
fn serving(treatment: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(treatment, upstream.address())).start();
    (proxy, upstream)
}

/// A proxy in front of this server, and who gives it orders.
fn operated(upstream: &Upstream) -> (Proxy, Operator) {
    let operator = Operator::new();
    let config = format!(
        "{}\n[upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n",
        operator.table(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    let operator = operator.of(&proxy);
    (proxy, operator)
}

fn config(treatment: &str, server: impl std::fmt::Display) -> String {
    format!(
        "[upstreams.only]\nservers = [\"{server}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\ntreatment.{treatment}\n"
    )
}

/// iperf3 on both sides of a proxy.
struct Scene {
    proxy: Proxy,
    iperf: Iperf,
}

impl Scene {
    fn through(treatment: &str) -> Self {
        let iperf = Iperf::start();
        let proxy = Proxy::run(&config(treatment, iperf.address())).start();
        Self { proxy, iperf }
    }

    #[track_caller]
    fn measure(&self, arguments: &[&str]) -> Measured {
        self.iperf.measure(self.proxy.port(), Duration::from_secs(5), arguments)
    }
}

#[track_caller]
fn is_about(measured: &Measured, rate: u64) {
    let off = measured.rate() / rate as f64 - 1.0;
    println!("{rate} bytes/s: {:+.2} %", off * 100.0);
    assert!(
        off.abs() < ACCURACY,
        "{:.0} bytes/s in the place of {rate}",
        measured.rate()
    );
}

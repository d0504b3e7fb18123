//! Faults on purpose: each does what it says, for as long as it says, to whom it says, and nothing is left of it afterwards.
//!
//! Lower bounds of times are exact. Upper ones are far off: they say that something did not wait for what it has nothing to do
//! with.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use spliceway_tests::admin::Operator;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::command::{lasting, run};
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, artifacts, eventually};

const MIB: usize = 1 << 20;

/// Longer than a busy machine takes for what is to happen at once.
const LONG: Duration = Duration::from_millis(1500);

// ---- each of them ----

#[test]
fn latency_delays_one_direction_alone() {
    let (mut client, mut server, _proxy) = pair(r#"{ kind = "latency", latency = "1500ms" }"#);
    let began = Instant::now();
    client.send(b"up");
    server.expect(b"up");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let began = Instant::now();
    server.send(b"down");
    client.expect(b"down");
    assert!(began.elapsed() >= LONG, "{:?}", began.elapsed());

    let (mut client, mut server, _proxy) = pair(r#"{ kind = "latency", latency = "300ms", direction = "both" }"#);
    let began = Instant::now();
    client.send(b"up");
    server.expect(b"up");
    server.send(b"down");
    client.expect(b"down");
    server.half_close();
    client.expect_eof();
    assert!(
        began.elapsed() >= 3 * Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_bandwidth_is_kept() {
    let (mut client, mut server, _proxy) = pair(r#"{ kind = "bandwidth", rate = "100KiB/s", direction = "up" }"#);
    let sent = pattern(1, 150 << 10);
    let began = Instant::now();
    let reader = thread::spawn(move || (server.receive(150 << 10), Instant::now()));
    client.send(&sent);
    let (got, ended) = reader.join().expect("the reader does not panic");
    assert_eq!(digest(&got), digest(&sent));
    let took = ended - began;
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    assert!(took < Duration::from_millis(4500), "{took:?}");
}

#[test]
fn a_slow_close_is_late_and_the_bytes_are_not() {
    let (mut client, mut server, _proxy) = pair(r#"{ kind = "slow-close", delay = "1500ms" }"#);
    let began = Instant::now();
    server.send(b"last");
    server.half_close();
    client.expect(b"last");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    client.expect_eof();
    assert!(began.elapsed() >= LONG, "{:?}", began.elapsed());
}

#[test]
fn a_timeout_drops_what_comes_and_then_closes() {
    let began = Instant::now();
    let (mut client, mut server, proxy) = pair(r#"{ kind = "timeout", timeout = "500ms" }"#);
    server.send(b"lost");
    client.expect_eof();
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    client.half_close();
    server.expect_eof();
    assert_eq!(proxy.ended(&client).outcome, "relay.fault.proxy");
}

#[test]
fn a_peer_is_reset_after_so_many_bytes() {
    let (mut client, mut server, proxy) = pair(r#"{ kind = "reset-peer", bytes = 1000, timeout = "200ms" }"#);
    let began = Instant::now();
    server.send(&[7; 5000]);
    assert_eq!(client.receive(1000), [7; 1000]);
    client.expect_reset();
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    server.expect_reset();
    assert_eq!(proxy.ended(&client).outcome, "relay.fault.proxy");
}

#[test]
fn a_slicer_writes_little_at_a_time() {
    let slicer = r#"{ kind = "slicer", average-size = 100, size-variation = 20, delay = "5ms" }"#;
    let upstream = Upstream::listen();
    let proxy = start(&upstream, slicer);
    let mut socket = TcpStream::connect(proxy.address()).expect("the proxy listens");
    let mut server = upstream.accept();
    let began = Instant::now();
    let sent = pattern(2, 1000);
    server.send(&sent);
    let (mut got, mut buffer, mut largest) = (Vec::new(), [0; 1000], 0);
    while got.len() < sent.len() {
        let count = socket.read(&mut buffer).expect("bytes");
        largest = largest.max(count);
        got.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(got, sent);
    // Nine writes at the least, with a pause between two of them; several of them may be read at once.
    assert!(began.elapsed() >= Duration::from_millis(8 * 5), "{:?}", began.elapsed());
    assert!(largest < 1000, "in one piece");
}

#[test]
fn a_limit_lets_so_many_bytes_through() {
    let (mut client, mut server, proxy) = pair(r#"{ kind = "limit-data", bytes = 500 }"#);
    server.send(&[7; 5000]);
    assert_eq!(client.receive_all(), [7; 500]);
    client.half_close();
    server.expect_closed();
    assert_eq!(proxy.ended(&client).outcome, "relay.fault.proxy");
}

#[test]
fn bytes_are_corrupted_as_often_as_asked_for() {
    let (mut client, mut server, _proxy) = pair(r#"{ kind = "corrupt", one-in = 100 }"#);
    let sent = pattern(3, 100_000);
    let got = thread::scope(|scope| {
        let got = scope.spawn(move || client.receive(100_000));
        server.send(&sent);
        got.join().expect("the reader does not panic")
    });
    let changed = got.iter().zip(&sent).filter(|(got, sent)| got != sent).count();
    assert!((700..1300).contains(&changed), "{changed} of 100000");
}

#[test]
fn who_is_refused_gets_to_no_server() {
    for (with, expect) in [
        ("rst", is_reset as fn(&Proxy)),
        ("fin", |proxy| Client::connect(proxy.address()).expect_eof()),
    ] {
        let upstream = Upstream::listen();
        let proxy = start(&upstream, &format!("{{ kind = \"refuse\", with = \"{with}\" }}"));
        expect(&proxy);
        proxy.wait_for("connection ended", |event| event.text("outcome") == "route.fault.proxy");
        assert!(!upstream.waiting(Duration::ZERO));
    }
}

/// They add up, in order, and nothing is lost under way.
#[test]
fn bulk_comes_out_whole_of_all_that_destroy_nothing() {
    let faults = r#"
        { kind = "latency", latency = "20ms", jitter = "10ms", direction = "both" },
        { kind = "latency", latency = "5ms", jitter = "5ms", distribution = "normal", direction = "both" },
        { kind = "bandwidth", rate = "8MiB/s", direction = "both" },
        { kind = "slow-close", delay = "50ms", direction = "both" },
        { kind = "slicer", average-size = "8KiB", size-variation = "4KiB", direction = "both" },
    "#;
    let upstream = Upstream::echo();
    let proxy = start(&upstream, faults);
    let client = Client::connect(proxy.address());
    let address = client.another();
    let sent = pattern(4, 6 * MIB);
    assert_eq!(digest(&echoed(client, &sent)), digest(&sent));
    let transfer = proxy.ended(&address);
    assert!(transfer.outcome.starts_with("relay.finished"), "{}", transfer.outcome);
    assert_eq!((transfer.up_spliced, transfer.down_spliced), (0, 0), "{transfer:?}");
}

// ---- whom they hit ----

#[test]
fn a_seed_hits_the_same_connections_in_every_run() {
    let run = |seed: u32| {
        let upstream = Upstream::named("a");
        let fault = format!("{{ kind = \"refuse\", with = \"fin\", share = \"30%\", seed = {seed} }}");
        let proxy = start(&upstream, &fault);
        let connection = |_| Client::connect(proxy.address()).try_receive(1).is_some();
        (0..60).map(connection).collect::<Vec<bool>>()
    };
    let first = run(7);
    assert_eq!(run(7), first);
    assert_ne!(run(8), first);
    let refused = first.iter().filter(|served| !*served).count();
    assert!((6..=32).contains(&refused), "{refused} of 60");
}

#[test]
fn a_route_has_faults_of_its_own() {
    let upstream = Upstream::named("a");
    let proxy = Proxy::run(&format!(
        r#"
        [upstreams.a]
        servers = ["{}"]
        [[listeners]]
        name = "front"
        address = "127.0.0.1:0"
        upstream = "a"
        [[listeners.routes]]
        client = ["127.0.0.2"]
        upstream = "a"
        treatment.faults = {{ kind = "refuse", with = "fin" }}
        "#,
        upstream.address()
    ))
    .start();
    Client::connect(proxy.address()).expect(b"a");
    Client::connect_from([127, 0, 0, 2], proxy.address()).expect_eof();
}

#[test]
fn a_measure_hits_one_client_until_its_time_is_over() {
    let upstream = Upstream::named("a");
    let operator = Operator::new();
    let proxy = Proxy::run(&config(&upstream, &operator.table())).start();
    let operator = operator.of(&proxy);
    let measure = json!({
        "scope": { "client": "127.0.0.2" },
        "treatment": { "faults": { "kind": "refuse", "with": "fin" } },
        "for": "5s",
    });
    assert_eq!(operator.say("POST", "/v1/measures", &measure.to_string()).0, 201);
    let is_served = |last| {
        let mut client = Client::connect_from([127, 0, 0, last], proxy.address());
        client.try_receive(1).is_some()
    };
    eventually("the other client is refused", || (!is_served(2)).then_some(()));
    assert!(is_served(1));
    eventually("the measure is over", || is_served(2).then_some(()));
}

// ---- while connections live ----

/// A connection that has had faults is as good as one that had none.
#[test]
fn bulk_is_spliced_again_when_the_fault_is_gone() {
    let scene = Scene::start();
    let mut client = Client::connect(scene.proxy.address());
    let mut server = scene.upstream.accept();
    let through = |client: &mut Peer, server: &mut Peer| {
        let sent = pattern(5, 8 * MIB);
        let mut reader = client.another();
        let got = thread::scope(|scope| {
            let got = scope.spawn(move || reader.receive(8 * MIB));
            server.send(&sent);
            got.join().expect("the reader does not panic")
        });
        assert_eq!(digest(&got), digest(&sent));
    };
    let toxic = json!({ "name": "l", "type": "latency", "attributes": { "latency": 10 } });
    scene.done("POST", "/proxies/front/toxics", &toxic);
    through(&mut client, &mut server);
    scene.gone("/proxies/front/toxics/l");
    // What was held is out when something comes back at once.
    through(&mut client, &mut server);

    client.half_close();
    server.half_close();
    client.expect_eof();
    let transfer = scene.proxy.ended(&client);
    assert!(transfer.down_copied > 8 * MIB as u64, "{transfer:?}");
    assert!(transfer.down_spliced > 6 * MIB as u64, "{transfer:?}");
}

#[test]
fn a_black_hole_takes_all_until_it_is_gone_and_the_connection_with_it() {
    let scene = Scene::start();
    let mut client = Client::connect(scene.proxy.address());
    let mut server = scene.upstream.accept();
    server.send(b"before");
    client.expect(b"before");
    scene.done("POST", "/proxies/front/toxics", &json!({ "type": "timeout" }));
    server.send(b"lost");
    // It is read, and nothing comes of it.
    client.expect_silence(Duration::from_millis(300));
    scene.gone("/proxies/front/toxics/timeout_downstream");
    client.expect_eof();
    assert_eq!(scene.proxy.ended(&client).outcome, "relay.fault.proxy");
}

#[test]
fn what_a_toxic_holds_comes_when_it_is_changed_or_gone() {
    let scene = Scene::start();
    let mut client = Client::connect(scene.proxy.address());
    let mut server = scene.upstream.accept();
    let toxic = json!({ "name": "t", "type": "latency", "attributes": { "latency": 3_600_000 } });
    scene.done("POST", "/proxies/front/toxics", &toxic);
    server.send(b"held");
    client.expect_silence(Duration::from_millis(300));
    let changed = scene.done(
        "PATCH",
        "/proxies/front/toxics/t",
        &json!({ "attributes": { "latency": 1 } }),
    );
    assert_eq!(changed["attributes"], json!({ "latency": 1, "jitter": 0 }));
    client.expect(b"held");

    let toxic = json!({ "name": "b", "type": "bandwidth", "attributes": { "rate": 0 } });
    scene.done("POST", "/proxies/front/toxics", &toxic);
    server.send(b"held");
    server.half_close();
    client.expect_silence(Duration::from_millis(300));
    scene.gone("/proxies/front/toxics/b");
    assert_eq!(client.receive_all(), b"held");
}

#[test]
fn a_proxy_that_is_disabled_serves_nobody() {
    let scene = Scene::start();
    let mut client = Client::connect(scene.proxy.address());
    let mut server = scene.upstream.accept();
    let proxy = scene.done("POST", "/proxies/front", &json!({ "enabled": false }));
    assert_eq!(proxy["enabled"], false);
    client.expect_closed();
    server.expect_closed();
    is_reset(&scene.proxy);
    scene.said(204, "POST", "/reset", &Value::Null);
    assert_eq!(scene.get("/proxies/front")["enabled"], true);
    let mut client = Client::connect(scene.proxy.address());
    scene.upstream.accept().send(b"back");
    client.expect(b"back");
}

/// Who holds bytes back does not hold them without end: the sender waits.
#[test]
fn what_faults_hold_is_bounded() {
    let scene = Scene::start();
    let toxic = json!({ "type": "bandwidth", "stream": "upstream", "attributes": { "rate": 0 } });
    scene.done("POST", "/proxies/front/toxics", &toxic);
    let mut client = Client::connect(scene.proxy.address());
    let mut server = scene.upstream.accept();
    let before = scene.proxy.own_memory_kib();
    let sent = client.send_until_blocked(&vec![7; 128 * MIB]);
    // Most of it lies in the sockets' buffers; and a program that does something for the first time grows by its code.
    assert!(sent < 32 * MIB, "{sent} bytes were taken");
    let grown = scene.proxy.own_memory_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB");
    let reader = thread::spawn(move || server.receive(sent).len());
    scene.said(204, "POST", "/reset", &Value::Null);
    assert_eq!(reader.join().expect("the reader does not panic"), sent);
}

// ---- Toxiproxy's API ----

#[test]
fn what_is_answered_is_what_toxiproxy_answers() {
    let scene = Scene::start();
    assert_eq!(scene.get("/version")["version"], "2.12.0");
    let proxy = json!({
        "name": "front",
        "listen": scene.proxy.address(),
        "upstream": scene.upstream.address(),
        "enabled": true,
        "toxics": [],
    });
    assert_eq!(scene.get("/proxies"), json!({ "front": proxy }));
    assert_eq!(scene.get("/proxies/front"), proxy);
    let failed = |status: u16, method: &str, path: &str, body: Value| {
        let said = scene.said(status, method, path, &body);
        assert_eq!(said["status"], status, "{said}");
        said["error"].as_str().expect("an error").to_owned()
    };
    assert_eq!(failed(404, "GET", "/proxies/back", Value::Null), "proxy not found");
    assert_eq!(
        failed(404, "GET", "/proxies/front/toxics/t", Value::Null),
        "toxic not found"
    );
    assert_eq!(failed(409, "POST", "/proxies", proxy.clone()), "proxy already exists");
    let other = json!({ "name": "other", "listen": "127.0.0.1:1", "upstream": "127.0.0.1:2" });
    for (method, path, body) in [
        ("POST", "/proxies", other.clone()),
        ("POST", "/populate", json!([other])),
        ("DELETE", "/proxies/front", Value::Null),
        ("POST", "/proxies/front", json!({ "listen": "127.0.0.1:1" })),
    ] {
        let error = failed(400, method, path, body);
        assert!(error.contains("listeners of the configuration"), "{error}");
    }
    assert_eq!(
        failed(400, "POST", "/proxies", json!({ "name": "a" })),
        "missing required field: upstream"
    );
    let populated = scene.said(201, "POST", "/populate", &json!([proxy]));
    assert_eq!(populated, json!({ "proxies": [proxy] }));

    let toxic = json!({ "type": "slicer", "toxicity": 0.5, "attributes": { "average_size": 10 } });
    let shown = json!({
        "name": "slicer_downstream",
        "type": "slicer",
        "stream": "downstream",
        "toxicity": 0.5,
        "attributes": { "average_size": 10, "size_variation": 0, "delay": 0 },
    });
    assert_eq!(scene.done("POST", "/proxies/front/toxics", &toxic), shown);
    assert_eq!(
        failed(409, "POST", "/proxies/front/toxics", toxic),
        "toxic already exists"
    );
    assert_eq!(scene.get("/proxies/front/toxics"), json!([shown]));
    assert_eq!(scene.get("/proxies/front/toxics/slicer_downstream"), shown);
    assert!(failed(400, "POST", "/proxies/front/toxics", json!([])).starts_with("bad request body"));
    scene.gone("/proxies/front/toxics/slicer_downstream");
    assert_eq!(scene.get("/proxies/front"), proxy);
}

/// Nobody of Toxiproxy's clients has a token, so nobody else's page may ask.
#[test]
fn a_page_of_another_site_does_no_faults() {
    let scene = Scene::start();
    let body = r#"{ "type": "timeout" }"#;
    let asked = scene.answered("POST", "/proxies/front/toxics", "Origin: http://evil.example\r\n", body);
    assert_eq!(asked.0, 403, "{}", asked.1);
    assert_eq!(scene.get("/proxies/front/toxics"), json!([]));
}

#[test]
fn toxics_are_gone_with_the_api() {
    let scene = Scene::before(Upstream::named("a"));
    scene.done("POST", "/proxies/front", &json!({ "enabled": false }));
    is_reset(&scene.proxy);
    let file = scene.proxy.folder().join("spliceway.toml");
    fs::write(file, config(&scene.upstream, "")).expect("the configuration can be written");
    scene.proxy.signal(Signal::HUP);
    scene.proxy.wait_for("configuration reloaded", |_| true);
    eventually("it serves again", || {
        Client::try_connect(scene.proxy.address()).ok()?.try_receive(1)
    });
    assert!(TcpStream::connect(&scene.api).is_err());
}

#[test]
fn a_client_library_of_toxiproxy_drives_it() {
    let python = artifacts::tool("toxiproxy/bin/python");
    let upstream = Upstream::echo();
    let scene = Scene::before(upstream);
    let ended = run(
        lasting(python)
            .arg(artifacts::workspace().join("tests/toxiproxy/drive.py"))
            .args([&scene.api, "front", scene.proxy.address()]),
        DEADLINE * 2,
    );
    assert_eq!(ended.success().trim(), "driven");
}

// ---- the scenes ----

fn config(upstream: &Upstream, rest: &str) -> String {
    format!(
        "[upstreams.a]\nservers = [\"{}\"]\n{rest}\n[[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"a\"\n",
        upstream.address()
    )
}

/// A proxy whose listener has these faults.
fn start(upstream: &Upstream, faults: &str) -> Proxy {
    let listener = config(upstream, "") + &format!("treatment.faults = [{faults}]\n");
    Proxy::run(&listener).start()
}

/// A connection through such a proxy.
fn pair(faults: &str) -> (Peer, Peer, Proxy) {
    let upstream = Upstream::listen();
    let proxy = start(&upstream, faults);
    let client = Client::connect(proxy.address());
    (client, upstream.accept(), proxy)
}

/// RST may come before the client knows that it is connected.
#[track_caller]
fn is_reset(proxy: &Proxy) {
    match Client::try_connect(proxy.address()) {
        Ok(mut client) => client.expect_reset(),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn echoed(mut client: Peer, sent: &[u8]) -> Vec<u8> {
    let mut reader = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(move || reader.receive_all());
        client.send(sent);
        client.half_close();
        got.join().expect("the reader does not panic")
    })
}

/// A proxy that Toxiproxy's clients can ask.
struct Scene {
    proxy: Proxy,
    upstream: Upstream,
    api: String,
}

impl Scene {
    fn start() -> Self {
        Self::before(Upstream::listen())
    }

    fn before(upstream: Upstream) -> Self {
        let proxy = Proxy::run(&config(&upstream, "[toxiproxy]\nlisten = \"127.0.0.1:0\"\n")).start();
        let served = proxy.wait_for("Toxiproxy's API is served", |_| true);
        let api = served.text("address").to_owned();
        Self { proxy, upstream, api }
    }

    fn answered(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut client = Client::connect(&self.api);
        let (length, api) = (body.len(), &self.api);
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n{headers}");
        client.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
        let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Answered with this status.
    #[track_caller]
    fn said(&self, status: u16, method: &str, path: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let (answered, said) = self.answered(method, path, "", &body);
        assert_eq!(answered, status, "{method} {path} {body}: {said}");
        serde_json::from_str(&said).unwrap_or_default()
    }

    #[track_caller]
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        self.said(200, method, path, body)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.done("GET", path, &Value::Null)
    }

    #[track_caller]
    fn gone(&self, path: &str) {
        self.said(204, "DELETE", path, &Value::Null);
    }
}

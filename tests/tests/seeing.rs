//! What is seen of a proxy while it works: the overview, its events, and who may ask for them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spliceway_tests::exposition::Page;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, eventually, spliceway};
use tempfile::TempDir;

const TOKEN: &str = "5f1c0a8f4f3f6a2d9be07c81d4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d";

/// As many as may watch.
const WATCHERS: usize = 16;

/// More than the connections that the interface has at a time.
const CROWD: usize = 150;

/// How long one that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

// ---- the figures ----

#[test]
fn bytes_of_open_connections_are_counted_while_they_move() {
    let scene = Scene::start();
    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    let small = json!({ "copied": 5, "spliced": 0, "filtered": 0 });
    let seen = scene.overview();
    assert_eq!(seen["traffic"], json!({ "accepted": 1, "up": small, "down": small }));
    assert_eq!(seen["status"]["connections"], 1);
    // They are not among those that have ended.
    assert_eq!(seen["listeners"][0]["up"]["copied"], 0);
    let biggest = &seen["biggest"][0];
    assert_eq!((&biggest["client"], &biggest["up"]), (&json!(client.local()), &small));
    assert!(biggest["connect_ms"].is_u64(), "{biggest}");
    assert_eq!(seen["slowest"][0]["id"], biggest["id"]);

    // Bulk goes through a pipe, and is counted so while it does.
    const BULK: usize = 32 << 20;
    let mut sender = client.another();
    let sending = std::thread::spawn(move || sender.send(&vec![b'x'; BULK]));
    client.receive(BULK);
    sending.join().unwrap();
    let seen = scene.overview();
    for direction in ["up", "down"] {
        let moved = &seen["traffic"][direction];
        assert_eq!(total(moved), BULK as u64 + 5, "{direction}: {moved}");
        assert!(
            moved["spliced"].as_u64() > Some(BULK as u64 / 2),
            "{direction}: {moved}"
        );
        assert_eq!(&seen["biggest"][0][direction], moved);
    }

    // At its end the listener has counted the same.
    client.half_close();
    client.expect_eof();
    scene.proxy.ended(&client);
    let seen = eventually("the connection is counted", || {
        let seen = scene.overview();
        (seen["listeners"][0]["connections"] == 1).then_some(seen)
    });
    for direction in ["up", "down"] {
        assert_eq!(seen["traffic"][direction], seen["listeners"][0][direction]);
    }
    assert_eq!((&seen["biggest"], &seen["slowest"]), (&json!([]), &json!([])));
    let ended = &seen["recent"][0];
    assert_eq!(
        (&ended["outcome"], &ended["ok"], &ended["client"]),
        (&json!("relay.finished.client"), &json!(true), &json!(client.local()))
    );
    assert_eq!(ended["up"], seen["traffic"]["up"]);

    // And so do the metrics.
    let page = scene.metrics();
    for direction in ["up", "down"] {
        for path in ["copied", "spliced", "filtered"] {
            let labels = [("direction", direction), ("path", path)];
            let counted = page.sum("spliceway_worker_bytes_total", &labels);
            assert_eq!(
                Some(counted),
                seen["traffic"][direction][path].as_f64(),
                "{direction} {path}"
            );
        }
    }
}

#[test]
fn failures_are_not_hidden_by_successes_and_the_log_s_errors_are_there() {
    let scene = Scene::start();
    let mut refused = Client::connect(scene.proxy.listener("nowhere"));
    refused.expect_closed();
    for _ in 0..120 {
        let mut client = scene.connect();
        client.half_close();
        client.expect_eof();
    }
    let recent = eventually("all have ended", || {
        let seen = scene.overview();
        let ended = seen["listeners"]
            .as_array()?
            .iter()
            .map(|it| it["connections"].as_u64());
        (ended.sum::<Option<u64>>()? == 121).then(|| seen["recent"].as_array().cloned())?
    });
    assert_eq!(recent.len(), 50);
    let failed: Vec<_> = recent.iter().filter(|ended| ended["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["outcome"], "connect.refused.upstream");
    assert_eq!(
        (&failed[0]["listener"], &failed[0]["upstream"]),
        (&json!("nowhere"), &json!("gone"))
    );
    let times: Vec<_> = recent.iter().map(|ended| ended["at_ms"].as_u64()).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");

    fs::write(scene.proxy.folder().join("spliceway.toml"), "workers = <b>\n").unwrap();
    scene.proxy.signal(rustix::process::Signal::HUP);
    scene
        .proxy
        .wait_for("configuration rejected: the one before serves on", |_| true);
    let errors = scene.overview()["errors"].clone();
    assert_eq!(errors[0]["level"], "error");
    let text = errors[0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("configuration rejected: the one before serves on file="),
        "{text}"
    );
}

#[test]
fn who_waits_for_a_server_is_among_the_slowest() {
    let scene = Scene::start();
    let mut quick = scene.connect();
    quick.send(b"x");
    quick.expect(b"x");
    let waiting = Client::connect(scene.proxy.listener("waiting"));
    let slowest = eventually("it waits", || {
        let slowest = scene.overview()["slowest"].clone();
        (slowest.as_array()?.len() == 2).then_some(slowest)
    });
    assert_eq!(slowest[0]["client"], waiting.local());
    assert_ne!(slowest[0]["stage"], "relay");
    assert_eq!(slowest[1]["client"], quick.local());
}

// ---- events ----

#[test]
fn an_event_a_second_says_what_the_api_says() {
    let scene = Scene::start();
    let mut watcher = scene.watch();
    let (head, first) = (watcher.head.clone(), watcher.next());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.to_lowercase().contains("content-type: text/event-stream"),
        "{head}"
    );
    assert_eq!(first["status"]["connections"], 0);
    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    let (mut last, mut then) = (first, Instant::now());
    loop {
        let next = watcher.next();
        let passed = next["at_ms"].as_u64().unwrap() - last["at_ms"].as_u64().unwrap();
        assert!(passed >= 900, "{passed} ms");
        last = next;
        if last["traffic"]["up"]["copied"] == 5 {
            break;
        }
        assert!(then.elapsed() < DEADLINE);
        then = Instant::now();
    }
    let api = scene.overview();
    for part in ["traffic", "listeners", "upstreams", "filters", "recent", "errors"] {
        assert_eq!(last[part], api[part], "{part}");
    }
    assert_eq!(last["status"]["pid"], scene.proxy.pid());
    assert_eq!(last["biggest"][0]["client"], client.local());

    // All who watch see the same.
    let mut other = scene.watch();
    let (mut one, mut same) = (last, other.next());
    while one["at_ms"] != same["at_ms"] {
        match one["at_ms"].as_u64() < same["at_ms"].as_u64() {
            true => one = watcher.next(),
            false => same = other.next(),
        }
    }
    assert_eq!(one, same);
}

#[test]
fn those_who_watch_are_bounded_and_make_no_room_for_others() {
    let scene = Scene::start();
    let mut watchers: Vec<_> = (0..WATCHERS).map(|_| scene.watch()).collect();
    watchers.iter_mut().for_each(|watcher| _ = watcher.next());
    let (status, refused) = scene.say("GET /v1/overview/events", &[]);
    assert_eq!(status, 503);
    assert!(refused["error"].as_str().unwrap().contains("16 watch"), "{refused}");

    let crowd: Vec<Peer> = (0..CROWD).map(|_| Client::connect(&scene.admin)).collect();
    assert_eq!(scene.overview()["status"]["pid"], scene.proxy.pid());
    let mut seen: Vec<_> = watchers.iter_mut().map(Watcher::next).collect();
    seen.dedup_by_key(|seen| seen["status"]["pid"].clone());
    assert_eq!(seen.len(), 1);
    drop(crowd);

    drop(watchers.pop());
    eventually("there is a place", || {
        let mut watcher = scene.watch();
        watcher.head.starts_with("HTTP/1.1 200").then(|| watcher.next())
    });
}

/// Servers enough for an event of a mebibyte, so that a socket is full after a few.
#[test]
fn a_watcher_that_takes_nothing_is_let_go() {
    let folder = TempDir::new().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let servers: Vec<_> = (0..5000).map(|port| format!("127.0.0.1:{}", 10_000 + port)).collect();
    let proxy = Proxy::run(&format!(
        "[admin]\nlisten = \"unix:{}\"\n[upstreams.many]\nservers = {servers:?}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"many\"\n",
        socket.display()
    ))
    .start();
    let address = format!("unix:{}", socket.display());
    let before = proxy.descriptors().len();
    let mut idle: Vec<Peer> = (0..WATCHERS)
        .map(|_| {
            let mut watcher = Client::connect(&address);
            watcher.send(b"GET /v1/overview/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
            watcher
        })
        .collect();
    // Their heads: all of them watch.
    idle.iter_mut()
        .for_each(|watcher| watcher.expect(b"HTTP/1.1 200 OK\r\n"));
    let began = Instant::now();
    let memory = proxy.memory_kib();
    proxy.descriptors_back_to(before);
    assert!(began.elapsed() >= PATIENCE / 2, "after {:?}", began.elapsed());
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 64 << 10, "{grown} KiB");
    let mut watcher = Watcher::of(Client::connect(&address), "");
    assert!(watcher.head.starts_with("HTTP/1.1 200"), "{}", watcher.head);
    let overview = watcher.next();
    assert_eq!(overview["upstreams"][0]["servers"].as_array().unwrap().len(), 1000);
    assert_eq!(overview["servers"], json!({ "all": 5000, "up": 5000 }));
}

#[test]
fn events_end_with_the_process() {
    let scene = Scene::start();
    let mut watcher = scene.watch();
    watcher.next();
    let began = Instant::now();
    assert!(scene.proxy.terminate().success());
    assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
    let rest = watcher.peer.receive_all();
    assert!(rest.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
}

// ---- who may ----

#[test]
fn without_a_token_pages_of_other_sites_are_kept_out() {
    let local = Local::start();
    let own = "Host: localhost:9901";
    for (headers, expected) in [
        (vec![own], 200),
        (vec!["Host: spliceway"], 200),
        (
            vec![own, "Origin: http://localhost:9901", "Sec-Fetch-Site: same-origin"],
            200,
        ),
        (vec!["Host: rebound.example:9901"], 403),
        (vec![own, "Origin: http://evil.example"], 403),
        (vec![own, "Sec-Fetch-Site: cross-site"], 403),
        (vec![own, "Sec-Fetch-Site: same-site"], 403),
    ] {
        for request in [
            "GET /v1/status",
            "POST /v1/reload",
            "GET /v1/overview/events",
            "GET /page/app.js",
        ] {
            if expected == 200 && !request.ends_with("/status") {
                continue;
            }
            let answer = local.raw(request, &headers);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected}")),
                "{request} {headers:?}: {answer}"
            );
            if expected == 403 {
                let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                let said: Value = serde_json::from_str(body).unwrap();
                assert!(said["error"].is_string() && said["hint"].is_string(), "{said}");
            }
        }
    }
    let status = spliceway(["ctl", "--admin", &local.address(), "status"], DEADLINE);
    assert!(status.success().contains("serving"));
}

#[test]
fn the_page_needs_no_token_and_its_figures_do() {
    let scene = Scene::start();
    for path in ["/", "/page/app.js", "/page/style.css"] {
        let answer = scene.raw(&format!("GET {path}"), &["Host: test"]);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200") && !body.is_empty(), "{path}: {head}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!body.contains(TOKEN));
    }
    for path in [
        "/v1/overview",
        "/v1/overview/events",
        "/v1/status",
        "/page",
        "/page/other.js",
    ] {
        let answer = scene.raw(&format!("GET {path}"), &["Host: test"]);
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
    let posted = scene.raw("POST /", &["Host: test", "Content-Length: 0"]);
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
}

// ---- the scenes ----

/// A proxy with a token and metrics, in front of an echo, of nobody, and of a server that is waited for.
struct Scene {
    proxy: Proxy,
    admin: String,
    _server: Upstream,
    _folder: TempDir,
}

impl Scene {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let token = folder.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).expect("a file in a temporary folder");
        let server = Upstream::echo();
        let listener = |name: &str, upstream: &str| {
            format!("[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n")
        };
        let proxy = Proxy::run(&format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"{}\"\n[metrics]\naddress = \"127.0.0.1:0\"\n\
             [upstreams.only]\nservers = [\"{}\"]\n[upstreams.gone]\nservers = [\"127.0.0.1:1\"]\n\
             [upstreams.late]\nservers = [\"{}\"]\nconnect = \"first-byte\"\n{}{}{}",
            token.display(),
            server.address(),
            server.address(),
            listener("front", "only"),
            listener("nowhere", "gone"),
            listener("waiting", "late"),
        ))
        .start();
        let served = proxy.wait_for("admin interface is served", |_| true);
        Self {
            admin: served.text("address").to_owned(),
            proxy,
            _server: server,
            _folder: folder,
        }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.listener("front"))
    }

    #[track_caller]
    fn overview(&self) -> Value {
        let (status, said) = self.say("GET /v1/overview", &[]);
        assert_eq!(status, 200, "{said}");
        said
    }

    fn metrics(&self) -> Page {
        let served = self.proxy.wait_for("metrics are served", |_| true);
        let mut client = Client::connect(served.text("address"));
        client.send(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
        let (_, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
        Page::parse(page).expect("a page")
    }

    fn watch(&self) -> Watcher {
        let token = format!("Authorization: Bearer {TOKEN}\r\n");
        Watcher::of(Client::connect(&self.admin), &token)
    }

    #[track_caller]
    fn say(&self, request: &str, headers: &[&str]) -> (u16, Value) {
        let token = format!("Authorization: Bearer {TOKEN}");
        let headers: Vec<_> = ["Host: test", &token]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        let answer = self.raw(request, &headers);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let said = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        (status.expect("a status"), said)
    }

    fn raw(&self, request: &str, headers: &[&str]) -> String {
        raw(&self.admin, request, headers)
    }
}

/// A proxy whose admin interface is a unix socket.
struct Local {
    _proxy: Proxy,
    socket: PathBuf,
    _folder: TempDir,
}

impl Local {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let socket = folder.path().join("admin.sock");
        let proxy = Proxy::run(&format!(
            "[admin]\nlisten = \"unix:{}\"\n[upstreams.only]\nservers = [\"127.0.0.1:1\"]\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n",
            socket.display()
        ));
        Self {
            _proxy: proxy.start(),
            socket,
            _folder: folder,
        }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    fn raw(&self, request: &str, headers: &[&str]) -> String {
        raw(&self.address(), request, headers)
    }
}

fn raw(address: &str, request: &str, headers: &[&str]) -> String {
    let mut client = Client::connect(address);
    client.send(
        format!(
            "{request} HTTP/1.1\r\nConnection: close\r\n{}\r\n\r\n",
            headers.join("\r\n")
        )
        .as_bytes(),
    );
    String::from_utf8(client.receive_all()).expect("an answer in UTF-8")
}

/// Somebody who reads events.
struct Watcher {
    peer: Peer,
    head: String,
    /// What has come and is not read yet, without the marks of its chunks.
    text: String,
}

impl Watcher {
    fn of(mut peer: Peer, headers: &str) -> Self {
        peer.send(format!("GET /v1/overview/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.append(&mut peer.receive(1));
        }
        Self {
            peer,
            head: String::from_utf8(head).expect("a head in UTF-8"),
            text: String::new(),
        }
    }

    /// The next event.
    #[track_caller]
    fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix("data: ").expect("an event has data");
                let seen = serde_json::from_str(data).expect("it is JSON");
                self.text = rest.to_owned();
                return seen;
            }
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.append(&mut self.peer.receive(1));
            }
            let size = String::from_utf8_lossy(&size);
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk says its size");
            assert_ne!(size, 0, "the events have ended");
            let chunk = self.peer.receive(size + 2);
            self.text += std::str::from_utf8(&chunk[..size]).expect("events are UTF-8");
        }
    }
}

fn total(moved: &Value) -> u64 {
    let paths = ["copied", "spliced", "filtered"].map(|path| moved[path].as_u64());
    paths.into_iter().sum::<Option<u64>>().expect("three figures")
}

//! The page of metrics: it can be read, it says what was done, and nobody can keep others from it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use spliceway_tests::artifacts::guest;
use spliceway_tests::command::{lasting, run};
use spliceway_tests::exposition::Page;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, alone, eventually, spliceway};
use tempfile::TempDir;

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";

/// What stands under `[metrics]`.
const HERE: &str = "address = \"127.0.0.1:0\"";

/// Where nobody is asked.
const NOWHERE: &str = "127.0.0.1:1";

/// The connections that the page has at a time, and some more.
const CROWD: usize = 40;

// ---- what it says ----

#[test]
fn connections_and_bytes_are_counted_by_listener_outcome_and_way() {
    let scene = Scene::of(&[]);
    for _ in 0..3 {
        scene.echoed("", b"hello");
    }
    let page = scene.page_after(3);
    let ended = [("listener", "plain"), ("outcome", "relay.finished.client")];
    assert_eq!(page.value("spliceway_connections_total", &ended), Some(3.0));
    for direction in ["up", "down"] {
        let bytes = |path| [("listener", "plain"), ("direction", direction), ("path", path)];
        assert_eq!(page.value("spliceway_bytes_total", &bytes("copied")), Some(15.0));
        assert_eq!(page.value("spliceway_bytes_total", &bytes("filtered")), Some(0.0));
    }
    assert_eq!(page.samples("spliceway_filter_info").count(), 0);
}

#[test]
fn an_inspector_s_calls_verdicts_and_bytes_are_counted() {
    let scene = Scene::of(&[("pass", "inspector-pass", "")]);
    for _ in 0..4 {
        scene.echoed("pass", b"0123456789");
    }
    let page = scene.page_after(4);
    let of = [("filter", "pass"), ("generation", "1")];
    let inspector = [of[0], of[1], ("role", "inspector")];
    // What was sent and what came back, and the end of both.
    assert!(page.value("spliceway_filter_calls_total", &inspector) >= Some(16.0));
    let forwarded = [inspector[0], inspector[1], inspector[2], ("verdict", "forward")];
    assert_eq!(page.value("spliceway_filter_verdicts_total", &forwarded), Some(16.0));
    assert_eq!(page.value("spliceway_filter_shown_bytes_total", &of), Some(80.0));
    assert_eq!(page.value("spliceway_filter_skipped_bytes_total", &of), Some(0.0));
    assert_eq!(page.sum("spliceway_filter_connections_total", &of), 4.0);
    assert_eq!(page.sum("spliceway_filter_failures_total", &of), 0.0);
    let timed = page.value("spliceway_filter_call_seconds_count", &of).unwrap();
    assert!((1.0..=16.0).contains(&timed), "{timed} calls were timed");
    let filtered = [("listener", "pass"), ("path", "filtered")];
    assert_eq!(page.sum("spliceway_bytes_total", &filtered), 80.0);
}

#[test]
fn what_an_inspector_skips_is_not_what_it_is_shown() {
    let scene = Scene::of(&[("lengths", "length-prefixed", "")]);
    let message = [&100_000_u32.to_be_bytes()[..], &[b'x'; 100_000]].concat();
    scene.echoed("lengths", &message);
    let page = scene.page_after(1);
    let of = [("filter", "lengths"), ("generation", "1")];
    let shown = page.value("spliceway_filter_shown_bytes_total", &of).unwrap();
    let skipped = page.value("spliceway_filter_skipped_bytes_total", &of).unwrap();
    assert_eq!(shown + skipped, 2.0 * message.len() as f64);
    assert!(skipped > shown, "{shown} bytes were shown, {skipped} skipped");
}

#[test]
fn instances_and_their_memory_are_those_that_there_are() {
    let scene = Scene::of(&[("pass", "inspector-pass", "")]);
    let of = [("filter", "pass"), ("generation", "1")];
    let mut clients: Vec<Peer> = (0..5).map(|_| scene.connect("pass")).collect();
    for client in &mut clients {
        client.send(b"x");
        client.expect(b"x");
    }
    let page = scene.page();
    assert!(page.value("spliceway_filter_instances", &of) >= Some(5.0));
    assert!(page.value("spliceway_filter_memory_bytes", &of) >= Some(5.0 * 65_536.0));
    drop(clients);
    eventually("the instances are gone", || {
        // A worker keeps the one that it fills with sessions.
        let left = scene.page().value("spliceway_filter_instances", &of)?;
        (left <= 2.0).then_some(())
    });
}

#[test]
fn failures_are_counted_by_kind() {
    let kinds = [
        ("trap", "trap"),
        ("loop", "deadline"),
        ("allocate", "memory"),
        ("hold", "contract"),
    ];
    let configs = kinds.map(|(how, _)| format!("how = \"{how}\""));
    let filters: Vec<_> = kinds
        .iter()
        .zip(&configs)
        .map(|((how, _), config)| (*how, "misbehave", &**config))
        .collect();
    let scene = Scene::of(&filters);
    for (how, _) in kinds {
        let mut client = scene.connect(how);
        client.send(b"x");
        client.expect_closed();
    }
    let page = scene.page_after(kinds.len());
    for (how, kind) in kinds {
        let failures = |kind| [("filter", how), ("generation", "1"), ("kind", kind)];
        assert_eq!(
            page.value("spliceway_filter_failures_total", &failures(kind)),
            Some(1.0),
            "{how}"
        );
        assert_eq!(
            page.sum("spliceway_filter_failures_total", &[("filter", how)]),
            1.0,
            "{how}"
        );
    }
}

#[test]
fn an_observer_s_calls_are_counted() {
    let scene = Scene::of(&[("recorder", "recorder", "")]);
    scene.echoed("recorder", b"hello");
    let calls = [("filter", "recorder"), ("generation", "1"), ("role", "observer")];
    eventually("the observer is told", || {
        scene.page().value("spliceway_filter_calls_total", &calls)
    });
    let timed = [("filter", "recorder"), ("generation", "1")];
    assert!(scene.page().value("spliceway_filter_call_seconds_sum", &timed) > Some(0.0));
}

#[test]
fn a_generation_is_there_for_as_long_as_somebody_has_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("tagged.wasm");
    let component = fs::read(guest("inspector-pass")).expect("a guest can be read");
    fs::write(&file, &component).expect("a file in a temporary folder");
    let scene = Scene::of_files(&[("pass", &file, "")]);
    let mut client = scene.connect("pass");
    client.send(b"one");
    client.expect(b"one");

    let next = folder.path().join("next");
    // A custom section, which means nothing: its number, its size, its name.
    fs::write(&next, [&component[..], b"\0\x02\x01x"].concat()).expect("a file in a temporary folder");
    fs::rename(&next, &file).expect("a file can be replaced");
    scene.proxy.published("pass", 2);

    let states = |page: &Page| -> Vec<(String, String)> {
        let states = page.samples("spliceway_filter_info");
        states
            .map(|state| (state.labels["generation"].clone(), state.labels["state"].clone()))
            .collect()
    };
    let page = scene.page();
    let both = states(&page);
    assert_eq!([&*both[0].0, &*both[1].0], ["1", "2"]);
    assert_ne!(both[0].1, both[1].1);
    let digests: Vec<_> = page
        .samples("spliceway_filter_info")
        .map(|info| &info.labels["digest"])
        .collect();
    assert!(digests.iter().all(|digest| digest.starts_with("sha256:")));
    assert_ne!(digests[0], digests[1]);
    let published = [("filter", "pass"), ("transition", "published")];
    assert_eq!(page.value("spliceway_filter_transitions_total", &published), Some(2.0));

    // The second one is what is gone back to from the third. Nobody needs the first but its connection.
    fs::write(&next, [&component[..], b"\0\x02\x01y"].concat()).expect("a file in a temporary folder");
    fs::rename(&next, &file).expect("a file can be replaced");
    scene.proxy.published("pass", 3);
    assert_eq!(states(&scene.page()).len(), 3);
    drop(client);
    eventually("the first generation is freed", || {
        (states(&scene.page()).len() == 2).then_some(())
    });
    let freed = scene.page();
    assert_eq!(
        freed.sum("spliceway_filter_failures_total", &[("generation", "1")]),
        0.0
    );
    assert!(
        freed
            .samples("spliceway_filter_failures_total")
            .all(|sample| sample.labels["generation"] != "1")
    );
}

// ---- what filters count ----

const METERS: &str = r#"metrics = [
    { kind = "counter", name = "seen_bytes_total", help = 'Bytes, "all" of \ them.' },
    { kind = "gauge", name = "last_bytes", help = "The last chunk.\nOf all." },
    { kind = "histogram", name = "chunk_bytes" },
]"#;

#[test]
fn what_filters_count_is_on_the_page_with_its_help_and_its_kind() {
    let scene = Scene::of(&[("one", "meter", METERS), ("other", "meter", METERS)]);
    scene.echoed("one", &[b'x'; 100]);
    scene.echoed("other", b"12345678");
    let page = scene.page_after(2);

    let counter = &page.families["spliceway_custom_seen_bytes"];
    assert_eq!(
        (&*counter.kind, &*counter.help),
        ("counter", "Bytes, \"all\" of \\ them.")
    );
    assert_eq!(
        page.value("spliceway_custom_seen_bytes_total", &[("filter", "one")]),
        Some(200.0)
    );
    assert_eq!(
        page.value("spliceway_custom_seen_bytes_total", &[("filter", "other")]),
        Some(16.0)
    );

    let gauge = &page.families["spliceway_custom_last_bytes"];
    assert_eq!((&*gauge.kind, &*gauge.help), ("gauge", "The last chunk.\nOf all."));
    // The end of a direction is shown with no bytes.
    assert_eq!(
        page.value("spliceway_custom_last_bytes", &[("filter", "one")]),
        Some(0.0)
    );

    assert_eq!(page.families["spliceway_custom_chunk_bytes"].kind, "histogram");
    let one = |name: &str| page.value(&format!("spliceway_custom_chunk_bytes_{name}"), &[("filter", "one")]);
    // Two chunks of a hundred bytes, and two of none.
    assert_eq!((one("count"), one("sum")), (Some(4.0), Some(200.0)));
    let bucket = |le| page.value("spliceway_custom_chunk_bytes_bucket", &[("filter", "one"), ("le", le)]);
    assert_eq!(
        (bucket("64.0"), bucket("128.0"), bucket("+Inf")),
        (Some(2.0), Some(4.0), Some(4.0))
    );
}

#[test]
fn a_metric_without_a_name_for_prometheus_or_with_two_meanings_keeps_its_filter_from_loading() {
    let meter = |metrics: &str| format!("metrics = [{metrics}]");
    let hits = meter(r#"{ kind = "counter", name = "hits" }"#);
    for (metrics, says) in [
        (
            r#"{ kind = "counter", name = "no name" }"#,
            "`no name` is no name for a metric",
        ),
        (r#"{ kind = "gauge", name = "7up" }"#, "`7up` is no name for a metric"),
        (
            r#"{ kind = "gauge", name = "load" }, { kind = "counter", name = "load" }"#,
            "`load` is defined as another kind of metric already",
        ),
        (
            r#"{ kind = "counter", name = "load" }, { kind = "counter", name = "load_total" }"#,
            "`load_total` is the counter `load` by another name",
        ),
        (
            r#"{ kind = "gauge", name = "hits" }"#,
            "`hits` would be `hits` on the page of metrics, which is of the counter `hits` of the filter `one`",
        ),
        (
            r#"{ kind = "gauge", name = "hits_total" }"#,
            "which is of the counter `hits` of the filter `one`",
        ),
    ] {
        let folder = TempDir::new().expect("a temporary folder");
        let meter_file = guest("meter");
        let config = config(
            HERE,
            NOWHERE,
            &[("one", &meter_file, &hits), ("other", &meter_file, &meter(metrics))],
        );
        let said = refused(folder.path(), &config);
        assert!(said.contains("filter \"other\"") && said.contains(says), "{said}");
    }
}

// ---- how it is asked ----

#[test]
fn curl_reads_it_over_tcp_and_over_a_unix_socket() {
    let folder = TempDir::new().expect("a temporary folder");
    let socket = folder.path().join("metrics");
    let over_unix = Scene::at(&format!("address = \"unix:{}\"", socket.display()), &[]);
    let over_tcp = Scene::of(&[]);
    let unix = [
        "--unix-socket".to_owned(),
        socket.display().to_string(),
        "http://test/metrics".to_owned(),
    ];
    let tcp = [format!("http://{}/metrics", over_tcp.metrics)];
    over_unix.echoed("", b"hello");
    over_unix.page_after(1);
    for (arguments, bytes) in [(&unix[..], 20.0), (&tcp[..], 0.0)] {
        let said = run(
            lasting("curl")
                .args(["-sS", "--fail", "--dump-header", "-"])
                .args(arguments),
            DEADLINE,
        );
        let (head, page) = said
            .success()
            .split_once("\r\n\r\n")
            .map(|(head, page)| (head.to_owned(), parsed(page)))
            .unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert_eq!(page.sum("spliceway_bytes_total", &[]), bytes / 2.0);
    }
}

#[test]
fn only_the_page_is_there_and_only_to_be_read() {
    let scene = Scene::of(&[]);
    let head = scene.ask("HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        ("GET /metrics/ HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: test\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("DELETE /metrics HTTP/1.1\r\nHost: test\r\n\r\n", "405"),
        ("get me the page\r\n\r\n", "400"),
        ("\0\0\0\0\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}", "400"),
        ("GET /metrics HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"),
    ] {
        let answer = scene.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?}: {answer}"
        );
    }
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(100_000));
    let mut client = Client::connect(&scene.metrics);
    // It may be closed before all of it was taken.
    let _ = client.try_send(endless.as_bytes());
    client.expect_closed();
    scene.page();
}

#[test]
fn whoever_asks_slowly_makes_room_for_others() {
    let scene = Scene::of(&[]);
    let slow = || {
        let mut client = Client::connect(&scene.metrics);
        client.send(b"GET /metrics HTTP/1.1\r\nHost: ");
        client
    };
    let mut crowd: Vec<Peer> = (0..CROWD).map(|_| slow()).collect();
    let before = scene.proxy.connections();
    assert!(before < 2 * CROWD, "{before} connections");
    scene.page();
    crowd[0].expect_closed();
    // The newest had the least time, and may finish.
    let newest = crowd.last_mut().unwrap();
    newest.send(b"test\r\n\r\n");
    assert!(newest.receive_all().starts_with(b"HTTP/1.1 200"));
}

#[test]
fn the_page_is_there_while_the_proxy_is_busy_and_counts_go_up_alone() {
    let _alone = alone();
    let scene = Scene::of(&[("meter", "meter", METERS)]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for listener in ["plain", "meter"] {
            let (scene, over) = (&scene, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    scene.echoed(if listener == "plain" { "" } else { listener }, b"hello");
                }
            });
        }
        let mut last = Page::default();
        for _ in 0..50 {
            let page = scene.page();
            for (name, family) in last.families.iter().filter(|(_, family)| family.kind != "gauge") {
                for sample in &family.samples {
                    let mut now = page.samples(&sample.name).filter(|now| now.labels == sample.labels);
                    let now = now.next().unwrap_or_else(|| panic!("{name} is gone"));
                    assert!(now.value >= sample.value, "{sample:?} went back to {}", now.value);
                }
            }
            last = page;
        }
        over.store(true, Ordering::Relaxed);
        assert!(last.sum("spliceway_connections_total", &[]) > 0.0);
    });
}

#[test]
fn it_is_there_until_the_last_connection_has_ended() {
    use rustix::process::Signal;
    let scene = Scene::of(&[]);
    let mut client = scene.connect("");
    client.send(b"x");
    client.expect(b"x");
    scene.proxy.signal(Signal::TERM);
    scene.proxy.wait_for("stopping: connections may finish", |_| true);
    scene.page();
    client.half_close();
    client.expect_eof();
    drop(client);
    scene.proxy.wait_for("stopped", |_| true);
}

// ---- where it may be ----

#[test]
fn an_address_that_others_reach_has_to_be_allowed() {
    let folder = TempDir::new().expect("a temporary folder");
    let said = refused(folder.path(), &config("address = \"0.0.0.0:0\"", NOWHERE, &[]));
    assert!(
        said.contains("other machines may reach the metrics") && said.contains("expose = true"),
        "{said}"
    );
    let scene = Scene::at("address = \"0.0.0.0:0\"\nexpose = true", &[]);
    let port = scene.metrics.rsplit(':').next().unwrap();
    assert!(ask(&format!("127.0.0.1:{port}"), GET).starts_with("HTTP/1.1 200"));
}

#[test]
fn an_address_that_is_taken_keeps_the_proxy_from_starting() {
    let taken = Upstream::listen();
    let folder = TempDir::new().expect("a temporary folder");
    let said = refused(
        folder.path(),
        &config(&format!("address = \"{}\"", taken.address()), NOWHERE, &[]),
    );
    let expected = format!("cannot listen on {} (metrics): the address is in use", taken.address());
    assert!(said.contains(&expected), "{said}");
}

// ---- the scene ----

/// A proxy with a page, in front of an echo: the listener `plain`, and one for each filter, with its name.
struct Scene {
    proxy: Proxy,
    metrics: String,
    _upstream: Upstream,
}

impl Scene {
    /// Filters by their names, guests and configurations.
    fn of(filters: &[(&str, &str, &str)]) -> Self {
        Self::at(HERE, filters)
    }

    fn at(metrics: &str, filters: &[(&str, &str, &str)]) -> Self {
        let files: Vec<_> = filters.iter().map(|(_, file, _)| guest(file)).collect();
        let filters: Vec<_> = filters
            .iter()
            .zip(&files)
            .map(|((name, _, config), file)| (*name, &**file, *config))
            .collect();
        Self::start(metrics, &filters)
    }

    fn of_files(filters: &[(&str, &Path, &str)]) -> Self {
        Self::start(HERE, filters)
    }

    fn start(metrics: &str, filters: &[(&str, &Path, &str)]) -> Self {
        let upstream = Upstream::echo();
        let proxy = Proxy::run(&config(metrics, upstream.address(), filters)).start();
        let metrics = proxy
            .wait_for("metrics are served", |_| true)
            .text("address")
            .to_owned();
        Self {
            proxy,
            metrics,
            _upstream: upstream,
        }
    }

    /// To the listener with that filter, or with none.
    fn connect(&self, filter: &str) -> Peer {
        let listener = if filter.is_empty() { "plain" } else { filter };
        Client::connect(self.proxy.listener(listener))
    }

    /// A connection from its beginning to its end.
    fn echoed(&self, filter: &str, bytes: &[u8]) {
        let mut client = self.connect(filter);
        client.send(bytes);
        client.expect(bytes);
        client.half_close();
        client.expect_eof();
    }

    fn ask(&self, request: &str) -> String {
        ask(&self.metrics, request)
    }

    fn page(&self) -> Page {
        let answer = self.ask(GET);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        parsed(body)
    }

    /// Once so many connections have ended.
    fn page_after(&self, connections: usize) -> Page {
        self.proxy.all_ended(connections);
        eventually("all connections are counted", || {
            let page = self.page();
            (page.sum("spliceway_connections_total", &[]) >= connections as f64).then_some(page)
        })
    }
}

fn config(metrics: &str, upstream: &str, filters: &[(&str, &Path, &str)]) -> String {
    let mut config = format!("[metrics]\n{metrics}\n[upstreams.only]\nservers = [\"{upstream}\"]\n");
    let mut listen = |name: &str, filters: &str| {
        let address = "address = \"127.0.0.1:0\"\nupstream = \"only\"";
        let _ = writeln!(
            config,
            "[[listeners]]\nname = \"{name}\"\n{address}\nfilters = [{filters}]"
        );
    };
    listen("plain", "");
    for (name, ..) in filters {
        listen(name, &format!("\"{name}\""));
    }
    for (name, file, own) in filters {
        let _ = writeln!(config, "[filters.{name}]\nsource = \"{}\"", file.display());
        if !own.is_empty() {
            let _ = writeln!(config, "[filters.{name}.config]\n{own}");
        }
    }
    config
}

fn refused(folder: &Path, config: &str) -> String {
    let file = folder.join("spliceway.toml");
    fs::write(&file, config).expect("a file in a temporary folder");
    let ended = spliceway(["run", "--config", &file.display().to_string()], DEADLINE);
    assert_ne!(ended.code(), Some(0), "it started");
    ended.stderr
}

fn ask(address: &str, request: &str) -> String {
    let mut client = Client::connect(address);
    client.send(request.as_bytes());
    String::from_utf8(client.receive_all()).expect("an answer in UTF-8")
}

#[track_caller]
fn parsed(page: &str) -> Page {
    Page::parse(page).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

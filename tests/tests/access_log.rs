//! The access log: a line for each connection, exactly one, with the right figures, whatever becomes of the connection
//! and of the file.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustix::process::Signal;
use serde_json::{Value, json};
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::pattern;
use spliceway_tests::{Client, Peer, Proxy, Upstream, alone, eventually};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

// ---- what a line says ----

#[test]
fn a_line_says_who_what_and_how_long() {
    let upstream = Upstream::listen();
    let scene = Scene::start(r#"file = "access.log""#, &upstream, "");
    let mut client = scene.connect();
    let mut server = upstream.accept();
    client.send(b"what is it?");
    server.expect(b"what is it?");
    // The scene itself: a server that thinks before it answers.
    thread::sleep(Duration::from_millis(100));
    server.send(b"this");
    client.expect(b"this");
    client.half_close();
    server.hears_fin();
    server.half_close();
    client.hears_fin();

    let line = scene.closed(&client);
    let expected = json!({
        "event": "close", "listener": "front", "client": client.local(), "upstream": "only",
        "server": upstream.address(), "outcome": "relay.finished.client", "up": 11, "down": 4,
        "up_copied": 11, "up_spliced": 0, "up_filtered": 0, "down_copied": 4, "down_spliced": 0, "down_filtered": 0,
    });
    for (field, value) in expected.as_object().expect("it is one") {
        assert_eq!(&line[field], value, "{field} in {line}");
    }
    let [connect, first_byte, duration] =
        ["connect_us", "first_byte_us", "duration_us"].map(|field| number(&line, field));
    assert!((1..5_000_000).contains(&connect), "{line}");
    // It counts from when the server had answered, before it began to think.
    assert!(first_byte >= 100_000, "{line}");
    assert!(duration >= connect + first_byte, "{line}");
    for field in ["client_rtt_us", "upstream_rtt_us"] {
        assert!((1..5_000_000).contains(&number(&line, field)), "{field} in {line}");
    }
    for field in ["client_retransmits", "upstream_retransmits"] {
        assert!(line[field].is_u64(), "{field} in {line}");
    }
    assert!(line.get("annotations").is_none(), "{line}");
    let time = line["time"].as_str().expect("a time");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
}

#[test]
fn a_line_says_by_which_way_the_bytes_went() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let scene = Scene::start(r#"file = "access.log""#, &upstream, "");
    let mut client = scene.connect();
    let mut server = upstream.accept();
    client.send(b"give");
    server.expect(b"give");
    let bulk = pattern(1, 8 * MIB);
    thread::scope(|scope| {
        scope.spawn(|| {
            server.send(&bulk);
            server.half_close();
        });
        client.hear_out().is_whole(&bulk);
    });
    client.half_close();
    server.hears_fin();
    let line = scene.closed(&client);
    assert_eq!((number(&line, "up"), number(&line, "up_copied")), (4, 4), "{line}");
    let [down, copied, spliced] = ["down", "down_copied", "down_spliced"].map(|field| number(&line, field));
    assert_eq!((down, copied + spliced), (8 * MIB as u64, 8 * MIB as u64), "{line}");
    assert!(spliced > 7 * MIB as u64, "{line}");
    assert_eq!(line["outcome"], "relay.finished.upstream");
}

#[test]
fn a_line_says_what_filters_had_to_say() {
    let upstream = Upstream::echo();
    let filter = format!(
        "[filters.script]\nsource = \"{}\"\nconfig = {{ interest = \"up\", verdict = \"forward\" }}\n",
        guest("inspector-script").display()
    );
    let scene = Scene::start(
        r#"file = "access.log""#,
        &upstream,
        &format!("filters = [\"script\"]\n{filter}"),
    );
    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.hears_fin();
    let line = scene.closed(&client);
    assert_eq!(line["annotations"], json!({ "shown-up": 5 }), "{line}");
    assert_eq!(
        (number(&line, "up_filtered"), number(&line, "down_copied")),
        (5, 5),
        "{line}"
    );
}

#[test]
fn the_time_to_connect_is_the_server_s() {
    let upstream = Upstream::unanswering();
    let scene = Scene::start(r#"file = "access.log""#, &upstream, "");
    let mut client = scene.connect();
    eventually("a first SYN was sent", || {
        is_connecting_to(upstream.port()).then_some(())
    });
    // It answers the second one, which comes a second later.
    upstream.answer();
    drop(upstream.accept());
    client.half_close();
    let line = scene.closed(&client);
    assert!(number(&line, "connect_us") >= 900_000, "{line}");
    assert!(number(&line, "duration_us") >= number(&line, "connect_us"), "{line}");
    assert!(line.get("first_byte_us").is_none(), "{line}");
}

#[test]
fn what_a_connection_did_not_have_is_left_out() {
    let folder = TempDir::new().expect("a temporary folder");
    let upstream = Upstream::listen_unix(&folder.path().join("upstream")).serving(|mut peer| {
        peer.receive_all();
    });
    let listen = format!("unix:{}", folder.path().join("proxy").display());
    let scene = Scene::at(&listen, r#"file = "access.log""#, &upstream, "");
    let mut client = scene.connect();
    client.half_close();
    client.hears_fin();
    let line = scene.line("close", |_| true);
    assert_eq!(line["server"], upstream.address());
    let absent = [
        "client",
        "first_byte_us",
        "client_rtt_us",
        "client_retransmits",
        "upstream_rtt_us",
        "upstream_retransmits",
        "annotations",
    ];
    for field in absent {
        assert!(line.get(field).is_none(), "{field} in {line}");
    }
    assert!(number(&line, "connect_us") < 5_000_000, "{line}");

    let (_port, nobody) = Upstream::refusing();
    let scene = Scene::towards(&nobody, r#"file = "access.log""#);
    let mut client = scene.connect();
    client.expect_closed();
    let line = scene.closed(&client);
    assert_eq!(line["outcome"], "connect.refused.upstream");
    assert_eq!(line["upstream"], "only");
    for field in [
        "server",
        "connect_us",
        "first_byte_us",
        "client_rtt_us",
        "upstream_rtt_us",
    ] {
        assert!(line.get(field).is_none(), "{field} in {line}");
    }
}

#[test]
fn a_template_is_filled_in() {
    let upstream = Upstream::echo();
    let log =
        r#"file = "access.log", format = "{event} <{client}> {{{listener}}} {outcome} {up}/{down} {annotations}""#;
    let scene = Scene::start(log, &upstream, "");
    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.hears_fin();
    let expected = format!("close <{}> {{front}} relay.finished.client 5/5 -\n", client.local());
    eventually("the line is written", || (scene.text() == expected).then_some(()));
}

// ---- when there is a line ----

#[test]
fn a_line_at_the_beginning_where_that_is_asked_for() {
    let upstream = Upstream::listen();
    let scene = Scene::start(r#"file = "access.log", open = true"#, &upstream, "");
    let mut client = scene.connect();
    let mut server = upstream.accept();
    // The connection is still there, and does not have to end for it.
    let open = scene.line("open", |line| line["client"] == client.local());
    assert_eq!((number(&open, "up"), number(&open, "down")), (0, 0), "{open}");
    assert_eq!(open["server"], upstream.address(), "{open}");
    assert!(number(&open, "connect_us") > 0, "{open}");
    assert!(open.get("outcome").is_none(), "{open}");

    server.send(b"hello");
    server.half_close();
    client.expect(b"hello");
    client.half_close();
    let close = scene.closed(&client);
    assert_eq!(open["connection"], close["connection"]);
    assert_eq!(scene.lines().len(), 2);
}

#[test]
fn a_line_now_and_then_while_a_connection_lives_idle_or_spliced() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let scene = Scene::start(r#"file = "access.log", every = "1s""#, &upstream, "");
    let mut idle = scene.connect();
    let mut idle_server = upstream.accept();
    let mut busy = scene.connect();
    let mut busy_server = upstream.accept();
    let mut short = scene.connect();
    drop(upstream.accept());
    short.half_close();
    short.hears_fin();
    scene.closed(&short);

    let alive = |client: &Peer| {
        let mut lines = scene.lines();
        lines.retain(|line| line["event"] == "alive" && line["client"] == client.local());
        lines
    };
    let (busy_reader, chunk) = (busy.another(), pattern(2, MIB));
    let sent = thread::scope(|scope| {
        let reading = scope.spawn(|| discard(&busy_reader));
        let mut sent = 0;
        // Bulk without a pause, until there were two lines of it.
        while alive(&busy).len() < 2 {
            for _ in 0..16 {
                busy_server.send(&chunk);
            }
            sent += 16 * MIB as u64;
        }
        busy_server.half_close();
        reading.join().expect("the reader does not panic");
        sent
    });
    busy.half_close();
    busy_server.hears_fin();
    let close = scene.closed(&busy);
    assert_eq!(number(&close, "down"), sent, "{close}");
    let spliced: Vec<u64> = alive(&busy).iter().map(|line| number(line, "down_spliced")).collect();
    assert!(
        spliced.is_sorted() && spliced[0] > 0 && spliced[1] > spliced[0],
        "{spliced:?}"
    );
    let durations: Vec<u64> = alive(&busy).iter().map(|line| number(line, "duration_us")).collect();
    for (count, duration) in (1..).zip(&durations) {
        // The proxy's clock may be one tick of 10 ms behind.
        assert!(*duration >= count * 985_000, "{durations:?}");
    }

    // Nothing ever happened on this one, and it is told of all the same.
    let told = eventually("the idle one is alive, too", || {
        (alive(&idle).len() >= 2).then(|| alive(&idle))
    });
    assert!(
        told.iter()
            .all(|line| number(line, "down") == 0 && line.get("outcome").is_none()),
        "{told:?}"
    );
    idle.half_close();
    idle_server.hears_fin();
    drop(idle_server);
    scene.closed(&idle);
    assert!(alive(&short).is_empty());
}

#[test]
fn many_connections_that_end_in_every_way_have_one_line_each() {
    let _alone = alone();
    const EACH: usize = 125;
    let upstream = Upstream::echo();
    let (_port, nobody) = Upstream::refusing();
    let silent = Upstream::listen().serving(|mut peer| {
        peer.expect_closed();
    });
    let more = format!(
        "[upstreams.none]\nservers = [\"{nobody}\"]\n\
         [upstreams.silent]\nservers = [\"{}\"]\ntimeouts = {{ first-byte = \"100ms\" }}\n\
         [[listeners]]\nname = \"refused\"\naddress = \"127.0.0.1:0\"\nupstream = \"none\"\n\
         [[listeners]]\nname = \"timeout\"\naddress = \"127.0.0.1:0\"\nupstream = \"silent\"\n",
        silent.address()
    );
    let scene = Scene::start(r#"file = "access.log", open = true"#, &upstream, &more);
    let proxy = &scene.proxy;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..EACH {
                let mut client = Client::connect(proxy.listener("front"));
                client.send(b"hello");
                client.half_close();
                client.hear_out().is_whole(b"hello");
            }
        });
        scope.spawn(|| {
            for _ in 0..EACH {
                let mut client = Client::connect(proxy.listener("front"));
                client.send(b"hello");
                client.expect(b"hello");
                client.reset();
            }
        });
        scope.spawn(|| {
            for _ in 0..EACH {
                Client::connect(proxy.listener("refused")).expect_closed();
            }
        });
        scope.spawn(|| {
            let clients: Vec<Peer> = (0..EACH).map(|_| Client::connect(proxy.listener("timeout"))).collect();
            for mut client in clients {
                client.expect_closed();
            }
        });
    });
    scene.proxy.all_ended(4 * EACH);
    scene.proxy.signal(Signal::TERM);
    let (lines, _) = scene.ended();

    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut closed = HashSet::new();
    for line in lines.iter().filter(|line| line["event"] == "close") {
        *outcomes
            .entry(line["outcome"].as_str().expect("an outcome"))
            .or_default() += 1;
        assert!(closed.insert(number(line, "connection")), "twice: {line}");
    }
    let expected = [
        ("connect.refused.upstream", EACH),
        ("relay.finished.client", EACH),
        ("relay.first-byte-timeout.upstream", EACH),
        ("relay.reset.client", EACH),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected));
    // Those that were connected have a line at the beginning as well.
    let opened: Vec<u64> = lines
        .iter()
        .filter(|line| line["event"] == "open")
        .map(|line| number(line, "connection"))
        .collect();
    assert_eq!(opened.len(), 3 * EACH);
    assert!(opened.iter().all(|connection| closed.contains(connection)));
}

#[test]
fn nothing_is_lost_when_the_proxy_ends() {
    let upstream = Upstream::echo();
    let drain = "[drain]\nsoft = \"1ms\"\nspread = \"0\"\n";
    let scene = Scene::start(r#"file = "access.log""#, &upstream, drain);
    let mut clients: Vec<Peer> = (0..200).map(|_| scene.connect()).collect();
    for client in &mut clients {
        client.send(b"x");
        client.expect(b"x");
    }
    // Half of them end just then, the others live on until they are told to go.
    let living = clients.split_off(100);
    drop(clients);
    scene.proxy.signal(Signal::TERM);
    for mut client in living {
        client.hears_fin();
    }
    let (lines, code) = scene.ended();
    assert_eq!(code, Some(0));
    let told: HashSet<&str> = lines.iter().filter_map(|line| line["client"].as_str()).collect();
    assert_eq!((lines.len(), told.len()), (200, 200));
    let drained = lines.iter().filter(|line| line["outcome"] == "relay.drained.proxy");
    assert!(drained.count() >= 100);
}

// ---- where the lines go ----

#[test]
fn standard_output_is_where_lines_go_unless_a_file_is_named() {
    for log in ["", r#"file = "-""#] {
        let upstream = Upstream::echo();
        let output = tempfile::NamedTempFile::new().expect("a temporary file");
        let proxy = Proxy::run(&config(log, "127.0.0.1:0", upstream.address(), ""))
            .stdout(output.reopen().expect("a file can be opened twice"))
            .start();
        let scene = Scene {
            proxy,
            file: output.path().to_owned(),
        };
        let mut client = scene.connect();
        client.half_close();
        client.hears_fin();
        assert_eq!(scene.closed(&client)["outcome"], "relay.finished.client");
    }
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_at_sighup() {
    let upstream = Upstream::echo();
    let scene = Scene::start(r#"file = "access.log""#, &upstream, "");
    let connection = |scene: &Scene| {
        let mut client = scene.connect();
        client.half_close();
        client.hears_fin();
        client
    };
    let first = connection(&scene);
    scene.closed(&first);
    let moved = scene.file.with_extension("1");
    fs::rename(&scene.file, &moved).expect("a file of the test's can be moved");
    // Until it is told, the proxy writes on to where it always did.
    let second = connection(&scene);
    eventually("the second one is in the old file", || {
        lines_of(&moved)
            .into_iter()
            .find(|line| line["client"] == second.local())
    });
    assert!(!scene.file.exists());

    scene.proxy.signal(Signal::HUP);
    scene.proxy.wait_for("access log reopened", |_| true);
    let third = connection(&scene);
    scene.closed(&third);
    let clients = |file: &Path| -> Vec<Value> { lines_of(file).iter().map(|line| line["client"].clone()).collect() };
    assert_eq!(clients(&moved), [first.local(), second.local()]);
    assert_eq!(clients(&scene.file), [third.local()]);
}

#[test]
fn a_full_disk_is_told_of_once_and_nothing_waits_for_it() {
    let upstream = Upstream::echo();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("access.log");
    symlink("/dev/full", &file).expect("a link in a folder of the test's");
    let scene = Scene::start(&format!("file = \"{}\"", file.display()), &upstream, "");
    let echo = || {
        let mut client = scene.connect();
        client.send(b"hello");
        client.expect(b"hello");
        client.half_close();
        client.hears_fin();
        client
    };
    const FULL: &str = "cannot write the access log: lines are dropped";
    echo();
    scene.proxy.wait_for(FULL, |_| true);
    for _ in 0..20 {
        echo();
    }

    // When there is room again, there are lines again, and those that are missing are told of.
    let room = folder.path().join("room");
    fs::write(&room, "").expect("a file in a folder of the test's");
    fs::remove_file(&file).expect("the test's own link");
    symlink(&room, &file).expect("a link in a folder of the test's");
    scene.proxy.signal(Signal::HUP);
    scene.proxy.wait_for("access log reopened", |_| true);
    let client = echo();
    eventually("there is a line again", || {
        lines_of(&room)
            .into_iter()
            .find(|line| line["client"] == client.local())
    });
    let told = scene.proxy.wait_for("lines of the access log were dropped", |_| true);
    assert_eq!(told.number("lost") + lines_of(&room).len() as u64, 22, "{told}");
    assert_eq!(scene.proxy.logged(FULL).len(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_one_clear_line_and_exit_code_1() {
    let upstream = Upstream::listen();
    let log = r#"file = "/nowhere/access.log""#;
    let finished = Proxy::run(&config(log, "127.0.0.1:0", upstream.address(), "")).fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    assert!(
        finished
            .stderr
            .contains("cannot open the access log /nowhere/access.log"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_reader_of_the_log_that_stops_reading_keeps_neither_clients_nor_the_end_waiting() {
    let upstream = Upstream::echo();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let proxy = Proxy::run(&config("", "127.0.0.1:0", upstream.address(), ""))
        .stdout(writer)
        .start();
    let mut scene = Scene {
        proxy,
        file: PathBuf::new(),
    };
    // A line has more than 300 bytes, and a pipe takes 64 KiB of them.
    for _ in 0..400 {
        let mut client = scene.connect();
        client.half_close();
        client.hears_fin();
    }
    scene.proxy.signal(Signal::TERM);
    assert_eq!(scene.proxy.wait().code(), Some(0));
    drop(reader);
}

// ---- the scenes ----

/// A proxy with an access log.
struct Scene {
    proxy: Proxy,
    file: PathBuf,
}

impl Scene {
    fn start(log: &str, upstream: &Upstream, more: &str) -> Self {
        Self::at("127.0.0.1:0", log, upstream, more)
    }

    fn at(listen: &str, log: &str, upstream: &Upstream, more: &str) -> Self {
        Self::run(&config(log, listen, upstream.address(), more))
    }

    fn towards(upstream: &str, log: &str) -> Self {
        Self::run(&config(log, "127.0.0.1:0", upstream, ""))
    }

    fn run(config: &str) -> Self {
        let proxy = Proxy::run(config).start();
        let file = proxy.folder().join("access.log");
        Self { proxy, file }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Value> {
        lines_of(&self.file)
    }

    /// Waits for a line of this event.
    #[track_caller]
    fn line(&self, event: &str, accepts: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a line of the event {event}"), || {
            self.lines()
                .into_iter()
                .find(|line| line["event"] == event && accepts(line))
        })
    }

    /// Waits for the line of this client's end.
    #[track_caller]
    fn closed(&self, client: &Peer) -> Value {
        self.line("close", |line| line["client"] == client.local())
    }

    /// What the log has when the proxy has ended, and its exit code.
    #[track_caller]
    fn ended(mut self) -> (Vec<Value>, Option<i32>) {
        let code = self.proxy.wait().code();
        (self.lines(), code)
    }
}

/// The whole lines of a file: the last one may be in the middle of being written.
#[track_caller]
fn lines_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

#[track_caller]
fn number(line: &Value, field: &str) -> u64 {
    line[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {field} in {line}"))
}

/// Reads to the end and keeps nothing.
fn discard(peer: &Peer) {
    let mut buffer = vec![0; MIB];
    while recv(peer, &mut buffer[..], RecvFlags::empty()).is_ok_and(|(bytes, _)| bytes > 0) {}
}

/// Whether somebody has sent a SYN to that port that was not answered.
fn is_connecting_to(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        // The address of the other side, the state: 02 is SYN_SENT.
        words.next().is_some_and(|other| other.ends_with(&port)) && words.next() == Some("02")
    })
}

fn config(log: &str, listen: &str, upstream: &str, more: &str) -> String {
    format!(
        "access-log = {{ {log} }}\n\
         [upstreams.only]\nservers = [\"{upstream}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"{listen}\"\nupstream = \"only\"\n{more}"
    )
}

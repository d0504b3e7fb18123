//! Captures: what tshark reads of them is what was said, and nobody's connection is another for being written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::process::Signal;
use serde_json::json;
use spliceway_tests::admin::Operator;
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::pattern;
use spliceway_tests::captures::{Captured, captured};
use spliceway_tests::certificates::Authority;
use spliceway_tests::command::{lasting, run};
use spliceway_tests::{
    Builder, Client, DEADLINE, Peer, Proxy, TlsPeer, Upstream, alone, eventually, is_root, skip, trusting,
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// What Wireshark says of a RST, which is there.
const RESET: &[&str] = &["Connection reset (RST)"];

// ---- what was said is what is read ----

#[test]
fn both_legs_of_a_plain_connection_are_followed_as_they_were_said() {
    let mut scene = Scene::start("", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"what is it?", b"this");
    let (up, down) = (pattern(1, MIB), pattern(2, 3 * MIB));
    thread::scope(|scope| {
        let (mut reading, mut writing) = (server.another(), server.another());
        let heard = scope.spawn(move || reading.receive_all());
        let sent = &down;
        scope.spawn(move || {
            writing.send(sent);
            writing.half_close();
        });
        let mut sending = client.another();
        let sent = &up;
        scope.spawn(move || {
            sending.send(sent);
            sending.half_close();
        });
        assert!(client.receive_all() == down, "the bytes differ");
        assert!(heard.join().expect("the server reads") == up, "the bytes differ");
    });
    let (address, ended) = (client.local().to_owned(), scene.proxy.ended(&client));
    assert_eq!((ended.up_spliced, ended.down_spliced), (0, 0), "{ended:?}");
    let upstream = scene.upstream.address().to_owned();

    let capture = scene.only_capture();
    let up = [&b"what is it?"[..], &up].concat();
    let down = [&b"this"[..], &down].concat();
    for leg in ["client", "upstream"] {
        let [said, answered] = capture.said(leg);
        assert!(
            said == up && answered == down,
            "{leg}: {} and {} bytes",
            said.len(),
            answered.len()
        );
    }
    capture.is_sound(&[]);
    let infos = capture.infos();
    assert!(
        infos.contains("Interface #0") && infos.contains("Interface #1"),
        "{infos}"
    );
    assert!(infos.contains("nanoseconds (9)"), "{infos}");
    // The real addresses.
    let syns = capture.fields(
        "tcp.flags.syn == 1 && tcp.flags.ack == 0",
        &["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport"],
    );
    assert_eq!(format!("{}:{}", syns[0][0], syns[0][1]), address);
    assert_eq!(format!("{}:{}", syns[1][2], syns[1][3]), upstream);
    // How it began, and how it ended.
    let comments = capture.fields("frame.comment", &["frame.comment", "tcp.flags.syn", "tcp.flags.fin"]);
    let [first, .., last] = comments.as_slice() else {
        panic!("{comments:?}")
    };
    assert!(first[0].contains("listener front; client 127.0.0.1:"), "{first:?}");
    assert!(
        first[0].contains("upstream only; server 127.0.0.1:") && first[1] == "1",
        "{first:?}"
    );
    assert!(last[0].starts_with("relay.finished.") && last[2] == "1", "{last:?}");
    assert!(last[0].contains("bytes up, ") && comments.len() == 4, "{comments:?}");
}

#[test]
fn what_comes_in_tls_is_captured_in_the_clear() {
    let authority = Authority::new("tests");
    let folder = TempDir::new().expect("a temporary folder");
    let identity = authority.server(&["a.example"]);
    let file = identity.save(folder.path(), "server.pem");
    let mut scene = Scene::start("", &format!("tls = {{ certificates = [{file:?}] }}"), "");
    let config = Arc::new(trusting(&authority));
    let mut client = TlsPeer::client(Client::connect(scene.proxy.address()), &config, "a.example");
    let mut server = scene.upstream.accept();
    client.send(b"in secret");
    server.expect(b"in secret");
    server.send(b"whispered");
    client.expect(b"whispered");
    client.finish();
    server.expect_eof();
    server.half_close();
    client.hears_whole(b"");
    scene.proxy.ended(client.peer());

    let capture = scene.only_capture();
    for leg in ["client", "upstream"] {
        assert_eq!(
            capture.said(leg),
            [b"in secret".to_vec(), b"whispered".to_vec()],
            "{leg}"
        );
    }
    capture.is_sound(&[]);
    let comments = capture.fields("frame.comment contains \"SNI a.example\"", &["frame.comment"]);
    assert!(
        comments[0][0].contains("with the client TLSv1.3, decrypted"),
        "{comments:?}"
    );
}

#[test]
fn what_filters_make_of_it_is_on_the_other_leg() {
    let upper = format!(
        "[filters.upper]\nsource = {:?}\nconfig = {{ do = \"upper\" }}\n",
        guest("transformer-script")
    );
    let mut scene = Scene::start("", "filters = [\"upper\"]", &upper);
    let (mut client, mut server) = scene.pair();
    client.send(b"question");
    server.expect(b"QUESTION");
    server.send(b"answer");
    client.expect(b"ANSWER");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let capture = scene.only_capture();
    assert_eq!(capture.said("client"), [b"question".to_vec(), b"ANSWER".to_vec()]);
    assert_eq!(capture.said("upstream"), [b"QUESTION".to_vec(), b"answer".to_vec()]);
    capture.is_sound(&[]);
    assert!(
        !capture
            .fields("frame.comment contains \"filters upper\"", &["frame.number"])
            .is_empty()
    );
}

#[test]
fn what_is_logged_can_be_what_came_out_of_filters() {
    let upper = format!(
        "[filters.upper]\nsource = {:?}\nconfig = {{ do = \"upper\" }}\n",
        guest("transformer-script")
    );
    let keys = "format = \"text\", legs = \"filtered\"";
    let mut scene = Scene::start(keys, "filters = [\"upper\"]", &upper);
    let (mut client, mut server) = scene.pair();
    client.send(b"question");
    server.expect(b"QUESTION");
    server.send(b"answer\n");
    client.expect(b"ANSWER\n");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let Captured(file) = scene.only_capture();
    let text = fs::read_to_string(file).expect("text");
    assert!(text.contains("proxy>upstream at=0 length=8 \"QUESTION\"\n"), "{text}");
    assert!(text.contains("proxy>client at=0 length=7 \"ANSWER\\n\"\n"), "{text}");
    assert!(!text.contains("question") && !text.contains("answer"), "{text}");
    assert!(text.contains(" over relay.finished."), "{text}");
}

#[test]
fn a_dump_is_what_hexdump_would_make_of_it() {
    let mut scene = Scene::start("format = \"hex\", legs = \"client\"", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"0123456789abcdefg", b"\0");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let Captured(file) = scene.only_capture();
    let text = fs::read_to_string(file).expect("text");
    let row = "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n";
    assert!(text.contains(row) && !text.contains("proxy>upstream"), "{text}");
}

#[test]
fn addresses_of_ipv6_are_packets_of_ipv6() {
    let mut scene = Scene::listening("[::1]:0", "", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"question", b"answer");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let capture = scene.only_capture();
    for leg in ["client", "upstream"] {
        assert_eq!(capture.said(leg), [b"question".to_vec(), b"answer".to_vec()], "{leg}");
    }
    capture.is_sound(&[]);
    let version = |leg: &str| capture.fields(&format!("frame.interface_name == {leg:?}"), &["ip.version"]);
    assert!(version("client").iter().all(|fields| fields[0] == "6"));
    assert!(version("upstream").iter().all(|fields| fields[0] == "4"));
}

#[test]
fn a_unix_socket_has_made_up_addresses() {
    let folder = TempDir::new().expect("a temporary folder");
    let listen = format!("unix:{}", folder.path().join("proxy").display());
    let mut scene = Scene::listening(&listen, "", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"question", b"answer");
    finish(&mut client, &mut server);
    scene.proxy.all_ended(1);
    let capture = scene.only_capture();
    for leg in ["client", "upstream"] {
        assert_eq!(capture.said(leg), [b"question".to_vec(), b"answer".to_vec()], "{leg}");
    }
    capture.is_sound(&[]);
    assert!(
        !capture
            .fields("frame.comment contains \"client on a unix socket\"", &["frame.number"])
            .is_empty()
    );
}

#[test]
fn the_header_that_a_server_is_told_first_is_on_its_leg() {
    let mut scene = Scene::with_upstream("", "", "", "proxy-protocol = \"v1\"");
    let (mut client, mut server) = scene.pair();
    client.send(b"question");
    let header = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        client.local().rsplit(':').next().expect("a port"),
        scene.proxy.port()
    );
    server.expect(header.as_bytes());
    server.expect(b"question");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let capture = scene.only_capture();
    assert_eq!(capture.said("client")[0], b"question");
    assert_eq!(capture.said("upstream")[0], [header.as_bytes(), b"question"].concat());
    capture.is_sound(&[]);
}

// ---- ends ----

#[test]
fn a_reset_is_a_reset_on_both_legs_and_says_what_it_was() {
    let mut scene = Scene::start("", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"question", b"answer");
    client.reset();
    server.expect_reset();
    scene.proxy.all_ended(1);
    let capture = scene.only_capture();
    let resets = capture.fields(
        "tcp.flags.reset == 1",
        &["frame.interface_name", "tcp.dstport", "frame.comment"],
    );
    let legs: Vec<_> = resets.iter().map(|fields| fields[0].as_str()).collect();
    assert_eq!(legs, ["client", "upstream"]);
    let to_server = scene.upstream.port().to_string();
    // From the client to us, and from us to the server.
    assert_eq!(
        [&resets[0][1], &resets[1][1]],
        [&scene.proxy.port().to_string(), &to_server]
    );
    assert!(
        resets
            .iter()
            .all(|fields| fields[2].starts_with("relay.reset.client; 8 bytes up, 6 bytes down")),
        "{resets:?}"
    );
    capture.is_sound(RESET);
}

#[test]
fn a_client_that_never_gets_to_a_server_has_one_leg() {
    let (_port, refusing) = Upstream::refusing();
    let mut scene = Scene::to(&refusing, "", "", "");
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"is anybody there?");
    client.expect_closed();
    scene.proxy.ended(&client);
    let capture = scene.only_capture();
    assert_eq!(capture.streams("client").len(), 1);
    assert!(capture.streams("upstream").is_empty());
    let comments = capture.fields("frame.comment contains \"connect.refused.upstream\"", &["frame.number"]);
    assert_eq!(comments.len(), 1);
    capture.is_sound(&[]);
}

#[test]
fn a_black_box_is_written_for_a_connection_that_ended_badly_and_for_no_other() {
    let mut scene = Scene::start("only = \"abnormal\", bytes = \"2KiB\"", "", "");
    let (mut client, mut server) = scene.pair();
    exchange(&mut client, &mut server, b"all is well", b"it is");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);

    let (mut client, mut server) = scene.pair();
    let bulk = pattern(1, 100_000);
    client.send(&bulk);
    server.expect(&bulk);
    for _ in 0..10 {
        exchange(&mut client, &mut server, &[b'q'; 50], &[b'a'; 50]);
    }
    client.reset();
    server.expect_reset();
    scene.proxy.all_ended(2);

    let capture = scene.only_capture();
    let [said, answered] = capture.said("client");
    assert!(
        said.len() <= 2048 && said.ends_with(&[b'q'; 500]),
        "{} bytes",
        said.len()
    );
    assert!(answered.ends_with(&[b'a'; 500]), "{} bytes", answered.len());
    let comments = capture.fields("frame.comment", &["frame.comment"]);
    assert!(comments[0][0].contains("bytes before are forgotten"), "{comments:?}");
    assert!(
        comments
            .iter()
            .any(|fields| fields[0].starts_with("relay.reset.client")),
        "{comments:?}"
    );
    capture.is_sound(RESET);
}

// ---- bounds ----

#[test]
fn files_are_as_large_and_as_many_as_they_may_be_and_for_their_owner() {
    const LARGEST: u64 = 256 << 10;
    let mut scene = Scene::start("file-size = \"256KiB\", files = 3", "", "");
    let (mut client, mut server) = scene.pair();
    let bulk = pattern(3, 50_000);
    for _ in 0..40 {
        exchange(&mut client, &mut server, &bulk, b"thanks");
    }
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let files = scene.captures();
    assert_eq!(files.len(), 3);
    for file in &files {
        let metadata = file.0.metadata().expect("a file");
        assert!(metadata.len() <= LARGEST, "{}", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        // Each is a capture by itself.
        file.infos();
        let named = file.fields("frame.comment contains \"listener front\"", &["frame.interface_name"]);
        assert_eq!(named.len(), 2, "{named:?}");
    }
    let name = files[0].0.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.starts_with("spliceway-2") && name.ends_with(".pcapng"), "{name}");
}

#[test]
fn of_each_record_as_much_is_kept_as_is_wanted() {
    let mut scene = Scene::start("snap = \"16B\"", "", "");
    let (mut client, mut server) = scene.pair();
    let bulk = pattern(3, 10_000);
    exchange(&mut client, &mut server, b"short", b"answer");
    exchange(&mut client, &mut server, &bulk, b"thanks");
    finish(&mut client, &mut server);
    scene.proxy.ended(&client);
    let capture = scene.only_capture();
    let sizes = capture.fields("tcp.len > 0", &["tcp.len", "frame.cap_len", "frame.len"]);
    let sizes: Vec<[usize; 3]> = sizes
        .iter()
        .map(|fields| [0, 1, 2].map(|field| fields[field].parse().expect("a number")))
        .collect();
    assert!(sizes.iter().all(|[_, kept, _]| *kept <= 40 + 16), "{sizes:?}");
    assert_eq!(
        sizes.iter().map(|[length, ..]| length).sum::<usize>(),
        2 * (10_000 + 5 + 6 + 6)
    );
}

#[test]
fn a_connection_that_had_its_share_is_spliced_again() {
    let _alone = alone();
    let mut scene = Scene::start("bytes = \"64KiB\"", "", "");
    let (mut client, mut server) = scene.pair();
    let bulk = pattern(3, 16 * MIB);
    thread::scope(|scope| {
        let mut reading = server.another();
        let heard = scope.spawn(move || reading.receive(16 * MIB));
        client.send(&bulk);
        assert!(heard.join().expect("the server reads") == bulk, "the bytes differ");
    });
    finish(&mut client, &mut server);
    let ended = scene.proxy.ended(&client);
    assert!(ended.up_spliced > 12 * MIB as u64, "{ended:?}");
    let capture = scene.only_capture();
    let comments = capture.fields("frame.comment contains \"as many bytes are kept\"", &["frame.number"]);
    assert_eq!(comments.len(), 2);
    // One after the other has them, as the proxy read and wrote them.
    let [client, upstream] = ["client", "upstream"].map(|leg| capture.said(leg)[0].len());
    assert_eq!(client + upstream, 64 << 10);
}

#[test]
fn a_route_and_an_upstream_have_their_captures_and_others_have_none() {
    let (of_route, of_upstream) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (only, other) = (Upstream::listen(), Upstream::listen());
    let mut proxy = Proxy::run(&format!(
        "[upstreams.only]\nservers = [{:?}]\n[upstreams.other]\nservers = [{:?}]\ntreatment.capture = {{ directory = {:?} }}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n\
         [[listeners.routes]]\nname = \"two\"\nclient = [\"127.0.0.2\"]\nupstream = \"only\"\ntreatment.capture = {{ directory = {:?} }}\n\
         [[listeners.routes]]\nname = \"three\"\nclient = [\"127.0.0.3\"]\nupstream = \"other\"\n",
        only.address(),
        other.address(),
        of_upstream.path(),
        of_route.path(),
    ))
    .start();
    for (last, question, upstream) in [(1, "one", &only), (2, "two", &only), (3, "three", &other)] {
        let mut client = Client::connect_from([127, 0, 0, last], proxy.address());
        let mut server = upstream.accept();
        exchange(&mut client, &mut server, question.as_bytes(), b"well");
        finish(&mut client, &mut server);
        proxy.ended(&client);
    }
    proxy.signal(Signal::TERM);
    proxy.wait();
    for (directory, said) in [(&of_route, "two"), (&of_upstream, "three")] {
        let captures = captured(directory.path());
        assert_eq!(captures.len(), 1);
        assert_eq!(captures[0].said("client"), [said.as_bytes().to_vec(), b"well".to_vec()]);
        assert_eq!(captures[0].said("upstream")[0], said.as_bytes());
    }
}

#[test]
fn a_filter_has_a_connection_captured_to_where_the_configuration_allows_it_and_nowhere_else() {
    let (allowed, elsewhere) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    for (directory, is_captured) in [(&allowed, true), (&elsewhere, false)] {
        let treatment = format!("{{ capture = {{ directory = '{}' }} }}", directory.path().display());
        let filter = format!(
            "[filters.router]\nsource = {:?}\non-error = \"close\"\n\
             config = {{ decision = \"route\", upstream = \"only\", options = {{ treatment = {treatment:?} }} }}\n",
            guest("router-script")
        );
        let upstream = Upstream::listen();
        let mut proxy = Proxy::run(&format!(
            "{filter}[upstreams.only]\nservers = [{:?}]\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nfilters = [\"router\"]\n\
             treatment.capture = {{ directory = {:?}, share = \"0%\" }}\n",
            upstream.address(),
            allowed.path(),
        ))
        .start();
        let mut client = Client::connect(proxy.address());
        match is_captured {
            true => {
                let mut server = upstream.accept();
                exchange(&mut client, &mut server, b"what?", b"that");
                finish(&mut client, &mut server);
                proxy.ended(&client);
            }
            false => _ = client.expect_closed(),
        }
        proxy.signal(Signal::TERM);
        proxy.wait();
        let captures = captured(directory.path());
        assert_eq!(captures.len(), usize::from(is_captured));
        if let Some(capture) = captures.first() {
            assert_eq!(capture.said("client")[0], b"what?");
        }
    }
}

#[test]
fn what_cannot_be_written_is_an_error_at_load() {
    let folder = TempDir::new().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let failed = builder("127.0.0.1:0", &missing, "", "", "", "127.0.0.1:1", "").fail();
    assert!(
        failed.stderr.contains(missing.to_str().expect("a path")),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stderr.contains("listener \"front\": cannot write captures to"),
        "{}",
        failed.stderr
    );
    let failed = builder("127.0.0.1:0", Path::new("captures"), "", "", "", "127.0.0.1:1", "").fail();
    assert!(
        failed.stderr.contains("`captures` is no absolute path"),
        "{}",
        failed.stderr
    );
    let failed = builder(
        "127.0.0.1:0",
        folder.path(),
        "only = \"abnormal\", bytes = \"1GiB\"",
        "",
        "",
        "127.0.0.1:1",
        "",
    )
    .fail();
    assert!(failed.stderr.contains("expected 1B to 16MiB"), "{}", failed.stderr);
}

#[test]
fn a_full_disk_disturbs_nobody() {
    if !is_root() {
        skip!("only root can mount a small file system");
    }
    let folder = TempDir::new().expect("a temporary folder");
    let disk = Disk::mount(&folder.path().join("disk"), "1m");
    let upstream = Upstream::listen();
    let proxy = builder("127.0.0.1:0", &disk.0, "", "", "", upstream.address(), "").start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    let bulk = pattern(3, 8 * MIB);
    thread::scope(|scope| {
        let mut reading = server.another();
        let heard = scope.spawn(move || reading.receive(8 * MIB));
        client.send(&bulk);
        assert!(heard.join().expect("the server reads") == bulk, "the bytes differ");
    });
    let said = proxy.wait_for(
        "cannot write a capture: nothing is captured for a minute, and then it is tried again",
        |_| true,
    );
    assert!(said.text("error").contains("No space left"), "{said}");
    exchange(&mut client, &mut server, b"question", b"answer");
    finish(&mut client, &mut server);
    assert_eq!(proxy.ended(&client).outcome, "relay.finished.client");
    // Others come, and are not captured.
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    exchange(&mut client, &mut server, b"question", b"answer");
    finish(&mut client, &mut server);
    proxy.ended(&client);
    let warned = "cannot write a capture: nothing is captured for a minute, and then it is tried again";
    assert_eq!(proxy.logged(warned).len(), 1);
    // What is there can be read.
    for file in captured(&disk.0) {
        file.infos();
        file.fields("", &["frame.number"]);
    }
    drop((proxy, disk));
}

// ---- live ----

#[test]
fn a_capture_begins_and_ends_in_the_middle_of_a_transfer_that_is_spliced_before_and_after() {
    let _alone = alone();
    let operator = Operator::new();
    let upstream = Upstream::listen();
    let config = format!(
        "{}[upstreams.only]\nservers = [\"{}\"]\n[[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n",
        operator.table(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    let operator = operator.of(&proxy);
    let directory = TempDir::new().expect("a temporary folder");
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    let part = pattern(5, 8 * MIB);
    let mut send = || {
        thread::scope(|scope| {
            let mut reading = server.another();
            let heard = scope.spawn(move || reading.receive(8 * MIB));
            client.send(&part);
            assert!(heard.join().expect("the server reads") == part, "the bytes differ");
        });
    };
    let why = || {
        let shown = operator.get("/v1/connections");
        let id = shown["connections"][0]["id"].as_u64().expect("a connection");
        let shown = operator.get(&format!("/v1/connections/{id}"));
        (id, shown["up"].clone(), shown.to_string())
    };
    send();
    let (id, before, _) = why();
    assert!(before["spliced"].as_u64() > Some(6 * MIB as u64), "{before}");

    let measure = json!({
        "scope": { "connection": id },
        "treatment": { "capture": { "directory": directory.path(), "bytes": "100MiB" } },
        "for": "10m",
    });
    let measure = operator.done("POST", "/v1/measures", &measure.to_string());
    eventually("it is captured", || {
        why().2.contains("the connection is captured").then_some(())
    });
    let (_, began, _) = why();
    send();
    let (_, during, _) = why();
    assert_eq!(during["spliced"], began["spliced"], "{during}");
    let more = during["copied"].as_u64().expect("a number") - began["copied"].as_u64().expect("a number");
    assert_eq!(more, 8 * MIB as u64);
    operator.done("DELETE", &format!("/v1/measures/{}", measure["id"]), "");
    eventually("it is captured no more", || {
        (!why().2.contains("the connection is captured")).then_some(())
    });
    send();
    let (_, after, _) = why();
    let more = after["spliced"].as_u64().expect("a number") - during["spliced"].as_u64().expect("a number");
    assert!(more > 6 * MIB as u64, "{after}");
    client.half_close();
    server.expect_eof();

    // While the proxy runs.
    let capture = eventually("the capture is written", || {
        let capture = captured(directory.path()).pop()?;
        let ends = capture.fields("frame.comment contains \"the capture has ended\"", &["frame.number"]);
        (ends.len() == 2).then_some(capture)
    });
    for leg in ["client", "upstream"] {
        assert!(capture.said(leg)[0] == part, "{leg}");
    }
    capture.is_sound(&[]);
}

// ---- the scene ----

/// A proxy whose only listener is captured.
struct Scene {
    proxy: Proxy,
    upstream: Upstream,
    directory: TempDir,
    listen: String,
}

impl Scene {
    fn start(keys: &str, listener: &str, more: &str) -> Self {
        Self::listening("127.0.0.1:0", keys, listener, more)
    }

    fn listening(listen: &str, keys: &str, listener: &str, more: &str) -> Self {
        let upstream = Upstream::listen();
        let address = upstream.address().to_owned();
        Self::of(listen, keys, listener, more, upstream, &address, "")
    }

    fn with_upstream(keys: &str, listener: &str, more: &str, upstream_keys: &str) -> Self {
        let upstream = Upstream::listen();
        let address = upstream.address().to_owned();
        Self::of("127.0.0.1:0", keys, listener, more, upstream, &address, upstream_keys)
    }

    fn to(server: &str, keys: &str, listener: &str, more: &str) -> Self {
        Self::of("127.0.0.1:0", keys, listener, more, Upstream::listen(), server, "")
    }

    fn of(
        listen: &str,
        keys: &str,
        listener: &str,
        more: &str,
        upstream: Upstream,
        server: &str,
        upstream_keys: &str,
    ) -> Self {
        let directory = TempDir::new().expect("a temporary folder");
        let proxy = builder(listen, directory.path(), keys, listener, more, server, upstream_keys).start();
        Self {
            proxy,
            upstream,
            directory,
            listen: listen.to_owned(),
        }
    }

    fn pair(&self) -> (Peer, Peer) {
        let address = match self.listen.starts_with("unix:") {
            true => &self.listen,
            false => self.proxy.address(),
        };
        (Client::connect(address), self.upstream.accept())
    }

    /// What is there when the proxy has ended: then everything is written.
    fn captures(&mut self) -> Vec<Captured> {
        self.proxy.signal(Signal::TERM);
        self.proxy.wait();
        captured(self.directory.path())
    }

    #[track_caller]
    fn only_capture(&mut self) -> Captured {
        let mut captures = self.captures();
        assert_eq!(captures.len(), 1);
        captures.remove(0)
    }
}

fn builder(
    listen: &str,
    directory: &Path,
    keys: &str,
    listener: &str,
    more: &str,
    server: &str,
    upstream_keys: &str,
) -> Builder {
    let keys = if keys.is_empty() {
        String::new()
    } else {
        format!(", {keys}")
    };
    Proxy::run(&format!(
        "{more}\n[upstreams.only]\nservers = [\"{server}\"]\n{upstream_keys}\n\
         [[listeners]]\nname = \"front\"\naddress = \"{listen}\"\nupstream = \"only\"\n{listener}\n\
         treatment.capture = {{ directory = {directory:?}{keys} }}\n"
    ))
}

fn exchange(client: &mut Peer, server: &mut Peer, question: &[u8], answer: &[u8]) {
    client.send(question);
    server.expect(question);
    server.send(answer);
    client.expect(answer);
}

fn finish(client: &mut Peer, server: &mut Peer) {
    client.half_close();
    server.expect_eof();
    server.half_close();
    client.expect_eof();
}

/// A small file system.
struct Disk(PathBuf);

impl Disk {
    #[track_caller]
    fn mount(path: &Path, size: &str) -> Self {
        fs::create_dir(path).expect("a folder of the test's");
        let options = format!("size={size},mode=700");
        let mut mount = lasting("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path);
        run(&mut mount, DEADLINE).success();
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(lasting("umount").arg("-l").arg(&self.0), DEADLINE);
    }
}

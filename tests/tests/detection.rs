//! What clients send first is looked at, within bounds, and every byte of it arrives: hellos of real clients and of none,
//! cut anywhere; clients that are slow, or gone; servers that speak first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ClientConnection;
use serde_json::Value;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::certificates::Authority;
use spliceway_tests::hello::{Hello, in_records, message_of, record, recorded};
use spliceway_tests::origin::certify;
use spliceway_tests::{Client, Peer, Proxy, Upstream, alone, eventually, trusting};

/// One upstream for `hello.example`, another for everything else.
const BY_NAME: &str = r#"upstream = "default"
    routes = [{ sni = ["hello.example"], upstream = "named" }]"#;

/// Longer than any test takes: where what is awaited comes, it is not because time is over.
const NO_HURRY: &str = r#"detection = { timeout = "10m" }"#;

const UNRECOGNIZED_NAME: &[u8] = b"\x15\x03\x03\x00\x02\x02\x70";

// ---- hellos ----

/// What the project's own tests say of each, `corpus.rs`.
const CLIENTS: &[(&str, bool, &str)] = &[
    ("openssl-default", false, "t13i310900_e8f1e7e78f70_1f22a2ca17c4"),
    ("openssl-sni-alpn", true, "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4"),
    ("openssl-tls1_2", true, "t12d280700_d943125447b4_e7e480e5a997"),
    ("openssl-tls1_0", true, "t10d230600_44099cda8a52_195413a0cc0f"),
    ("curl-h2", true, "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"),
    ("python-ssl", true, "t13d1812ip_85036bcba153_d41ae481755e"),
    ("go-crypto-tls", true, "t13d1910h2_9dc949149365_97f8aa674fd9"),
    ("chromium", true, "t13d1517h2_8daaf6152771_cb7bf5808d99"),
    ("firefox", true, "t13d1617h2_86a278354501_3cbfd9057e0d"),
];

#[test]
fn a_real_client_s_hello_is_known_and_arrives_as_it_was_sent() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    for (client, has_name, ja4) in CLIENTS {
        let hello = recorded(client);
        let peer = scene.leads_to(if *has_name { "named" } else { "default" }, &hello);
        let line = scene.logged(&peer);
        let name = has_name.then_some("hello.example");
        assert_eq!(line["sni"].as_str(), name, "{client}");
        assert_eq!(
            (&line["protocol"], &line["ja4"]),
            (&"tls".into(), &(*ja4).into()),
            "{client}"
        );
    }
}

#[test]
fn a_post_quantum_hello_is_known_too() {
    let mut config = trusting(&Authority::new("whom nobody knows"));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = "hello.example".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client of TLS");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes everything");
    // The share of the key alone has 1216 bytes.
    assert!(hello.len() > 1300, "{}", hello.len());
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    for bytes in [hello.clone(), in_records(&message_of(&hello), 1)] {
        let peer = scene.leads_to("named", &bytes);
        let line = scene.logged(&peer);
        assert_eq!((&line["sni"], &line["alpn"]), (&"hello.example".into(), &"h2".into()));
        assert!(
            line["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t13d")),
            "{line}"
        );
    }
}

#[test]
fn a_hello_may_be_cut_anywhere() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    let hello = recorded("openssl-tls1_2");
    for cut in 1..hello.len() {
        scene.leads_to_in(&[&hello[..cut], &hello[cut..]], "named", &hello);
    }
    let pieces: Vec<&[u8]> = hello.chunks(1).collect();
    scene.leads_to_in(&pieces, "named", &hello);
}

#[test]
fn what_decides_is_waited_for() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    let hello = recorded("chromium");
    for cut in [1, 3, 5, 6, 9, 43, hello.len() / 2, hello.len() - 1] {
        let mut client = scene.connect();
        client.send(&hello[..cut]);
        client.expect_silence(Duration::from_millis(20));
        client.send(&hello[cut..]);
        client.expect(&[b"named", &hello[..]].concat());
    }
}

#[test]
fn a_hello_in_records_of_one_byte_each_is_the_same() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    for client in ["chromium", "firefox"] {
        let message = message_of(&recorded(client));
        assert!(message.len() > 1 << 10, "{}", message.len());
        for each in [1, 2, 7, 1000] {
            let hello = in_records(&message, each);
            let peer = scene.leads_to("named", &hello);
            assert_eq!(scene.logged(&peer)["sni"], "hello.example");
            // And what follows it in the same segment goes with it.
            scene.leads_to("named", &[&hello[..], &pattern(3, 40_000)].concat());
        }
    }
}

#[test]
fn what_cannot_be_a_hello_has_no_name() {
    let whole = Hello::of("hello.example");
    let message = whole.message();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = message.clone();
        change(&mut message);
        record(&message)
    };
    let named_twice = whole.clone().with(0, b"\0\x10\0\0\x0dhello.example");
    for bytes in [
        // Records: an empty one, one that is too long, another kind in between, an unknown version.
        b"\x16\x03\x01\x00\x00".to_vec(),
        b"\x16\x03\x01\x40\x01".to_vec(),
        [&record(&message[..9]), &b"\x17\x03\x03\x00\x01x"[..]].concat(),
        [&record(&message[..9]), &b"\x16\x03\x01\x00\x00"[..]].concat(),
        b"\x16\x03\x05\x00\x01\x01".to_vec(),
        // Messages: another one, a longer one than is looked at, lists that do not end where they say.
        changed(&|message| message[0] = 2),
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(),
        changed(&|message| message[38] = 33),
        changed(&|message| *message.last_mut().expect("it has one") = b'/'),
        whole.clone().with(16, b"\0\0").bytes(),
        named_twice.bytes(),
        Hello::of("192.0.2.1").bytes(),
        Hello::of("hello..example").bytes(),
        Hello::of("hello.example\0").bytes(),
        // SSL 2.0.
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10".to_vec(),
    ] {
        let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
        let peer = scene.leads_to("default", &bytes);
        let line = scene.logged(&peer);
        assert!(line.get("sni").is_none(), "{line}");
    }
}

#[test]
fn who_decrypts_says_in_tls_what_is_wrong_with_a_hello() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certify(folder.path(), &["hello.example"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let scene = Scene::of(
        &["default"],
        &format!(
            r#"upstream = "default"
            tls = {{ certificates = [{{ chain = "{}", key = "{}" }}], strict = true }}"#,
            file("certificate.pem"),
            file("key.pem")
        ),
    );
    let message = Hello::of("hello.example").message();
    let mut half_extensions = message.clone();
    half_extensions[38] = 33;
    for bytes in [
        record(&half_extensions),
        record(b"\x02\0\0\0"),
        Hello::of("192.0.2.1").bytes(),
    ] {
        let mut client = scene.connect();
        client.send(&bytes);
        let heard = client.hear_out();
        assert!(matches!(heard.bytes[..], [21, 3, _, 0, 2, 2, _]), "{:x?}", heard.bytes);
        client.half_close();
        let outcome = scene.proxy.ended(&client).outcome;
        assert!(outcome.starts_with("tls."), "{outcome}");
    }
    let mut client = scene.connect();
    client.send(&Hello::of("nobody.example").bytes());
    client.hear_out().is_whole(UNRECOGNIZED_NAME);
    client.half_close();
    assert_eq!(scene.proxy.ended(&client).outcome, "tls.unknown-name.client");
}

/// What TLS says to who has sent what it cannot read, and to who has sent something else (RFC 8446, section 6.2).
const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
const DECODE_ERROR: &[u8] = b"\x15\x03\x03\x00\x02\x02\x32";

#[test]
fn who_decrypts_ends_what_is_no_hello_in_its_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certify(folder.path(), &["hello.example"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let scene = Scene::of(
        &["default"],
        &format!(
            r#"upstream = "default"
            detection = {{ timeout = "10m", max-records = 16, max-bytes = "2KiB" }}
            tls = {{ certificates = [{{ chain = "{}", key = "{}" }}], timeout = "300ms" }}"#,
            file("certificate.pem"),
            file("key.pem")
        ),
    );
    let hello = Hello::of("hello.example").padded_to(1000);
    let (whole, message) = (hello.bytes(), hello.message());
    let finished = true;
    for (said, finishes, heard, outcome) in [
        // It offers nothing that could be agreed upon.
        (&whole[..], !finished, HANDSHAKE_FAILURE, "tls.tls-failed.client"),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            !finished,
            DECODE_ERROR,
            "tls.tls-failed.client",
        ),
        (
            b"\x16\x03\x01\x00\x00",
            !finished,
            DECODE_ERROR,
            "tls.tls-failed.client",
        ),
        (
            b"\x80\x2e\x01\x03\x01\x00\x15",
            !finished,
            DECODE_ERROR,
            "tls.tls-failed.client",
        ),
        (&in_records(&message, 10), !finished, b"", "tls.too-long.client"),
        (
            b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
            !finished,
            b"",
            "tls.too-long.client",
        ),
        (&whole[..500], !finished, b"", "tls.timeout.client"),
        (b"", !finished, b"", "tls.timeout.client"),
        (&whole[..500], finished, b"", "tls.truncated.client"),
        (b"\x16", finished, b"", "tls.truncated.client"),
        (b"", finished, b"", "tls.finished.client"),
    ] {
        let mut client = scene.connect();
        client.send(said);
        if finishes {
            client.half_close();
        }
        client.hear_out().is_whole(heard);
        if !finishes {
            client.half_close();
        }
        let ended = scene.proxy.ended(&client);
        assert_eq!((&*ended.outcome, ended.up()), (outcome, 0), "{said:x?}");
    }
}

// ---- bounds ----

#[test]
fn a_hello_may_have_so_many_records_and_no_more() {
    let listener = format!("detection = {{ timeout = \"10m\", max-records = 64 }}\n{BY_NAME}");
    let scene = Scene::of(&["named", "default"], &listener);
    let message = Hello::of("hello.example").padded_to(640).message();
    scene.leads_to("named", &in_records(&message, 10));
    scene.leads_to("default", &in_records(&message, 9));
    // It is not waited for the end of what is in too many pieces.
    let mut client = scene.connect();
    let pieces = in_records(&message[..65], 1);
    client.dribble(&pieces);
    client.expect(b"default");
    client.expect(&pieces);
}

#[test]
fn a_hello_may_have_so_many_bytes_and_no_more() {
    let listener = format!("detection = {{ timeout = \"10m\", max-bytes = \"2KiB\" }}\n{BY_NAME}");
    let scene = Scene::of(&["named", "default"], &listener);
    let hello = |length| Hello::of("hello.example").padded_to(length);
    scene.leads_to("named", &hello(2048).bytes());
    scene.leads_to("named", &in_records(&hello(2048).message(), 1));
    scene.leads_to("default", &hello(2049).bytes());
    // What it says of its length is enough.
    let beginning = hello(2049).bytes()[..9].to_vec();
    let mut client = scene.connect();
    client.send(&beginning);
    client.expect(b"default");
    client.expect(&beginning);
}

#[test]
fn a_hello_has_its_time_however_busy_its_client_is() {
    let listener = format!("detection = {{ timeout = \"300ms\" }}\n{BY_NAME}");
    let scene = Scene::of(&["named", "default"], &listener);
    let message = Hello::of("hello.example").padded_to(2000).message();
    let mut client = scene.connect();
    let began = Instant::now();
    let mut sent = Vec::new();
    // The scene itself: a record of one byte now and then, for as long as nobody answers.
    client.deadline(Duration::from_millis(10));
    for byte in &message {
        let piece = record(&[*byte]);
        client.send(&piece);
        sent.extend(piece);
        if client.try_receive(7).is_some_and(|heard| heard == b"default") {
            break;
        }
    }
    let took = began.elapsed();
    client.deadline(spliceway_tests::DEADLINE);
    client.expect(&sent);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(sent.len() < message.len() * 6, "it has said all of it");
    client.half_close();
    client.expect_eof();
    scene.proxy.signal(Signal::TERM);
    let served = scene.proxy.wait_for("served", |_| true);
    assert_eq!(
        (served.number("detections"), served.number("detection_timeouts")),
        (1, 1)
    );
    assert!((300..30_000).contains(&served.number("detection_ms")), "{served}");
}

#[test]
fn slow_clients_hold_little_memory_and_give_it_back() {
    let _alone = alone();
    const CLIENTS: usize = 200;
    let listener = format!("detection = {{ timeout = \"1s\" }}\n{BY_NAME}");
    let scene = Scene::of(&["named", "default"], &listener);
    // As much as may be without being too much: 2000 records of one byte, of a hello that has more.
    let message = Hello::of("hello.example").padded_to(16 << 10).message();
    let pieces = in_records(&message[..2000], 1);
    let round = || {
        let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| scene.connect()).collect();
        for client in &mut clients {
            client.send(&pieces);
        }
        for client in &mut clients {
            client.expect(&[b"default", &pieces[..]].concat());
            client.half_close();
            client.expect_eof();
        }
    };
    let before = scene.proxy.memory_kib();
    round();
    let peak = peak_kib(&scene.proxy);
    // 12 kB of each are held, in vectors that grow by doubling, and what they hold of its hello; the rest is its task's.
    assert!(peak - before < CLIENTS as u64 * 64, "{before} KiB, then {peak} KiB");
    scene.proxy.all_ended(CLIENTS);
    let after_one = scene.proxy.memory_kib();
    for _ in 0..3 {
        round();
    }
    scene.proxy.all_ended(4 * CLIENTS);
    let after_four = scene.proxy.memory_kib();
    assert!(
        after_four < after_one + (4 << 10),
        "{after_one} KiB, then {after_four} KiB"
    );
}

// ---- servers that speak first ----

const SMTP: &[u8] = b"220 mail.example ESMTP ready\r\n";

/// A greeting of MariaDB's: a packet of 77 bytes, protocol 10, a version.
fn mysql() -> Vec<u8> {
    let mut packet = b"\x4d\0\0\0\x0a5.5.5-10.11.6-MariaDB\0".to_vec();
    packet.resize(4 + 77, 1);
    packet
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once_where_nothing_is_asked_of_clients() {
    for (routes, greeting, protocol) in [
        (
            r#"{ client = ["127.0.0.0/8"], upstream = "first" }"#,
            SMTP.to_vec(),
            "smtp",
        ),
        (r#"{ client = ["127.0.0.0/8"], upstream = "first" }"#, mysql(), "mysql"),
        // The first route is ruled out by where the client is; its name is not waited for.
        (
            r#"{ sni = ["hello.example"], client = ["192.0.2.0/24"], upstream = "other" },
               { client = ["127.0.0.0/8"], upstream = "first" }"#,
            SMTP.to_vec(),
            "smtp",
        ),
        (
            r#"{ client = ["127.0.0.0/8"], upstream = "first" }, { sni = ["hello.example"], upstream = "other" }"#,
            mysql(),
            "mysql",
        ),
    ] {
        let (first, other) = (greeter(greeting.clone()), Upstream::named("other"));
        let scene = Scene::before(
            &[("first", first.address()), ("other", other.address())],
            &format!("{NO_HURRY}\nroutes = [{}]", routes.replace('\n', " ")),
        );
        let mut client = scene.connect();
        client.expect(&greeting);
        client.send(b"QUIT\r\n");
        client.expect(b"QUIT\r\n");
        client.half_close();
        client.expect_eof();
        assert_eq!(scene.logged(&client)["protocol"], protocol);
    }
}

#[test]
fn a_server_that_speaks_first_is_heard_late_where_a_route_waits_for_the_client() {
    for (routes, greeting, protocol) in [
        (
            r#"{ sni = ["hello.example"], upstream = "other" }"#,
            SMTP.to_vec(),
            "smtp",
        ),
        (
            r#"{ protocol = ["ssh", "http1"], upstream = "other" }"#,
            mysql(),
            "mysql",
        ),
    ] {
        let (first, other) = (greeter(greeting.clone()), Upstream::named("other"));
        let scene = Scene::before(
            &[("first", first.address()), ("other", other.address())],
            &format!("detection = {{ timeout = \"250ms\" }}\nupstream = \"first\"\nroutes = [{routes}]"),
        );
        let began = Instant::now();
        let mut client = scene.connect();
        client.expect(&greeting);
        assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
        client.send(b"QUIT\r\n");
        client.expect(b"QUIT\r\n");
        client.half_close();
        client.expect_eof();
        assert_eq!(scene.logged(&client)["protocol"], protocol);
        // One that says its name does not wait.
        let mut other = scene.connect();
        let hello = Hello::of("nobody.example").bytes();
        other.send(&hello);
        other.expect(&greeting);
        other.half_close();
        other.expect(&hello);
        other.expect_eof();
        scene.proxy.all_ended(2);
        scene.proxy.signal(Signal::TERM);
        let served = scene.proxy.wait_for("served", |_| true);
        assert_eq!(
            (served.number("detections"), served.number("detection_timeouts")),
            (2, 1)
        );
        assert!((250..20_000).contains(&served.number("detection_ms")), "{served}");
    }
}

// ---- clients that finish, or are gone ----

#[test]
fn a_client_that_finishes_while_it_is_looked_at_is_heard_and_answered() {
    let upstreams = [Upstream::listen(), Upstream::listen()];
    let [named, default] = &upstreams;
    let scene = Scene::before(
        &[("named", named.address()), ("default", default.address())],
        &format!("{NO_HURRY}\n{BY_NAME}"),
    );
    let hello = Hello::of("hello.example").bytes();
    for (upstream, said) in [
        (named, [&hello[..], b"and more"].concat()),
        (named, hello.clone()),
        (default, hello[..hello.len() - 1].to_vec()),
        (default, b"\x16".to_vec()),
        (default, Vec::new()),
    ] {
        for frozen in [false, true] {
            let mut client = scene.connect();
            if frozen {
                // Then the bytes and the end are there together.
                scene.proxy.freeze();
            }
            client.send(&said);
            client.half_close();
            if frozen {
                scene.proxy.thaw();
            }
            let mut server = upstream.accept();
            assert_eq!(server.receive_all(), said);
            server.send(b"answer");
            client.expect(b"answer");
            server.half_close();
            client.expect_eof();
            let ended = scene.proxy.ended(&client);
            assert_eq!(
                (&*ended.outcome, ended.up()),
                ("relay.finished.client", said.len() as u64)
            );
        }
    }
}

#[test]
fn a_client_that_is_gone_while_it_is_looked_at_disturbs_nobody() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    let descriptors = scene.proxy.descriptors().len();
    let hello = Hello::of("hello.example").bytes();
    for cut in [0, 1, 20, hello.len() - 1] {
        let mut client = scene.connect();
        client.send(&hello[..cut]);
        let local = client.local().to_owned();
        client.reset();
        let ended = scene.proxy.all_ended_from(&local, 1).remove(0);
        assert_eq!((&*ended.outcome, ended.up()), ("detect.reset.client", 0));
    }
    scene.proxy.descriptors_back_to(descriptors);
    scene.leads_to("named", &hello);
}

#[test]
fn a_client_that_is_looked_at_when_the_proxy_is_told_to_stop_is_still_served() {
    let scene = Scene::of(&["named", "default"], &format!("{NO_HURRY}\n{BY_NAME}"));
    let hello = Hello::of("hello.example").bytes();
    let mut client = scene.connect();
    client.send(&hello[..20]);
    client.expect_silence(Duration::from_millis(20));
    scene.proxy.signal(Signal::TERM);
    scene.proxy.wait_for("stopping: connections may finish", |_| true);
    client.send(&hello[20..]);
    client.expect(&[b"named", &hello[..]].concat());
    client.half_close();
    client.expect_eof();
    let stopped = scene.proxy.wait_for("stopped", |_| true);
    assert_eq!(stopped.number("cut_off"), 0);
}

// ---- what may still match ----

#[test]
fn a_later_no_never_cancels_an_earlier_need_for_more() {
    let scene = Scene::of(
        &["named", "redis", "anybody"],
        &format!(
            r#"{NO_HURRY}
            routes = [
                {{ sni = ["hello.example"], upstream = "named" }},
                {{ protocol = ["redis"], upstream = "redis" }},
                {{ client = ["127.0.0.0/8"], upstream = "anybody" }},
            ]"#
        ),
    );
    let hello = Hello::of("hello.example").bytes();
    for cut in [1, 2, 5, 6, hello.len() - 1] {
        let mut client = scene.connect();
        client.send(&hello[..cut]);
        // By now it is no Redis, and it comes from where the last one wants; the first may still match.
        client.expect_silence(Duration::from_millis(20));
        client.send(&hello[cut..]);
        client.expect(&[b"named", &hello[..]].concat());
    }
    let ping = b"*1\r\n$4\r\nPING\r\n";
    for cut in [1, 4, 6] {
        let mut client = scene.connect();
        client.send(&ping[..cut]);
        client.expect_silence(Duration::from_millis(20));
        client.send(&ping[cut..]);
        client.expect(&[b"redis", &ping[..]].concat());
    }
    scene.leads_to("anybody", &Hello::of("another.example").bytes());
    scene.leads_to("anybody", b"GET / HTTP/1.1\r\n\r\n");
}

// ---- the scenes ----

/// A proxy in front of upstreams that say their names and echo, or of others.
struct Scene {
    proxy: Proxy,
    _upstreams: Vec<Upstream>,
}

impl Scene {
    /// Upstreams of these names, and a listener with these keys.
    fn of(names: &[&'static str], listener: &str) -> Self {
        let upstreams: Vec<Upstream> = names.iter().map(|name| Upstream::named(name)).collect();
        let addresses: Vec<_> = names
            .iter()
            .copied()
            .zip(upstreams.iter().map(Upstream::address))
            .collect();
        Self {
            proxy: Self::before(&addresses, listener).proxy,
            _upstreams: upstreams,
        }
    }

    fn before(upstreams: &[(&str, &str)], listener: &str) -> Self {
        let upstreams: String = upstreams
            .iter()
            .map(|(name, address)| format!("[upstreams.{name}]\nservers = [\"{address}\"]\n"))
            .collect();
        let config = format!(
            "access-log = {{ file = \"access.log\" }}\n{upstreams}\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\n{listener}\n"
        );
        Self {
            proxy: Proxy::run(&config).start(),
            _upstreams: Vec::new(),
        }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    /// Who says this first is led there, and all of it arrives.
    #[track_caller]
    fn leads_to(&self, upstream: &str, said: &[u8]) -> Peer {
        self.leads_to_in(&[said], upstream, said)
    }

    /// The same in several pieces, each a segment of its own.
    #[track_caller]
    fn leads_to_in(&self, pieces: &[&[u8]], upstream: &str, said: &[u8]) -> Peer {
        let mut client = self.connect();
        for piece in pieces {
            client.send(piece);
        }
        let heard = client.receive(upstream.len() + said.len());
        assert_eq!(String::from_utf8_lossy(&heard[..upstream.len()]), upstream, "{said:x?}");
        assert_eq!(digest(&heard[upstream.len()..]), digest(said), "{said:x?}");
        client.half_close();
        client.expect_eof();
        client
    }

    /// The line of the access log about the end of this client's connection.
    #[track_caller]
    fn logged(&self, client: &Peer) -> Value {
        eventually("a line about the client's connection", || {
            let text = std::fs::read_to_string(self.proxy.folder().join("access.log")).ok()?;
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("lines are JSON"));
            lines.find(|line| line["client"] == client.local())
        })
    }
}

/// A server that says this first, and echoes.
fn greeter(greeting: Vec<u8>) -> Upstream {
    Upstream::listen().serving(move |mut peer| {
        peer.send(&greeting);
        while let Some(byte) = peer.try_receive(1) {
            if peer.try_send(&byte).is_err() {
                return;
            }
        }
    })
}

/// The most memory that it has had at once, in KiB.
fn peak_kib(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a process has a resident size")
}

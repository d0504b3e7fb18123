//! The PROXY protocol: clients come through a proxy that says who they are, and servers are told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::json;
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::pattern;
use spliceway_tests::rivals::Rival;
use spliceway_tests::{Client, End, Peer, Proxy, Trace, Upstream, skip};
use tempfile::TempDir;

/// Trusts this machine, and nobody else.
const REQUIRED: &str = r#"proxy-protocol = { trusted = ["127.0.0.1"] }"#;
const OPTIONAL: &str = r#"proxy-protocol = { required = false, trusted = ["127.0.0.1"], timeout = "200ms" }"#;

/// All of 127.0.0.0/8 is this machine.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What the tests' headers say.
const CLIENT: &str = "192.0.2.1:4711";
const SERVER: &str = "192.0.2.2:5432";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 5432\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;

// ---- clients that come through a proxy ----

#[test]
fn the_client_is_the_one_whom_the_header_names() {
    for header in [LINE.to_vec(), named(b"")] {
        let scene = Scene::of(REQUIRED, "");
        let mut client = scene.connect();
        client.send(&[&header, &b"hello"[..]].concat());
        let mut server = scene.upstream.accept();
        server.expect(b"hello");
        server.send(b"world");
        client.expect(b"world");
        drop(server);
        client.expect_eof();
        drop(client);
        let ended = scene.ended(CLIENT);
        assert_eq!((ended.up(), ended.down()), (5, 5));
    }
}

#[test]
fn a_header_alone_is_enough_where_the_server_speaks_first() {
    for header in [LINE.to_vec(), named(b"\xea\0\x03\x01id")] {
        let scene = Scene::of(REQUIRED, "");
        let mut client = scene.connect();
        client.send(&header);
        let mut server = scene.upstream.accept();
        server.send(b"welcome");
        client.expect(b"welcome");
        client.send(b"thanks");
        server.expect(b"thanks");
    }
}

#[test]
fn a_header_may_be_cut_anywhere() {
    let scene = Scene::greeting(REQUIRED);
    for header in [LINE.to_vec(), named(b"\xea\0\x03\x01id"), with_checksum()] {
        for cut in 1..header.len() {
            let mut client = scene.connect();
            client.send(&header[..cut]);
            // Nobody is greeted before it is known who he is.
            client.expect_silence(Duration::from_millis(2));
            client.send(&[&header[cut..], &b"hello"[..]].concat());
            client.expect(b"welcomehello");
        }
        let mut client = scene.connect();
        client.dribble(&header);
        client.expect(b"welcome");
    }
}

#[test]
fn what_follows_a_header_in_bulk_is_spliced() {
    let scene = Scene::of(REQUIRED, "");
    let mut client = scene.connect();
    let bulk = pattern(1, 16 << 20);
    let (mut sending, bytes) = (client.another(), [LINE, &bulk].concat());
    let sender = std::thread::spawn(move || {
        sending.send(&bytes);
        sending.half_close();
    });
    let mut server = scene.upstream.accept();
    assert!(server.receive_all() == bulk, "the bytes differ");
    sender.join().expect("the client sends all of it");
    drop(server);
    client.expect_eof();
    let ended = scene.ended(CLIENT);
    assert_eq!(ended.up(), bulk.len() as u64);
    assert!(ended.up_spliced > ended.up_copied, "{ended:?}");
}

#[test]
fn behind_a_header_a_reset_is_still_a_reset() {
    let scene = Scene::of(REQUIRED, "");
    let mut client = scene.connect();
    client.send(&[LINE, b"hello"].concat());
    let mut server = scene.upstream.accept();
    server.expect(b"hello");
    client.shrink_receive_buffer();
    server.send_until_blocked(&pattern(1, 64 << 20));
    client.reset();
    server.expect_reset();
    assert_eq!(scene.ended(CLIENT).outcome, "relay.reset.client");
}

#[test]
fn where_a_header_names_nobody_the_client_is_who_has_connected() {
    for header in [
        UNKNOWN.to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        header(LOCAL, TCP4, &addresses()),
        header(LOCAL, 0, b""),
        header(LOCAL, 0, b"whatever that is"),
        header(PROXY, 0, b""),
        header(PROXY, 0, b"\xea\0\x03\x01id"),
        header(PROXY, 0x12, &addresses()),
        header(PROXY, 0x7f, b"of a later version"),
    ] {
        let scene = Scene::of(REQUIRED, r#"proxy-protocol = "v1""#);
        let mut client = scene.connect();
        client.send(&[&header, &b"hello"[..]].concat());
        let mut server = scene.upstream.accept();
        server.expect(line(client.local(), client.remote()).as_bytes());
        server.expect(b"hello");
        let local = client.local().to_owned();
        drop((client, server));
        scene.ended(&local);
    }
}

#[test]
fn a_header_that_is_none_is_answered_with_a_reset() {
    let cut_off = named(b"")[..20].to_vec();
    let mut corrupt = with_checksum();
    corrupt[20] ^= 1;
    let too_long = header(PROXY, TCP4, &[&addresses()[..], b"\xea\x10\0", &[0; 4096]].concat());
    for (bytes, finishes) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), false),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 04711 5432\r\n".to_vec(), false),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 5432\n".to_vec(), true),
        ([&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(), false),
        (header(0x31, TCP4, &addresses()), false),
        (header(0x22, TCP4, &addresses()), false),
        (header(PROXY, TCP4, &addresses()[..11]), false),
        (named(b"\xea\0\x05a"), false),
        (corrupt, false),
        (too_long[..16].to_vec(), false),
        (cut_off, true),
        (b"PRO".to_vec(), true),
    ] {
        let scene = Scene::of(REQUIRED, "");
        let mut client = scene.connect();
        client.send(&bytes);
        if finishes {
            client.half_close();
        }
        assert_eq!(
            client.hear_out().end,
            End::Reset,
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(scene.ended(client.local()).outcome, "proxy-header.malformed.client");
        let said = scene.proxy.wait_for("malformed PROXY header", |_| true);
        assert!(said.has("reason") && said.text("client") == client.local(), "{said}");
        assert!(!scene.upstream.waiting(Duration::ZERO));
    }
}

#[test]
fn who_only_looks_whether_the_port_is_open_is_let_go() {
    let scene = Scene::of(REQUIRED, "");
    let mut client = scene.connect();
    client.half_close();
    client.hears_fin();
    assert_eq!(scene.ended(client.local()).outcome, "proxy-header.finished.client");
    let client = scene.connect();
    let local = client.local().to_owned();
    client.reset();
    assert_eq!(scene.ended(&local).outcome, "proxy-header.reset.client");
}

#[test]
fn a_header_has_its_time() {
    for begun in [&b""[..], b"P", &LINE[..LINE.len() - 1], &named(b"")[..27]] {
        let scene = Scene::of(
            r#"proxy-protocol = { trusted = ["127.0.0.0/8"], timeout = "100ms" }"#,
            "",
        );
        let mut client = scene.connect();
        client.send(begun);
        assert_eq!(client.hear_out().end, End::Reset);
        assert_eq!(scene.ended(client.local()).outcome, "proxy-header.timeout.client");
    }
}

#[test]
fn a_stranger_s_header_is_not_read() {
    let scene = Scene::of(REQUIRED, "");
    // Or the RST might be there before connect returns, which would then fail.
    scene.proxy.freeze();
    let mut stranger = Client::connect_from(STRANGER, scene.proxy.address());
    stranger.send(LINE);
    scene.proxy.thaw();
    assert_eq!(stranger.hear_out().end, End::Reset);
    assert_eq!(scene.ended(stranger.local()).outcome, "proxy-header.untrusted.client");

    let scene = Scene::of(OPTIONAL, "");
    let mut stranger = Client::connect_from(STRANGER, scene.proxy.address());
    stranger.send(LINE);
    let mut server = scene.upstream.accept();
    server.expect(LINE);
    let local = stranger.local().to_owned();
    drop((server, stranger));
    scene.ended(&local);
}

#[test]
fn where_no_header_is_needed_none_is_as_good_as_one() {
    let scene = Scene::of(OPTIONAL, "");
    for hello in [&b"hello"[..], b"PROXIMITY", b"\r\n\r\n\r\n"] {
        let mut client = scene.connect();
        client.send(hello);
        scene.upstream.accept().expect(hello);
    }
    let mut client = scene.connect();
    client.send(&[LINE, b"hello"].concat());
    let mut server = scene.upstream.accept();
    server.expect(b"hello");
    drop((server, client));
    scene.ended(CLIENT);

    // A client that says nothing waits for the server to speak.
    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    server.send(b"welcome");
    client.expect(b"welcome");
    // And one that has finished is heard by the server.
    let mut client = scene.connect();
    client.half_close();
    let mut server = scene.upstream.accept();
    server.expect_eof();
    drop(server);
    client.expect_eof();

    // But what begins as a header must be one.
    let mut client = scene.connect();
    client.send(b"PROXY TCP4 nonsense\r\n");
    assert_eq!(client.hear_out().end, End::Reset);
    assert_eq!(scene.ended(client.local()).outcome, "proxy-header.malformed.client");
    let mut client = scene.connect();
    client.send(&LINE[..20]);
    assert_eq!(client.hear_out().end, End::Reset);
    assert_eq!(scene.ended(client.local()).outcome, "proxy-header.timeout.client");
}

#[test]
fn a_client_s_limits_are_those_of_the_client_behind_the_proxy() {
    let scene = Scene::greeting(&format!(
        "{REQUIRED}\nlimits = {{ connections-per-client = 1, at-limit = \"fin\" }}"
    ));
    let mut one = scene.connect();
    one.send(LINE);
    one.expect(b"welcome");
    let mut other = scene.connect();
    other.send(b"PROXY TCP4 192.0.2.7 192.0.2.2 1 2\r\n");
    other.expect(b"welcome");
    let mut again = scene.connect();
    again.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    again.hears_fin();
    assert_eq!(scene.ended("192.0.2.1:1").outcome, "accept.limited.proxy");

    one.half_close();
    one.expect_eof();
    scene.ended(CLIENT);
    let mut at_last = scene.connect();
    at_last.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 2 2\r\n");
    at_last.expect(b"welcome");
}

#[test]
fn a_unix_socket_is_trusted_by_that_name() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("front");
    let upstream = Upstream::listen_unix(&folder.path().join("back"));
    let proxy = Proxy::run(&config(
        &format!("unix:{}", path.display()),
        r#"proxy-protocol = { trusted = ["unix"] }"#,
        upstream.address(),
        r#"proxy-protocol = "v1""#,
    ))
    .start();
    for cut in [1, 20, LINE.len()] {
        let mut client = Client::connect(proxy.address());
        client.send(&LINE[..cut]);
        client.expect_silence(Duration::from_millis(2));
        client.send(&[&LINE[cut..], &b"hello"[..]].concat());
        let mut server = upstream.accept();
        server.expect(&[LINE, b"hello"].concat());
    }
    let mut client = Client::connect(proxy.address());
    client.send(UNKNOWN);
    upstream.accept().expect(UNKNOWN);
}

// ---- what filters are told ----

#[test]
fn a_filter_can_ask_for_everything_that_a_header_says() {
    let keys = [
        "proxy.peer",
        "proxy.authority",
        "proxy.unique-id",
        "proxy.tlv.ea",
        "proxy.aws.vpce-id",
        "proxy.azure.link-id",
        "proxy.gcp.psc-connection-id",
        "proxy.ssl.version",
        "proxy.ssl.cn",
        "proxy.ssl.verified",
        "proxy.alpn",
    ];
    let script = json!({ "decision": "tell", "keys": keys, "then": { "decision": "pass" } });
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&format!(
        "[filters.script]\nsource = \"{}\"\nconfig = {}\n{}filters = [\"script\"]\n",
        guest("router-script").display(),
        toml_of(&script),
        config("127.0.0.1:0", REQUIRED, upstream.address(), ""),
    ))
    .start();
    let ssl = b"\x03\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice";
    let tlvs = [
        &b"\x02\0\x0adb.example"[..],
        b"\x05\0\x02id",
        b"\xea\0\x17\x01vpce-08d2bf15fac5001c9",
        b"\xee\0\x05\x01\x01\0\0\0",
        b"\xe0\0\x08\0\0\0\0\0\0\0\x07",
        &[&[0x20, 0, ssl.len() as u8], &ssl[..]].concat(),
    ];
    let mut client = Client::connect(proxy.address());
    client.send(&[named(&tlvs.concat()), b"hello".to_vec()].concat());
    client.expect(b"hello");
    let told = proxy.wait_for_guest("script", |event| event.message() == "told");
    for (key, value) in [
        ("client", json!(CLIENT)),
        ("local", json!(SERVER)),
        ("proxy.peer", json!(client.local())),
        ("proxy.authority", json!("db.example")),
        ("proxy.unique-id", json!("id")),
        ("proxy.tlv.ea", json!("\\x01vpce-08d2bf15fac5001c9")),
        ("proxy.aws.vpce-id", json!("vpce-08d2bf15fac5001c9")),
        ("proxy.azure.link-id", json!(1)),
        ("proxy.gcp.psc-connection-id", json!("7")),
        ("proxy.ssl.version", json!("TLSv1.3")),
        ("proxy.ssl.cn", json!("alice")),
        ("proxy.ssl.verified", json!(true)),
    ] {
        assert_eq!(told.field("fields")[key], value, "{key}");
    }
    assert!(told.field("fields")["proxy.alpn"].is_null(), "{told}");
}

// ---- servers that are told who the client is ----

#[test]
fn a_server_is_told_at_once_or_with_the_first_bytes() {
    for (version, length) in [("v1", 0), ("v2", 28)] {
        let scene = Scene::of("", &format!("proxy-protocol = \"{version}\""));
        let mut client = scene.connect();
        let mut server = scene.upstream.accept();
        // Before the client has said anything: the server may be the one who speaks first.
        match length {
            0 => server.expect(line(client.local(), client.remote()).as_bytes()),
            length => assert_eq!(server.receive(length), told(client.local(), client.remote())),
        }
        server.send(b"welcome");
        client.expect(b"welcome");
        client.send(b"hello");
        server.expect(b"hello");
        client.half_close();
        server.expect_eof();
        drop(server);
        client.expect_eof();
        // The header is nobody's but ours.
        let ended = scene.ended(client.local());
        assert_eq!((ended.up(), ended.down()), (5, 7));
    }
}

#[test]
fn what_was_read_before_goes_out_in_one_write_with_the_header() {
    let need = json!({ "decision": "need", "bytes": 5, "then": { "decision": "pass" } });
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&format!(
        "workers = 1\n[filters.script]\nsource = \"{}\"\nconfig = {}\n{}filters = [\"script\"]\n",
        guest("router-script").display(),
        toml_of(&need),
        config("127.0.0.1:0", "", upstream.address(), r#"proxy-protocol = "v1""#),
    ))
    .start();
    let Some(trace) = Trace::attach(&proxy, "sendto") else {
        skip!("no strace here, or it may not");
    };
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    let mut server = upstream.accept();
    let header = line(client.local(), client.remote());
    server.expect(&[header.as_bytes(), b"hello"].concat());
    let sent = trace.finish();
    let length = header.len() + 5;
    let whole = sent
        .iter()
        .filter(|call| call.trim_end().ends_with(&format!("= {length}")));
    assert_eq!(whole.count(), 1, "{sent:#?}");
}

#[test]
fn a_client_of_ipv4_is_one_where_the_listener_is_one_of_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        skip!("no IPv6 here");
    }
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("[::]:0", "", upstream.address(), r#"proxy-protocol = "v1""#)).start();
    let client = Client::connect(format!("127.0.0.1:{}", proxy.port()));
    upstream
        .accept()
        .expect(line(client.local(), client.remote()).as_bytes());
    let client = Client::connect(format!("[::1]:{}", proxy.port()));
    let ports = [client.local(), client.remote()].map(|end| end.rsplit(':').next().expect("a port").to_owned());
    let expected = format!("PROXY TCP6 ::1 ::1 {} {}\r\n", ports[0], ports[1]);
    upstream.accept().expect(expected.as_bytes());
}

#[test]
fn the_server_that_is_tried_next_is_told_the_same() {
    let (_port, refusing) = Upstream::refusing();
    let upstream = Upstream::listen();
    let servers = format!("{refusing}\", \"{}", upstream.address());
    let proxy = Proxy::run(&config("127.0.0.1:0", REQUIRED, &servers, r#"proxy-protocol = "v1""#)).start();
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address());
        client.send(&[LINE, b"hello"].concat());
        upstream.accept().expect(&[LINE, b"hello"].concat());
    }
}

#[test]
fn what_one_proxy_says_the_next_one_passes_on() {
    let upstream = Upstream::listen();
    let inner = r#"proxy-protocol = { version = "v2", tlvs = ["crc32c"], pass = ["0xEA", "0x05"] }"#;
    let inner = Proxy::run(&config("127.0.0.1:0", REQUIRED, upstream.address(), inner)).start();
    let outer = r#"proxy-protocol = { version = "v2", tlvs = ["authority", "unique-id", "crc32c"], pass = ["0xEA"] }"#;
    let outer = Proxy::run(&config("127.0.0.1:0", REQUIRED, inner.address(), outer)).start();
    let mut client = Client::connect(outer.address());
    let tlvs = b"\xea\0\x01a\x02\0\x04name\xe0\0\x01x\xea\0\x01b\x05\0\x02id";
    client.send(&[named(tlvs), b"hello".to_vec()].concat());

    let mut server = upstream.accept();
    let passed = b"\x05\0\x02id\xea\0\x01a\xea\0\x01b";
    let expected = named(&[&passed[..], b"\x03\0\x04____"].concat());
    let told = server.receive(expected.len());
    assert_eq!(told[..expected.len() - 4], expected[..expected.len() - 4]);
    server.expect(b"hello");
    drop((server, client));
    for proxy in [&outer, &inner] {
        assert_eq!(proxy.all_ended_from(CLIENT, 1)[0].up(), 5);
    }
}

// ---- others who speak it ----

#[test]
fn nginx_and_haproxy_tell_us_who_the_client_is() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(
        "127.0.0.1:0",
        REQUIRED,
        upstream.address(),
        r#"proxy-protocol = "v1""#,
    ))
    .start();
    let options = [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ];
    let haproxies = options.map(|options| Rival::haproxy_that_tells(proxy.address(), options));
    let rivals = [Rival::nginx_that_tells(proxy.address())].into_iter().chain(haproxies);
    for rival in rivals {
        let mut client = Client::connect(rival.address());
        client.send(b"hello");
        let mut server = upstream.accept();
        server.expect(line(client.local(), rival.address()).as_bytes());
        server.expect(b"hello");
        server.send(b"world");
        client.expect(b"world");
        let local = client.local().to_owned();
        drop((client, server));
        assert_eq!(proxy.all_ended_from(&local, 1)[0].up(), 5);
    }
}

#[test]
fn the_unique_id_of_haproxy_is_passed_on() {
    let upstream = Upstream::listen();
    let out = r#"proxy-protocol = { version = "v2", tlvs = ["unique-id"] }"#;
    let proxy = Proxy::run(&config("127.0.0.1:0", REQUIRED, upstream.address(), out)).start();
    let haproxy = Rival::haproxy_that_tells(proxy.address(), "send-proxy-v2 proxy-v2-options unique-id");
    let mut client = Client::connect(haproxy.address());
    client.send(b"hello");
    let id = client.local().replace(':', "-");
    let tlv = [&[0x05, 0, id.len() as u8], id.as_bytes()].concat();
    let ends = [client.local(), haproxy.address()].map(|end| end.parse().expect("an address"));
    upstream
        .accept()
        .expect(&header(PROXY, TCP4, &[addresses_of(ends), tlv].concat()));
}

#[test]
fn nginx_understands_what_it_is_told() {
    let nginx = Rival::nginx_that_is_told();
    for out in [
        r#""v1""#,
        r#""v2""#,
        r#"{ version = "v2", tlvs = ["authority", "unique-id", "crc32c"], pass = ["0xEA"] }"#,
    ] {
        let out = format!("proxy-protocol = {out}");
        let proxy = Proxy::run(&config("127.0.0.1:0", "", nginx.address(), &out)).start();
        let mut client = Client::connect(proxy.address());
        // It speaks first.
        let ends = [client.local(), client.remote()].map(|end| end.replace(':', " "));
        client.expect(ends.join(" ").as_bytes());
        client.expect_eof();

        let proxy = Proxy::run(&config("127.0.0.1:0", REQUIRED, nginx.address(), &out)).start();
        let mut client = Client::connect(proxy.address());
        client.send(&named(b"\xea\0\x01a\x02\0\x04name"));
        client.expect(b"192.0.2.1 4711 192.0.2.2 5432");
        client.expect_eof();
    }
}

#[test]
fn haproxy_understands_what_it_is_told() {
    let haproxy = Rival::haproxy_that_is_told();
    for (out, authority, id) in [
        (r#""v1""#, "", ""),
        (r#""v2""#, "", ""),
        (
            r#"{ version = "v2", tlvs = ["authority", "unique-id", "crc32c"] }"#,
            "name",
            "id",
        ),
    ] {
        let out = format!("proxy-protocol = {out}");
        let proxy = Proxy::run(&config("127.0.0.1:0", REQUIRED, haproxy.address(), &out)).start();
        let mut client = Client::connect(proxy.address());
        client.send(&named(b"\x02\0\x04name\x05\0\x02id"));
        client.send(b"GET / HTTP/1.0\r\n\r\n");
        let answer = client.receive_all();
        let answer = String::from_utf8_lossy(&answer);
        let expected = format!("192.0.2.1 4711 192.0.2.2 5432 {authority} {id}");
        assert!(answer.ends_with(&expected), "{answer:?} does not end with {expected:?}");
    }
}

// ---- the scenes ----

/// A proxy in front of an upstream that the test plays, or that greets and echoes.
struct Scene {
    proxy: Proxy,
    upstream: Upstream,
}

impl Scene {
    /// With these keys of the listener and of the upstream.
    fn of(listener: &str, upstream: &str) -> Self {
        Self::before(Upstream::listen(), listener, upstream)
    }

    /// With an upstream that says `welcome` first.
    fn greeting(listener: &str) -> Self {
        Self::before(Upstream::named("welcome"), listener, "")
    }

    fn before(server: Upstream, listener: &str, upstream: &str) -> Self {
        Self {
            proxy: Proxy::run(&config("127.0.0.1:0", listener, server.address(), upstream)).start(),
            upstream: server,
        }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    #[track_caller]
    fn ended(&self, client: &str) -> spliceway_tests::Transfer {
        self.proxy.all_ended_from(client, 1).remove(0)
    }
}

/// The listener's table is the last one, so that more keys of it can follow.
fn config(address: &str, listener: &str, servers: &str, upstream: &str) -> String {
    format!(
        "[upstreams.only]\nservers = [\"{servers}\"]\n{upstream}\n\
         [[listeners]]\nname = \"front\"\naddress = \"{address}\"\nupstream = \"only\"\n{listener}\n"
    )
}

/// JSON as TOML has it on one line.
fn toml_of(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key} = {}", toml_of(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_of).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn line(client: &str, server: &str) -> String {
    let ends = [client, server].map(|end| end.rsplit_once(':').expect("an address and a port"));
    let [(client, from), (server, to)] = ends;
    format!("PROXY TCP4 {client} {server} {from} {to}\r\n")
}

fn told(client: &str, server: &str) -> Vec<u8> {
    let ends = [client, server].map(|end| end.parse().expect("an address and a port"));
    header(PROXY, TCP4, &addresses_of(ends))
}

/// A header of version 2 that names the tests' client.
fn named(tlvs: &[u8]) -> Vec<u8> {
    header(PROXY, TCP4, &[&addresses()[..], tlvs].concat())
}

/// The example of AWS, whose checksum is not ours.
fn with_checksum() -> Vec<u8> {
    let mut block = b"\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50".to_vec();
    block.extend(b"\x03\0\x04\xe8\xd6\x89\x2d\xea\0\x17\x01vpce-08d2bf15fac5001c9\x04\0\x24");
    block.extend([0; 36]);
    header(PROXY, TCP4, &block)
}

fn addresses() -> Vec<u8> {
    addresses_of([CLIENT, SERVER].map(|end| end.parse().expect("an address and a port")))
}

fn addresses_of(ends: [SocketAddr; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for end in ends {
        let SocketAddr::V4(end) = end else {
            panic!("{end} is of IPv6")
        };
        bytes.extend(end.ip().octets());
    }
    bytes.extend(ends.into_iter().flat_map(|end| end.port().to_be_bytes()));
    bytes
}

fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((block.len() as u16).to_be_bytes());
    bytes.extend(block);
    bytes
}

//! Which upstream a connection gets: by the name that it asks for in TLS, by what it speaks, by where it comes from, by what
//! a proxy in front says of it, and by routers.

use std::net::Ipv4Addr;
use std::thread;

use serde_json::json;
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::hello::{Hello, in_records};
use spliceway_tests::origin::{Origin, certify, s_client};
use spliceway_tests::servers::{Nginx, Postgres, Redis, Sshd};
use spliceway_tests::{Client, DEADLINE, End, Peer, Proxy, Upstream, alone, spliceway};

const MIB: usize = 1 << 20;

/// All of 127.0.0.0/8 is this machine.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What TLS says to a client whose name nobody has (RFC 6066, section 3): a fatal alert, 112.
const UNRECOGNIZED_NAME: &[u8] = b"\x15\x03\x03\x00\x02\x02\x70";

// ---- real clients, and servers with certificates of their own ----

#[test]
fn real_clients_reach_the_server_that_has_the_name_and_see_its_certificate() {
    let one = Origin::start("one", &["one.example", "*.wild.example"]);
    let other = Origin::start("other", &["other.example", "shop7.example"]);
    let scene = Scene::before(
        &[("one", &one.address()), ("other", &other.address())],
        r#"routes = [
            { sni = ["one.example"], upstream = "one" },
            { sni = ["*.wild.example"], upstream = "one" },
            { sni = ["other.example", '~shop\d+\.example'], upstream = "other" },
        ]"#,
    );
    let port = scene.proxy.port();
    for (origin, host, says) in [
        (&one, "one.example", "one"),
        (&one, "a.wild.example", "one"),
        (&other, "other.example", "other"),
        (&other, "shop7.example", "other"),
    ] {
        for version in ["--http1.1", "--http2"] {
            assert_eq!(origin.curl(port, host, "/", &[version]).success(), says, "{host}");
        }
    }
    // The certificate is the other one's: nobody else decrypts.
    assert_eq!(one.curl(port, "other.example", "/", &[]).code(), Some(60));
    scene
        .proxy
        .wait_for("connection ended", |event| event.text("upstream") == "other");
}

#[test]
fn what_a_real_client_fetches_is_whole_and_is_spliced() {
    let _alone = alone();
    let origin = Origin::start("one", &["one.example"]);
    let scene = Scene::before(
        &[("one", &origin.address())],
        r#"routes = [{ sni = ["one.example"], upstream = "one" }]"#,
    );
    let bulk = pattern(7, 8 * MIB);
    std::fs::write(origin.files().join("bulk"), &bulk).expect("a file in a folder of the test's");
    let fetched = scene.folder().join("fetched");
    let into = fetched.to_str().expect("a path of this machine");
    // What comes in small pieces is copied: behind a client that is slower than its server there are none.
    let into = ["--output", into, "--limit-rate", "16M"];
    origin.curl(scene.proxy.port(), "one.example", "/bulk", &into).success();
    let fetched = std::fs::read(fetched).expect("curl has written it");
    assert_eq!(digest(&fetched), digest(&bulk));
    let ended = scene.proxy.all_ended(1).remove(0);
    assert!(ended.down() > bulk.len() as u64, "{ended:?}");
    assert!(ended.down_spliced > ended.down_copied, "{ended:?}");
}

#[test]
fn real_programs_share_one_port() {
    let (redis, sshd, postgres, nginx) = (Redis::start(), Sshd::start(), Postgres::start(), Nginx::start());
    let origin = Origin::start("encrypted", &["origin.example"]);
    std::fs::write(nginx.files().join("index.html"), "plain").expect("a file in a folder of the test's");
    let scene = Scene::before(
        &[
            ("redis", &redis.address()),
            ("ssh", &sshd.address()),
            ("postgres", &postgres.address()),
            ("web", &nginx.address()),
            ("origin", &origin.address()),
        ],
        r#"detection = { timeout = "10s" }
        routes = [
            { sni = ["origin.example"], upstream = "origin" },
            { protocol = ["redis"], upstream = "redis" },
            { protocol = ["ssh"], upstream = "ssh" },
            { protocol = ["postgres"], upstream = "postgres" },
            { protocol = ["http1"], upstream = "web" },
        ]"#,
    );
    let port = scene.proxy.port();
    assert_eq!(Redis::cli(port, &["PING"]).success(), "PONG\n");
    assert_eq!(sshd.ssh(port, "echo of ssh").success(), "of ssh\n");
    assert_eq!(Postgres::psql(port, "postgres", "select 6 * 7").success(), "42\n");
    let plain = format!("http://127.0.0.1:{port}/");
    let mut curl = lasting("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", &plain]);
    assert_eq!(run(&mut curl, DEADLINE).success(), "plain");
    assert_eq!(origin.curl(port, "origin.example", "/", &[]).success(), "encrypted");
}

// ---- listeners that decrypt ----

#[test]
fn who_decrypts_passes_on_the_names_that_are_not_his() {
    let origin = Origin::start("origin", &["other.example", "a.pass.example"]);
    let own = Nginx::start();
    std::fs::write(own.files().join("index.html"), "own").expect("a file in a folder of the test's");
    let files = Certified::for_names(&["own.example"]);
    let scene = Scene::before(
        &[("origin", &origin.address()), ("own", &own.address())],
        &format!(
            r#"tls = {{ {}, strict = true, passthrough = ["other.example", "*.pass.example"] }}
            routes = [
                {{ protocol = ["tls"], upstream = "origin" }},
                {{ sni = ["own.example"], protocol = ["http1"], upstream = "own" }},
            ]"#,
            files.certificates()
        ),
    );
    let port = scene.proxy.port();
    assert_eq!(files.curl(port, "own.example").success(), "own");
    for name in ["other.example", "a.pass.example"] {
        assert_eq!(origin.curl(port, name, "/", &[]).success(), "origin");
        // It is the server's certificate that the client sees.
        assert_eq!(files.curl(port, name).code(), Some(60));
    }
    let said = said_by(&s_client(port, &["-servername", "nobody.example"]));
    assert!(said.contains("unrecognized name"), "{said}");
}

#[test]
fn what_is_decrypted_where_clients_begin_with_tls_is_routed_like_what_is_not() {
    let own = Nginx::start();
    std::fs::write(own.files().join("index.html"), "own").expect("a file in a folder of the test's");
    let (redis, default) = (Upstream::named("redis"), Upstream::named("default"));
    let files = Certified::for_names(&["own.example"]);
    let scene = Scene::before(
        &[
            ("own", &own.address()),
            ("redis", redis.address()),
            ("default", default.address()),
        ],
        &format!(
            r#"tls = {{ {}, start = "detect" }}
            detection = {{ timeout = "300ms" }}
            upstream = "default"
            routes = [
                {{ protocol = ["http1"], upstream = "own" }},
                {{ protocol = ["redis"], upstream = "redis" }},
            ]"#,
            files.certificates()
        ),
    );
    let port = scene.proxy.port();
    assert_eq!(files.curl(port, "own.example").success(), "own");
    let mut curl = lasting("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        &format!("http://127.0.0.1:{port}/"),
    ]);
    assert_eq!(run(&mut curl, DEADLINE).success(), "own");
    let ping = b"*1\r\n$4\r\nPING\r\n";
    scene.leads_to("redis", ping);
    let mut client = scene.connect();
    client.dribble(ping);
    client.expect(b"redis");
    client.expect(ping);
    // Who says nothing may be waiting for the server, once his time is over.
    scene.leads_to("default", b"");
    scene.leads_to("default", b"\x16");
}

// ---- many at once ----

#[test]
fn many_at_once_are_not_taken_for_one_another() {
    let scene = Scene::of(
        &["aaa", "bbb", "ccc", "ddd"],
        r#"detection = { timeout = "30s" }
        upstream = "ddd"
        routes = [
            { sni = ["*.aaa.example"], upstream = "aaa" },
            { sni = ['~[0-9]+\.bbb\.example'], upstream = "bbb" },
            { protocol = ["redis"], upstream = "ccc" },
        ]"#,
    );
    let one = |number: usize| {
        let (upstream, said) = match number % 4 {
            0 => ("aaa", Hello::of(&format!("{number}.aaa.example")).bytes()),
            1 => (
                "bbb",
                in_records(&Hello::of(&format!("{number}.bbb.example")).message(), 1 + number % 7),
            ),
            2 => ("ccc", format!("*2\r\n$3\r\nGET\r\n$4\r\n{number:04}\r\n").into_bytes()),
            _ => ("ddd", Hello::of(&format!("{number}.ddd.example")).bytes()),
        };
        (
            upstream,
            [said, pattern(number as u64, 1000 + 97 * (number % 300))].concat(),
        )
    };
    thread::scope(|scope| {
        for worker in 0..8 {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..10 {
                    // Ten of them are open at a time, and each says a piece in its turn.
                    let numbers = (0..10).map(|at| worker * 100 + round * 10 + at);
                    let mut open: Vec<_> = numbers
                        .map(|number| (scene.connect(), number, one(number), 0))
                        .collect();
                    while open.iter().any(|(_, _, (_, said), sent)| *sent < said.len()) {
                        for (client, number, (_, said), sent) in &mut open {
                            let end = said.len().min(*sent + 1 + *number % 61 + *sent);
                            client.send(&said[*sent..end]);
                            *sent = end;
                        }
                    }
                    for (mut client, _, (upstream, said), _) in open {
                        client.expect(&[upstream.as_bytes(), &said].concat());
                    }
                }
            });
        }
    });
}

// ---- names ----

#[test]
fn a_name_is_one_s_own_or_below_a_wildcard_or_fits_an_expression() {
    let scene = Scene::of(
        &["exact", "wild", "expression", "default"],
        r#"upstream = "default"
        routes = [
            { sni = ["a.example.com", "B.example.com"], upstream = "exact" },
            { sni = ["*.example.com"], upstream = "wild" },
            { sni = ['~db-[0-9]+\.internal'], upstream = "expression" },
        ]"#,
    );
    for (name, upstream) in [
        ("a.example.com", "exact"),
        ("A.EXAMPLE.com", "exact"),
        ("a.example.com.", "exact"),
        ("b.example.com", "exact"),
        ("c.example.com", "wild"),
        ("deep.below.example.com", "wild"),
        ("x.a.example.com", "wild"),
        ("example.com", "default"),
        ("aexample.com", "default"),
        ("a.example.com.evil.org", "default"),
        ("db-17.internal", "expression"),
        ("DB-17.internal", "expression"),
        ("db-.internal", "default"),
        ("xdb-17.internal", "default"),
        ("db-17.internal.evil.org", "default"),
    ] {
        scene.leads_to(upstream, &Hello::of(name).bytes());
    }
    scene.leads_to("default", &Hello::nameless().bytes());
    scene.leads_to("default", b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
}

#[test]
fn the_first_route_that_matches_decides() {
    let scene = Scene::of(
        &["first", "second", "third"],
        r#"routes = [
            { name = "narrow", sni = ["*.a.example"], alpn = ["h2"], upstream = "first" },
            { sni = ["x.a.example"], upstream = "second" },
            { name = "broad", sni = ["*.a.example"], upstream = "third" },
            { sni = ["y.a.example"], upstream = "first" },
        ]"#,
    );
    let x = Hello::of("x.a.example");
    scene.leads_to("first", &x.clone().offering(&["h2"]).bytes());
    scene.leads_to("second", &x.bytes());
    let y = scene.leads_to("third", &Hello::of("y.a.example").bytes());
    // What logs call a route is its name, or its place.
    assert_eq!(scene.logged(&y)["route"], "broad");
    let x = scene.leads_to("second", &x.bytes());
    assert_eq!(scene.logged(&x)["route"], "routes[1]");
}

#[test]
fn alpn_is_one_of_those_that_a_client_offers() {
    let scene = Scene::of(
        &["h2", "imap", "default"],
        r#"upstream = "default"
        routes = [
            { alpn = ["imap", "pop3"], upstream = "imap" },
            { sni = ["a.example"], alpn = ["h2"], upstream = "h2" },
        ]"#,
    );
    let hello = |offers: &[&str]| Hello::of("a.example").offering(offers).bytes();
    scene.leads_to("h2", &hello(&["http/1.1", "h2"]));
    scene.leads_to("imap", &hello(&["h2", "pop3"]));
    scene.leads_to("default", &hello(&["h2c", "http/1.1"]));
    scene.leads_to("default", &Hello::of("a.example").bytes());
    scene.leads_to("default", &Hello::of("b.example").offering(&["h2"]).bytes());
}

// ---- where clients come from, and what a proxy in front says ----

#[test]
fn a_route_can_be_for_a_network() {
    let scene = Scene::of(
        &["inside", "outside"],
        r#"routes = [
            { client = ["127.0.0.2/32", "10.0.0.0/8"], upstream = "inside" },
            { client = ["127.0.0.0/8"], upstream = "outside" },
        ]"#,
    );
    // Nothing that clients say is waited for.
    let mut client = Client::connect_from(ELSEWHERE, scene.proxy.address());
    client.expect(b"inside");
    let mut client = scene.connect();
    client.expect(b"outside");
}

#[test]
fn an_address_of_ipv4_is_one_also_on_a_socket_of_ipv6() {
    let upstreams = [Upstream::named("four"), Upstream::named("six")];
    let proxy = Proxy::run(&format!(
        r#"{}{}
        [[listeners]]
        name = "front"
        address = "[::]:0"
        routes = [{{ client = ["127.0.0.0/8"], upstream = "four" }}, {{ client = ["::1"], upstream = "six" }}]
        "#,
        upstream("four", upstreams[0].address()),
        upstream("six", upstreams[1].address()),
    ))
    .start();
    Client::connect(format!("127.0.0.1:{}", proxy.port())).expect(b"four");
    Client::connect(format!("[::1]:{}", proxy.port())).expect(b"six");
}

#[test]
fn a_route_can_be_for_clients_of_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("front");
    let (near, far) = (Upstream::named("near"), Upstream::named("far"));
    let proxy = Proxy::run(&format!(
        r#"{}{}
        [[listeners]]
        name = "unix"
        address = "unix:{}"
        [[listeners]]
        name = "tcp"
        address = "127.0.0.1:0"
        [[routes]]
        client = ["unix"]
        upstream = "near"
        [[routes]]
        upstream = "far"
        "#,
        upstream("near", near.address()),
        upstream("far", far.address()),
        path.display()
    ))
    .start();
    Client::connect(format!("unix:{}", path.display())).expect(b"near");
    Client::connect(proxy.listener("tcp")).expect(b"far");
}

#[test]
fn a_route_can_be_for_what_a_proxy_in_front_says() {
    let scene = Scene::of(
        &["endpoint", "anything", "network", "default"],
        r#"upstream = "default"
        proxy-protocol = { trusted = ["127.0.0.1"] }
        routes = [
            { proxy-tlv = [{ type = "0xEA", value = "vpce-17" }], upstream = "endpoint" },
            { proxy-tlv = [{ type = "0xE1", value = "~team-[a-z]+" }, { type = "0xE2" }], upstream = "anything" },
            { client = ["192.0.2.0/24"], upstream = "network" },
        ]"#,
    );
    let tlv = |kind: u8, value: &[u8]| [&[kind, 0, value.len() as u8], value].concat();
    for (from, tlvs, upstream) in [
        (1, tlv(0xea, b"\x01vpce-17"), "endpoint"),
        (1, tlv(0xea, b"\x01vpce-18"), "network"),
        (1, [tlv(4, b"padding"), tlv(0xe1, b"team-red")].concat(), "anything"),
        (1, tlv(0xe1, b"team-7"), "network"),
        (1, tlv(0xe2, b""), "anything"),
        (1, Vec::new(), "network"),
    ] {
        scene.leads_to_behind(&proxy_header([192, 0, 2, from], &tlvs), upstream, b"hello");
    }
    scene.leads_to_behind(&proxy_header([198, 51, 100, 1], b""), "default", b"hello");
}

#[test]
fn a_name_behind_a_proxy_header_is_read() {
    let scene = Scene::of(
        &["a", "b"],
        r#"proxy-protocol = { trusted = ["127.0.0.1"] }
        routes = [
            { sni = ["x.example"], client = ["192.0.2.7"], upstream = "a" },
            { sni = ["x.example"], upstream = "b" },
        ]"#,
    );
    let hello = Hello::of("x.example").bytes();
    scene.leads_to_behind(&proxy_header([192, 0, 2, 7], b""), "a", &hello);
    scene.leads_to_behind(&proxy_header([192, 0, 2, 8], b""), "b", &hello);
}

// ---- protocols ----

/// What clients of each say first.
const SPOKEN: &[(&str, &[u8])] = &[
    ("http1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("ssh", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    ("postgres", b"\0\0\0\x08\x04\xd2\x16\x2f"),
    ("redis", b"*1\r\n$4\r\nPING\r\n"),
    ("mqtt", b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04dev1"),
    ("socks", b"\x05\x01\0"),
];

#[test]
fn one_port_serves_them_all() {
    let names: Vec<&'static str> = SPOKEN.iter().map(|(name, _)| *name).chain(["tls", "default"]).collect();
    let routes: String = names[..names.len() - 1]
        .iter()
        .map(|name| format!("{{ protocol = [\"{name}\"], upstream = \"{name}\" }},\n"))
        .collect();
    let scene = Scene::of(&names, &format!("upstream = \"default\"\nroutes = [\n{routes}]"));
    let hello = Hello::of("a.example").bytes();
    let all = SPOKEN.iter().copied().chain([("tls", &hello[..])]);
    for (protocol, said) in all {
        let client = scene.leads_to(protocol, said);
        assert_eq!(scene.logged(&client)["protocol"], protocol);
        // A byte at a time it is the same: as much as decides is waited for.
        let mut client = scene.connect();
        client.dribble(said);
        client.expect(&[protocol.as_bytes(), said].concat());
    }
    scene.leads_to("default", b"\xff\xff\xff\xff");
    scene.leads_to("default", b"HELO me\r\n");
}

// ---- shares ----

#[test]
fn connections_are_shared_by_weight() {
    let scene = Scene::of(
        &["most", "few", "none"],
        r#"routes = [{ split = [
            { upstream = "most", weight = 9 }, { upstream = "few" }, { upstream = "none", weight = 0 },
        ] }]"#,
    );
    const CONNECTIONS: usize = 300;
    let mut firsts = [0; 2];
    for _ in 0..CONNECTIONS {
        let mut client = scene.connect();
        match client.receive(3).as_slice() {
            b"mos" => firsts[0] += 1,
            b"few" => firsts[1] += 1,
            other => panic!("{:?}", String::from_utf8_lossy(other)),
        }
    }
    // 30 are expected, with a standard deviation of 5.2: outside of six of them it is once in 10^8.
    assert!((1..=62).contains(&firsts[1]), "{firsts:?}");
}

// ---- routes of several listeners ----

#[test]
fn routes_of_all_listeners_come_after_a_listener_s_own() {
    let upstreams = ["own", "shared", "second"].map(|name| (name, Upstream::named(name)));
    let proxy = Proxy::run(&format!(
        r#"{}
        [[listeners]]
        name = "first"
        address = "127.0.0.1:0"
        routes = [{{ sni = ["a.example"], upstream = "own" }}]
        [[listeners]]
        name = "second"
        address = "127.0.0.1:0"
        [[routes]]
        listeners = ["second"]
        sni = ["b.example"]
        upstream = "second"
        [[routes]]
        sni = ["*.example"]
        upstream = "shared"
        "#,
        upstreams
            .iter()
            .map(|(name, server)| upstream(name, server.address()))
            .collect::<String>()
    ))
    .start();
    for (listener, name, upstream) in [
        ("first", "a.example", "own"),
        ("first", "b.example", "shared"),
        ("second", "a.example", "shared"),
        ("second", "b.example", "second"),
    ] {
        let mut client = Client::connect(proxy.listener(listener));
        let hello = Hello::of(name).bytes();
        client.send(&hello);
        client.expect(&[upstream.as_bytes(), &hello].concat());
    }
}

// ---- who is turned away ----

#[test]
fn a_route_refuses_as_it_says() {
    let scene = Scene::of(
        &["default"],
        r#"upstream = "default"
        routes = [
            { sni = ["alert.example"], refuse = "alert" },
            { name = "silently", sni = ["fin.example"], refuse = "fin" },
            { sni = ["rst.example"], refuse = "rst" },
            { protocol = ["redis"], refuse = "alert" },
        ]"#,
    );
    let end = |name: &str| {
        let mut client = scene.connect();
        client.send(&Hello::of(name).bytes());
        let heard = client.hear_out();
        if heard.end == End::Fin {
            client.half_close();
        }
        let line = scene.logged(&client);
        assert_eq!(line["outcome"], "route.route-refused.proxy");
        let route = match name {
            "alert.example" => "routes[0]",
            "fin.example" => "silently",
            _ => "routes[2]",
        };
        assert_eq!(line["route"], route);
        (heard.bytes, heard.end)
    };
    assert_eq!(end("alert.example"), (UNRECOGNIZED_NAME.to_vec(), End::Fin));
    assert_eq!(end("fin.example"), (Vec::new(), End::Fin));
    assert_eq!(end("rst.example"), (Vec::new(), End::Reset));
    // Who does not speak TLS is not told in it.
    let mut client = scene.connect();
    client.send(b"*1\r\n$4\r\nPING\r\n");
    client.hears_fin();
    scene.leads_to("default", &Hello::of("another.example").bytes());

    let said = |name: &str| said_by(&s_client(scene.proxy.port(), &["-servername", name]));
    let alert = said("alert.example");
    assert!(alert.contains("unrecognized name"), "{alert}");
    for name in ["fin.example", "rst.example"] {
        let said = said(name);
        assert!(
            !said.contains("unrecognized name") && !said.contains("CONNECTION ESTABLISHED"),
            "{said}"
        );
    }
}

#[test]
fn who_is_refused_for_where_he_is_is_refused_at_once() {
    for (refuse, end) in [("alert", End::Fin), ("fin", End::Fin), ("rst", End::Reset)] {
        let scene = Scene::of(
            &["a", "default"],
            &format!(
                r#"upstream = "default"
                detection = {{ timeout = "10m" }}
                routes = [
                    {{ client = ["127.0.0.2"], refuse = "{refuse}" }},
                    {{ sni = ["a.example"], upstream = "a" }},
                ]"#
            ),
        );
        // Or a RST might be there before connect returns, which would then fail.
        scene.proxy.freeze();
        let mut client = Client::connect_from(ELSEWHERE, scene.proxy.address());
        scene.proxy.thaw();
        let heard = client.hear_out();
        assert_eq!((heard.bytes, heard.end), (Vec::new(), end));
        drop(client);
        scene.leads_to("a", &Hello::of("a.example").bytes());
    }
}

#[test]
fn a_connection_that_nothing_is_for_is_refused() {
    let scene = Scene::of(
        &["a"],
        r#"detection = { timeout = "200ms" }
        routes = [{ sni = ["a.example"], upstream = "a" }, { protocol = ["ssh"], upstream = "a" }]"#,
    );
    for (said, heard) in [
        (Hello::of("b.example").bytes(), UNRECOGNIZED_NAME),
        (Hello::nameless().bytes(), UNRECOGNIZED_NAME),
        // It has begun with TLS, and its time is over.
        (Hello::of("a.example").bytes()[..40].to_vec(), UNRECOGNIZED_NAME),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), b""),
        (b"SSH-".to_vec(), b""),
        (Vec::new(), b""),
    ] {
        let mut client = scene.connect();
        client.send(&said);
        client.hear_out().is_whole(heard);
        client.half_close();
        let ended = scene.ended(&client);
        assert_eq!((&*ended.outcome, ended.up()), ("route.no-upstream.proxy", 0));
    }
    let said = said_by(&s_client(scene.proxy.port(), &["-noservername"]));
    assert!(said.contains("unrecognized name"), "{said}");
    scene.leads_to("a", &Hello::of("a.example").bytes());
}

#[test]
fn a_connection_that_no_route_is_for_goes_to_the_listener_s_upstream() {
    let scene = Scene::of(
        &["a", "default"],
        r#"upstream = "default"
        detection = { timeout = "200ms" }
        routes = [{ sni = ["a.example"], upstream = "a" }, { protocol = ["ssh"], upstream = "a" }]"#,
    );
    for said in [
        Hello::of("b.example").bytes(),
        Hello::nameless().bytes(),
        Hello::of("a.example").bytes()[..40].to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"SSH-".to_vec(),
        Vec::new(),
    ] {
        scene.leads_to("default", &said);
    }
}

// ---- routers ----

#[test]
fn a_route_that_refuses_is_before_routers_and_routers_are_before_every_other() {
    let green = json!({ "decision": "route", "upstream": "green" });
    let scene = Scene::with_router(&green);
    let mut client = scene.connect();
    client.send(&Hello::of("refused.example").bytes());
    client.hear_out().is_whole(UNRECOGNIZED_NAME);
    let line = scene.logged(&client);
    assert_eq!(
        (&line["outcome"], &line["route"]),
        (&"route.route-refused.proxy".into(), &"routes[0]".into())
    );
    let client = scene.leads_to("green", &Hello::of("routed.example").bytes());
    let line = scene.logged(&client);
    assert_eq!(line["upstream"], "green");
    // The route is not what it took.
    assert!(line.get("route").is_none(), "{line}");
    scene.leads_to("green", &Hello::of("nobody.example").bytes());

    let scene = Scene::with_router(&json!({ "decision": "pass" }));
    let client = scene.leads_to("routed", &Hello::of("routed.example").bytes());
    assert_eq!(scene.logged(&client)["route"], "routes[1]");
    scene.leads_to("default", &Hello::of("nobody.example").bytes());

    let refuse = json!({ "decision": "refuse", "reason": "not today", "reset": false });
    let scene = Scene::with_router(&refuse);
    let mut client = scene.connect();
    client.send(&Hello::of("routed.example").bytes());
    client.hears_fin();
    let line = scene.logged(&client);
    assert_eq!(line["outcome"], "route.filter-refused.proxy");
    assert!(line.get("route").is_none(), "{line}");
}

#[test]
fn a_router_that_asks_for_nothing_keeps_no_server_waiting() {
    let script = json!({ "decision": "pass" });
    let server = Upstream::listen();
    let filters = format!(
        "[filters.script]\nsource = \"{}\"\nconfig = {}\n",
        guest("router-script").display(),
        toml_of(&script)
    );
    let listener = r#"detection = { timeout = "10m" }
        filters = ["script"]
        routes = [{ client = ["127.0.0.1"], upstream = "mail" }]"#;
    let scene = Scene {
        proxy: Proxy::run(&config(&[("mail", server.address())], &filters, listener)).start(),
        _upstreams: Vec::new(),
    };
    let mut client = scene.connect();
    let mut server = server.accept();
    server.send(b"220 mail.example ESMTP\r\n");
    client.expect(b"220 mail.example ESMTP\r\n");
    drop(server);
    client.expect_eof();
    client.half_close();
    assert_eq!(scene.logged(&client)["protocol"], "smtp");
}

#[test]
fn a_router_is_told_what_was_found_out_and_sees_the_bytes() {
    let keys = ["protocol", "tls.sni", "tls.alpn", "tls.ja4", "tls.ech", "tls.version"];
    let pass = json!({ "decision": "pass" });
    let needs = json!({ "decision": "need", "bytes": 3, "then": pass });
    let scene = Scene::with_router(&json!({ "decision": "tell", "keys": keys, "then": needs }));
    let hello = Hello::of("Routed.example").offering(&["h2", "http/1.1"]).bytes();
    scene.leads_to("routed", &hello);
    let told = scene.proxy.wait_for_guest("script", |event| event.message() == "told");
    let fields = told.field("fields");
    assert_eq!(fields["protocol"], "tls");
    assert_eq!(fields["tls.sni"], "routed.example");
    assert_eq!(fields["tls.alpn"], "h2,http/1.1");
    assert_eq!(fields["tls.ech"], false);
    let ja4 = fields["tls.ja4"].as_str().unwrap_or_default();
    assert!(ja4.starts_with("t12d0102h2_"), "{told}");
    // Nothing was negotiated with us.
    assert!(fields["tls.version"].is_null(), "{told}");

    // Where no route has looked, it is what the router has asked to see.
    let server = Upstream::named("only");
    let tell = json!({ "decision": "tell", "keys": keys, "then": pass });
    let script = json!({ "decision": "need", "bytes": hello.len(), "then": tell });
    let proxy = Proxy::forward(server.address())
        .filter_with(guest("router-script"), script)
        .start();
    let mut client = Client::connect(proxy.address());
    client.dribble(&hello);
    client.expect(&[b"only", &hello[..]].concat());
    let told = proxy.wait_for("told", |_| true);
    assert_eq!(told.field("fields")["tls.sni"], "routed.example", "{told}");
    assert_eq!(told.field("fields")["protocol"], "tls", "{told}");
}

// ---- what is said beforehand ----

#[test]
fn explain_says_what_becomes_of_real_connections() {
    let names = ["a", "b", "c", "d"];
    let upstreams = names.map(Upstream::named);
    let addresses = [0, 1, 2, 3].map(|at| (names[at], upstreams[at].address()));
    let routes = r#"
            { name = "elsewhere", client = ["127.0.0.2"], sni = ["*.example"], upstream = "c" },
            { sni = ["a.example", '~[0-9]+\.a\.example'], upstream = "a" },
            { sni = ["*.example"], alpn = ["h2"], upstream = "b" },
            { sni = ["alert.example"], refuse = "alert" },
            { sni = ["rst.example"], refuse = "rst" },
            { protocol = ["redis", "http1"], upstream = "a" },
            { client = ["127.0.0.2"], upstream = "b" },
            { protocol = ["ssh"], refuse = "fin" },
        "#;
    let listener = format!("detection = {{ timeout = \"100ms\" }}\nupstream = \"d\"\nroutes = [{routes}]");
    let proxy = Proxy::run(&config(&addresses, "", &listener)).start();
    let hello = |name: &str, offers: &[&str]| Hello::of(name).offering(offers).bytes();
    let nameless = Hello::nameless().bytes();
    let mut all_ends = std::collections::BTreeSet::new();
    for said in [
        hello("a.example", &["h2"]),
        hello("A.example", &[]),
        hello("12.a.example", &[]),
        hello("x.example", &["h2", "http/1.1"]),
        hello("x.example", &["http/1.1"]),
        hello("alert.example", &[]),
        hello("alert.example", &["h2"]),
        hello("rst.example", &[]),
        hello("elsewhere.org", &["h2"]),
        hello("192.0.2.1", &[]),
        nameless.clone(),
        hello("a.example", &[])[..30].to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        b"*1\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"\xff\xff".to_vec(),
    ] {
        for from in [Ipv4Addr::LOCALHOST, ELSEWHERE] {
            let mut client = Client::connect_from(from, proxy.address());
            client.send(&said);
            let end = match client.try_receive(1).as_deref() {
                Some([name @ b'a'..=b'd']) => char::from(*name).to_string(),
                // An alert, or nothing.
                Some([21]) | None => "refused".to_owned(),
                other => panic!("{other:?}"),
            };
            let hex: String = said.iter().map(|byte| format!("{byte:02x}")).collect();
            let explained = explained(&proxy, &["--client", &from.to_string(), "--bytes", &hex]);
            assert_eq!(explained, end, "{:?} from {from}", String::from_utf8_lossy(&said));
            all_ends.insert(end);
        }
    }
    assert_eq!(
        all_ends.into_iter().collect::<Vec<_>>(),
        ["a", "b", "c", "d", "refused"]
    );

    // The same of what a client asks for.
    for (name, offers, from) in [
        ("a.example", &["h2"][..], "127.0.0.1"),
        ("a.example", &[], "127.0.0.2"),
        ("x.example", &["http/1.1", "h2"], "127.0.0.1"),
        ("x.example", &["http/1.1"], "127.0.0.1"),
        ("rst.example", &[], "127.0.0.1"),
        ("elsewhere.org", &[], "127.0.0.2"),
    ] {
        let hex: String = hello(name, offers).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut asks = vec!["--client", from, "--sni", name];
        asks.extend(offers.iter().flat_map(|offer| ["--alpn", offer]));
        let by_bytes = explained(&proxy, &["--client", from, "--bytes", &hex]);
        assert_eq!(explained(&proxy, &asks), by_bytes, "{name}");
    }
}

/// The upstream that a connection gets, or `refused`; once its time is over, where it has not said enough.
#[track_caller]
fn explained(proxy: &Proxy, of: &[&str]) -> String {
    let file = proxy.folder().join("spliceway.toml").display().to_string();
    let ask = |more: &[&str]| spliceway([&["explain", "--config", &file], of, more].concat(), DEADLINE);
    let mut answer = ask(&[]);
    if answer.stdout.contains("\nundecided") {
        answer = ask(&["--timed-out"]);
    }
    let upstream = |line: &str| Some(line.strip_prefix("upstream \"")?.split('"').next()?.to_owned());
    let refused = |line: &str| line.starts_with("refused").then(|| "refused".to_owned());
    let said = answer
        .stdout
        .lines()
        .find_map(|line| upstream(line).or_else(|| refused(line)));
    let said = said.unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(answer.code(), Some(i32::from(said == "refused")), "{answer:?}");
    said
}

// ---- bulk ----

#[test]
fn behind_a_name_the_bytes_are_spliced_and_none_is_lost() {
    let _alone = alone();
    let server = Upstream::listen();
    let scene = Scene::before(
        &[("a", server.address())],
        r#"routes = [{ sni = ["a.example"], upstream = "a" }]"#,
    );
    let mut client = scene.connect();
    let (up, down) = (pattern(1, 8 * MIB), pattern(2, 8 * MIB));
    let sent = [&Hello::of("a.example").bytes(), &up[..]].concat();
    let mut sending = client.another();
    let expected = digest(&sent);
    let sender = thread::spawn(move || {
        sending.send(&sent);
        sending.half_close();
    });
    let mut server = server.accept();
    let mut answering = server.another();
    let answer = down.clone();
    let answerer = thread::spawn(move || {
        answering.send(&answer);
        answering.half_close();
    });
    let receiver = thread::spawn(move || digest(&server.receive_all()));
    assert_eq!(digest(&client.receive_all()), digest(&down));
    assert_eq!(receiver.join().expect("the server receives all of it"), expected);
    sender.join().expect("the client sends all of it");
    answerer.join().expect("the server sends all of it");

    let ended = scene.ended(&client);
    assert_eq!(ended.down(), down.len() as u64);
    assert_eq!(ended.up(), (up.len() + Hello::of("a.example").bytes().len()) as u64);
    assert!(
        ended.up_spliced > ended.up_copied && ended.down_spliced > ended.down_copied,
        "{ended:?}"
    );
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
        let addresses: Vec<(&str, &str)> = names
            .iter()
            .copied()
            .zip(upstreams.iter().map(Upstream::address))
            .collect();
        Self {
            proxy: Proxy::run(&config(&addresses, "", listener)).start(),
            _upstreams: upstreams,
        }
    }

    fn before(upstreams: &[(&str, &str)], listener: &str) -> Self {
        Self {
            proxy: Proxy::run(&config(upstreams, "", listener)).start(),
            _upstreams: Vec::new(),
        }
    }

    /// A route that refuses `refused.example`, one for `routed.example`, an upstream of the listener's, and a router that does
    /// as its script says.
    fn with_router(script: &serde_json::Value) -> Self {
        let names = ["green", "routed", "default"];
        let upstreams = names.map(Upstream::named);
        let addresses = [0, 1, 2].map(|at| (names[at], upstreams[at].address()));
        let filters = format!(
            "[filters.script]\nsource = \"{}\"\nconfig = {}\n",
            guest("router-script").display(),
            toml_of(script)
        );
        let listener = r#"upstream = "default"
            filters = ["script"]
            routes = [
                { sni = ["refused.example"], refuse = "alert" },
                { sni = ["routed.example"], upstream = "routed" },
            ]"#;
        Self {
            proxy: Proxy::run(&config(&addresses, &filters, listener)).start(),
            _upstreams: upstreams.into(),
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.proxy.folder().to_owned()
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    /// Who says this first is led there, and all of it arrives.
    #[track_caller]
    fn leads_to(&self, upstream: &str, said: &[u8]) -> Peer {
        self.leads_to_behind(b"", upstream, said)
    }

    /// The same behind a header of the PROXY protocol.
    #[track_caller]
    fn leads_to_behind(&self, header: &[u8], upstream: &str, said: &[u8]) -> Peer {
        let mut client = self.connect();
        client.send(&[header, said].concat());
        let expected = [upstream.as_bytes(), said].concat();
        let heard = client.receive(expected.len());
        assert!(
            heard == expected,
            "{:?} was answered with {:?} where {upstream} was expected",
            String::from_utf8_lossy(said),
            String::from_utf8_lossy(&heard)
        );
        client.half_close();
        client.expect_eof();
        client
    }

    #[track_caller]
    fn ended(&self, client: &Peer) -> spliceway_tests::Transfer {
        self.proxy.ended(client)
    }

    /// The line of the access log about the end of this client's connection.
    #[track_caller]
    fn logged(&self, client: &Peer) -> serde_json::Value {
        spliceway_tests::eventually("a line about the client's connection", || {
            let text = std::fs::read_to_string(self.folder().join("access.log")).ok()?;
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("lines are JSON"));
            lines.find(|line| line["client"] == client.local())
        })
    }
}

/// A certificate of the proxy's own.
struct Certified(tempfile::TempDir);

impl Certified {
    fn for_names(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        certify(folder.path(), names);
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn certificates(&self) -> String {
        let (chain, key) = (self.file("certificate.pem"), self.file("key.pem"));
        format!("certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}]")
    }

    /// Asks with curl, which takes no other certificate.
    #[track_caller]
    fn curl(&self, port: u16, host: &str) -> Finished {
        let mut curl = lasting("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--http1.1", "--cacert"])
            .arg(self.file("certificate.pem"))
            .args([
                "--connect-to",
                &format!("::127.0.0.1:{port}"),
                &format!("https://{host}/"),
            ]);
        run(&mut curl, DEADLINE)
    }
}

fn config(upstreams: &[(&str, &str)], filters: &str, listener: &str) -> String {
    let upstreams: String = upstreams
        .iter()
        .map(|(name, address)| upstream(name, address))
        .collect();
    format!(
        "access-log = {{ file = \"access.log\" }}\n{upstreams}{filters}\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\n{listener}\n"
    )
}

fn upstream(name: &str, address: &str) -> String {
    format!("[upstreams.{name}]\nservers = [\"{address}\"]\n")
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

fn said_by(finished: &Finished) -> String {
    format!("{}{}", finished.stdout, finished.stderr)
}

/// A header of version 2 for a client at that address.
fn proxy_header(client: [u8; 4], tlvs: &[u8]) -> Vec<u8> {
    let addresses = [&client[..], &[192, 0, 2, 200, 0x12, 0x67, 0x15, 0x38]].concat();
    let length = (addresses.len() + tlvs.len()) as u16;
    [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
        &length.to_be_bytes()[..],
        &addresses,
        tlvs,
    ]
    .concat()
}

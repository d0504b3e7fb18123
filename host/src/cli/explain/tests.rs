use std::time::Duration;

use super::filters::{Answer, Met, Says};
use super::report::Report;
use super::*;

/// A configuration with upstreams of these names, each with three servers.
fn with_upstreams(names: &[&str]) -> Config {
    let server = |last: u8| ServerConfig::from(Address::Socket(([10, 1, 0, last], 80).into()));
    let upstream = |name: &&str| UpstreamConfig::new(name, (1..=3).map(server).collect());
    Config {
        upstreams: names.iter().map(upstream).collect(),
        ..Config::default()
    }
}

fn explained(config: &Config, listener: &ListenerConfig, said: &Said, met: &[Met]) -> (Vec<String>, bool) {
    let connection = Connection::new(listener, said).unwrap();
    let Report { text, is_routed } = report::report(config, listener, &connection, met);
    (text.lines().map(str::to_owned).collect(), is_routed)
}

#[track_caller]
fn expect(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|known| known == line), "{line}: {lines:#?}");
    }
}

fn met(name: &str, router: Option<Answer>, watches: [bool; 2]) -> Met {
    Met {
        name: name.to_owned(),
        says: Says::This { router, watches },
    }
}

/// Of a configuration that has nothing else.
fn report(listener: &ListenerConfig, said: &Said) -> Result<Report, String> {
    let connection = Connection::new(listener, said)?;
    Ok(report::report(&Config::default(), listener, &connection, &[]))
}

use crate::config::{
    Address, Balance, Bandwidth, ClientAuth, OnChange, Pattern, Per, ProxyIn, Refusal, RouteConfig, RouteTarget,
    ServerConfig, TimeoutChanges, TlsIn, TlsOut, TlsStart, TlsVersion, TlvCondition, TreatmentConfig, Trusted,
    UpstreamConfig,
};
use crate::protocol::Protocol;

fn edge(routes: Vec<RouteConfig>) -> ListenerConfig {
    ListenerConfig {
        routes,
        ..ListenerConfig::new("edge", ":443".parse().unwrap())
    }
}

fn route(name: &str) -> RouteConfig {
    RouteConfig {
        name: name.to_owned(),
        sni: Vec::new(),
        alpn: Vec::new(),
        protocol: Vec::new(),
        client: None,
        destination: Vec::new(),
        tlvs: Vec::new(),
        subject: Vec::new(),
        target: RouteTarget::Upstream(name.to_owned()),
        treatment: TreatmentConfig::default(),
        on_change: OnChange::Keep,
    }
}

fn for_ending(name: &str, ending: &str) -> RouteConfig {
    RouteConfig {
        sni: vec![Pattern::Ending(ending.to_owned())],
        ..route(name)
    }
}

/// Of 10.0.0.0/8.
fn local(route: RouteConfig) -> RouteConfig {
    RouteConfig {
        client: Some(Trusted {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            unix: false,
        }),
        ..route
    }
}

fn tls(start: TlsStart) -> TlsIn {
    TlsIn {
        certificates: Vec::new(),
        strict: false,
        start,
        passthrough: vec![Pattern::Ending(".through.example".to_owned())],
        client_auth: None,
        alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
        min_version: TlsVersion::V1_2,
        timeout: Duration::from_secs(10),
        handshakes: 10,
    }
}

fn asking_for(name: &str) -> Said {
    Said {
        client: Some([10, 0, 0, 7].into()),
        sni: Some(name.to_owned()),
        ..Said::default()
    }
}

fn sending(bytes: &[u8]) -> Said {
    Said {
        bytes: Some(Bytes::These(bytes.to_vec())),
        ..Said::default()
    }
}

fn lines(listener: &ListenerConfig, said: &Said) -> (Vec<String>, bool) {
    let Report { text, is_routed } = report(listener, said).unwrap();
    (text.lines().map(str::to_owned).collect(), is_routed)
}

fn has(listener: &ListenerConfig, said: &Said, line: &str) -> bool {
    lines(listener, said).0.iter().any(|known| known == line)
}

#[test]
fn it_reads_as_a_person_would_write_it() {
    let routes = vec![
        for_ending("green", ".eu.example.com"),
        local(for_ending("blue", ".example.com")),
        route("third"),
        route("last"),
    ];
    let said = Said {
        alpn: vec!["h2".to_owned()],
        ..asking_for("A.example.com.")
    };
    let report = report(&edge(routes), &said).unwrap();
    assert!(report.is_routed);
    assert_eq!(
        report.text,
        r#"listener "edge" ([::]:443)
what is known: client 10.0.0.7, tls, sni "a.example.com", alpn h2

  1  green  no     sni: "a.example.com" is none of "*.eu.example.com"
  2  blue   yes    sni "*.example.com", client 10.0.0.0/8
     2 more routes are not looked at

upstream "blue"
waited for: the ClientHello (at most 500ms, 16KiB)
"#
    );
}

#[test]
fn who_has_said_too_little_is_waited_for_until_the_time_is_over() {
    let listener = ListenerConfig {
        upstream: Some("own".to_owned()),
        ..edge(vec![for_ending("green", ".example.com")])
    };
    let silent = Said::default();
    let (waiting, is_routed) = lines(&listener, &silent);
    assert!(!is_routed);
    assert_eq!(waiting[3], "  1  green  waits  for the ClientHello");
    assert!(waiting.iter().any(|line| line.starts_with("undecided")));

    let over = Said {
        timed_out: true,
        ..silent
    };
    let (decided, is_routed) = lines(&listener, &over);
    assert!(is_routed);
    assert_eq!(decided[3], "  1  green  no     sni: there is no whole ClientHello");
    assert!(decided.contains(&"upstream \"own\", the listener's own".to_owned()));
}

#[test]
fn bytes_are_looked_at_as_the_proxy_looks_at_them() {
    let ssh = RouteConfig {
        protocol: vec![Protocol::Ssh],
        ..route("ssh")
    };
    let listener = edge(vec![for_ending("green", ".example.com"), ssh]);
    assert!(has(&listener, &sending(b"SSH-2.0-x\r\n"), "upstream \"ssh\""));
    assert!(has(
        &listener,
        &sending(b"\x16\x03\x01"),
        "  1  green  waits  for the ClientHello"
    ));
    let http = "refused: no route is for it, and the listener has no upstream of its own";
    assert!(has(&listener, &sending(b"GET / HTTP/1.1\r\n\r\n"), http));
}

#[test]
fn an_assumed_hello_is_tls_to_a_condition_on_the_protocol() {
    let encrypted = RouteConfig {
        protocol: vec![Protocol::Tls],
        ..route("encrypted")
    };
    let listener = edge(vec![encrypted]);
    assert!(has(
        &listener,
        &asking_for("a.example.com"),
        "  1  encrypted  yes    protocol tls"
    ));
}

#[test]
fn a_refusal_says_how_and_asks_no_filter() {
    let refuse = |refusal| RouteConfig {
        target: RouteTarget::Refuse(refusal),
        ..route("refuse")
    };
    for (refusal, text) in [
        (Refusal::Alert, "refused, with the alert unrecognized_name and FIN"),
        (Refusal::Fin, "refused, with FIN"),
        (Refusal::Rst, "refused, with RST"),
    ] {
        let listener = ListenerConfig {
            filters: vec!["geo".to_owned()],
            ..edge(vec![refuse(refusal)])
        };
        let (lines, is_routed) = lines(&listener, &asking_for("a.example.com"));
        assert!(!is_routed && lines.contains(&text.to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("note:")), "{lines:?}");
    }
    let plain = edge(vec![refuse(Refusal::Alert)]);
    assert!(has(&plain, &sending(b"SSH-2.0-x\r\n"), "refused, with FIN"));
}

#[test]
fn filters_that_may_choose_otherwise_are_named() {
    let listener = ListenerConfig {
        filters: vec!["geo".to_owned(), "log".to_owned()],
        ..edge(vec![route("any")])
    };
    let note = "note: those of the filters \"geo\", \"log\" that are routers are asked next, and may choose otherwise";
    assert!(has(&listener, &asking_for("a.example.com"), note));
}

#[test]
fn a_split_shows_the_shares() {
    let split = RouteTarget::Split(vec![("blue".to_owned(), 9), ("green".to_owned(), 1)]);
    let listener = edge(vec![RouteConfig {
        target: split,
        ..route("canary")
    }]);
    let text = "one of the upstreams \"blue\" (9 of 10), \"green\" (1 of 10)";
    assert!(has(&listener, &asking_for("a.example.com"), text));
}

#[test]
fn a_listener_that_decrypts_routes_by_what_is_inside() {
    let ssh = RouteConfig {
        protocol: vec![Protocol::Ssh],
        ..for_ending("ssh", ".example.com")
    };
    let listener = ListenerConfig {
        tls: Some(tls(TlsStart::AtOnce)),
        ..edge(vec![ssh])
    };
    let said = Said {
        alpn: vec!["http/1.1".to_owned()],
        bytes: Some(Bytes::These(b"SSH-2.0-x\r\n".to_vec())),
        ..asking_for("a.example.com")
    };
    let (lines, is_routed) = lines(&listener, &said);
    assert!(is_routed, "{lines:?}");
    assert_eq!(
        lines[1],
        "what is known: client 10.0.0.7, tls, sni \"a.example.com\", alpn http/1.1 negotiated, 11 bytes"
    );
    assert_eq!(lines[2], "decrypted: yes");
    assert!(lines.contains(&"waited for: the TLS handshake (at most 10s)".to_owned()));
}

#[test]
fn what_is_not_decrypted_has_a_reason() {
    let through = asking_for("a.through.example");
    let plain = sending(b"SSH-2.0-x\r\n");
    let h3 = Said {
        alpn: vec!["h3".to_owned()],
        ..asking_for("a.example.com")
    };
    for (start, said, wanted, is_routed) in [
        (
            TlsStart::AtOnce,
            &through,
            "decrypted: no, \"*.through.example\" is passed through",
            true,
        ),
        (
            TlsStart::AtOnce,
            &plain,
            "refused: the client does not begin with TLS",
            false,
        ),
        (
            TlsStart::Detect,
            &plain,
            "decrypted: no, the client does not begin with TLS",
            true,
        ),
        (
            TlsStart::OnRequest,
            &asking_for("a.example.com"),
            "decrypted: once a filter has asked for it",
            true,
        ),
        (
            TlsStart::AtOnce,
            &h3,
            "refused: nothing that the client offers is one of alpn h2, http/1.1",
            false,
        ),
    ] {
        let listener = ListenerConfig {
            tls: Some(tls(start)),
            ..edge(vec![route("any")])
        };
        let (lines, routed) = lines(&listener, said);
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:?}");
        assert_eq!(routed, is_routed, "{wanted}");
    }
}

#[test]
fn a_strict_listener_turns_those_away_who_ask_for_no_name() {
    let strict = TlsIn {
        strict: true,
        ..tls(TlsStart::AtOnce)
    };
    let listener = ListenerConfig {
        tls: Some(strict),
        ..edge(vec![route("any")])
    };
    let nameless = Said {
        alpn: vec!["h2".to_owned()],
        ..Said::default()
    };
    let refused = "refused: the client asks for no name, and the listener is strict";
    assert!(has(&listener, &nameless, refused));
    let named = "decrypted: yes, if a certificate is for \"a.example.com\" (strict)";
    assert!(has(&listener, &asking_for("a.example.com"), named));
}

#[test]
fn what_the_proxy_in_front_and_the_certificate_say_is_known() {
    let vpc = RouteConfig {
        tlvs: vec![TlvCondition {
            kind: 0xea,
            value: Some(Pattern::Exactly("vpce-1".to_owned())),
        }],
        subject: vec![Pattern::Ending(",O=Example".to_owned())],
        ..route("vpc")
    };
    let listener = ListenerConfig {
        proxy_protocol: Some(ProxyIn {
            required: true,
            trusted: Trusted::default(),
            timeout: Duration::from_secs(1),
            longest: 1024,
        }),
        tls: Some(TlsIn {
            client_auth: Some(ClientAuth {
                authorities: PathBuf::from("ca.pem"),
                required: true,
                revocations: None,
            }),
            ..tls(TlsStart::AtOnce)
        }),
        ..edge(vec![vpc])
    };
    let said = Said {
        tlvs: vec![(0xea, "vpce-1".to_owned())],
        subject: Some("CN=alice,O=Example".to_owned()),
        ..asking_for("a.example.com")
    };
    let held = "  1  vpc  yes    tlv 0xEA \"vpce-1\", subject \"*,O=Example\"";
    assert!(has(&listener, &said, held), "{:?}", lines(&listener, &said));
}

#[test]
fn timeouts_say_who_has_set_them() {
    let mut listener = edge(vec![route("blue")]);
    listener.timeouts.connect = Some(Duration::from_secs(2));
    listener.timeouts.idle = Some(Duration::from_secs(60));
    let mut config = with_upstreams(&["blue"]);
    config.upstreams[0].timeouts = TimeoutChanges {
        idle: Some(None),
        lifetime: Some(Some(Duration::from_secs(86_400))),
        ..TimeoutChanges::default()
    };
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    let timeouts = "timeouts: idle none, lifetime 24h (upstream \"blue\"); connect 2s (listener \"edge\"); \
                    route 5s, first-byte none, half-closed 50s, stall 5m (defaults)";
    expect(&lines, &[timeouts]);
}

#[test]
fn the_server_is_named_where_the_client_decides_and_else_how_it_is_chosen() {
    let listener = edge(vec![route("blue")]);
    let mut config = with_upstreams(&["blue"]);
    config.upstreams[0].servers[1].weight = 5;
    config.upstreams[0].servers[2].backup = true;
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    expect(
        &lines,
        &["server: one of 10.1.0.1:80, 10.1.0.2:80 (weight 5) (round-robin)"],
    );
    config.upstreams[0].balance = Balance::Maglev;
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    let named = |line: &String| {
        line.starts_with("server: 10.1.0.")
            && line.ends_with("by the hash of 10.0.0.7 (maglev), while all servers are up")
    };
    assert!(lines.iter().any(named), "{lines:#?}");
    let host = Address::Host {
        host: "db.example".to_owned(),
        port: 80,
    };
    config.upstreams[0].servers.push(host.into());
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    expect(
        &lines,
        &["server: the one that the hash of 10.0.0.7 leads to (maglev), once names are looked up"],
    );
}

#[test]
fn each_upstream_of_a_split_has_its_terms() {
    let listener = edge(vec![RouteConfig {
        target: RouteTarget::Split(vec![
            ("blue".to_owned(), 9),
            ("green".to_owned(), 1),
            ("old".to_owned(), 0),
        ]),
        on_change: OnChange::Kill,
        ..route("canary")
    }]);
    let config = with_upstreams(&["blue", "green", "old"]);
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    expect(
        &lines,
        &[
            "with \"blue\":",
            "with \"green\":",
            "on change: its connections are ended (of the route)",
        ],
    );
    assert!(!lines.contains(&"with \"old\":".to_owned()), "{lines:#?}");
}

#[test]
fn what_is_done_to_its_bytes_is_shown_with_who_wants_it() {
    let mut listener = edge(vec![route("blue")]);
    let mut config = with_upstreams(&["blue"]);
    let pace = |rate| TreatmentConfig {
        bandwidth: vec![Bandwidth {
            up: None,
            down: Some(rate),
            per: Per::Client,
            burst: None,
        }],
        ..TreatmentConfig::default()
    };
    listener.routes[0].treatment = pace(1 << 20);
    config.upstreams[0].treatment = pace(1 << 30);
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    expect(
        &lines,
        &[
            r#"treatment: {"bandwidth":[{"down":"1MiB/s","per":"client"}]} (route)"#,
            r#"treatment: {"bandwidth":[{"down":"1GiB/s","per":"client"}]} (upstream "blue")"#,
        ],
    );
}

#[test]
fn limits_are_named_with_whose_they_are() {
    let mut listener = edge(vec![route("blue")]);
    let mut config = with_upstreams(&["blue"]);
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    expect(&lines, &["limits: none"]);
    listener.limits.connections = Some(100);
    listener.limits.rate_per_client = Some(5);
    config.limits.connections = Some(1_000);
    config.upstreams[0].servers[0].max_connections = Some(10);
    let (lines, _) = explained(&config, &listener, &asking_for("a.example"), &[]);
    let limits = "limits: connections 100, rate-per-client 5, at the limit queue(5s) (listener \"edge\"); \
                  connections 1000, at the limit queue(5s) (all listeners); \
                  at most 10 connections at a server, where 1024 may wait up to 5s (upstream \"blue\")";
    expect(&lines, &[limits]);
}

#[test]
fn the_way_of_the_bytes_depends_on_tls_and_on_who_watches() {
    let mut listener = edge(vec![route("blue")]);
    let mut config = with_upstreams(&["blue"]);
    let said = asking_for("a.example");
    let (lines, _) = explained(&config, &listener, &said, &[]);
    expect(
        &lines,
        &[
            "up: spliced where it is bulk, copied where transfers are small",
            "down: spliced where it is bulk, copied where transfers are small",
        ],
    );
    let filters = [
        met("geo", Some(Answer::Passes), [false; 2]),
        met("redis-guard", None, [true, false]),
    ];
    listener.filters = vec!["geo".to_owned(), "redis-guard".to_owned()];
    let (lines, _) = explained(&config, &listener, &said, &filters);
    expect(
        &lines,
        &[
            "  filter  geo          passes",
            "  filter  redis-guard  sees what goes up",
            "up: not spliced up: filter redis-guard is subscribed",
            "down: spliced where it is bulk, copied where transfers are small",
        ],
    );
    assert!(!lines.iter().any(|line| line.starts_with("note:")), "{lines:#?}");

    config.upstreams[0].tls = Some(TlsOut {
        verify: false,
        name: None,
        authorities: None,
        certificate: None,
        alpn: Vec::new(),
        min_version: TlsVersion::V1_2,
    });
    let unknown = Met {
        name: "far".to_owned(),
        says: Says::Nothing("it lies in a registry".to_owned()),
    };
    listener.filters = vec!["far".to_owned()];
    let (lines, _) = explained(&config, &listener, &said, &[unknown]);
    expect(
        &lines,
        &[
            "  filter  far  is not asked: it lies in a registry",
            "down: copied: the sockets cannot be spliced (TLS with the server), unless filter far is subscribed",
            "note: those of the filters \"far\" that are routers are asked next, and may choose otherwise",
        ],
    );
}

#[test]
fn a_router_that_chooses_or_refuses_is_followed() {
    let listener = ListenerConfig {
        filters: vec!["geo".to_owned()],
        ..edge(vec![route("blue")])
    };
    let config = with_upstreams(&["blue", "green"]);
    let said = asking_for("a.example");
    let asked = |answer| [met("geo", Some(answer), [false; 2])];
    let (lines, is_routed) = explained(&config, &listener, &said, &asked(Answer::Chooses("green".to_owned())));
    assert!(is_routed);
    expect(
        &lines,
        &[
            "  filter  geo  chooses the upstream \"green\"",
            "upstream \"green\", chosen by the filter \"geo\"",
        ],
    );
    let (lines, is_routed) = explained(&config, &listener, &said, &asked(Answer::Refuses("no".to_owned())));
    assert!(!is_routed);
    expect(&lines, &["  filter  geo  refuses: no", "refused by the filter \"geo\""]);
    assert!(!lines.iter().any(|line| line.starts_with("server:")), "{lines:#?}");
    let (lines, is_routed) = explained(&config, &listener, &said, &asked(Answer::Wants("more".to_owned())));
    assert!(is_routed);
    expect(
        &lines,
        &[
            "upstream \"blue\"",
            "note: those of the filters \"geo\" that are routers are asked next, and may choose otherwise",
        ],
    );
}

#[test]
fn what_contradicts_itself_or_the_listener_is_wrong() {
    let wrong = |listener: &ListenerConfig, said: Said| report(listener, &said).unwrap_err();
    let plain = edge(vec![local(route("local"))]);
    assert!(wrong(&plain, Said::default()).contains("say --client"));
    let both = Said {
        bytes: sending(b"x").bytes,
        ..asking_for("a.example.com")
    };
    assert!(wrong(&plain, both).starts_with("--bytes"));
    assert!(wrong(&plain, asking_for("10.0.0.1")).starts_with("--sni 10.0.0.1"));
    let tlv = Said {
        tlvs: vec![(5, String::new())],
        ..asking_for("a.example.com")
    };
    assert!(wrong(&plain, tlv).starts_with("--tlv"));
    let subject = Said {
        subject: Some("CN=alice".to_owned()),
        ..asking_for("a.example.com")
    };
    assert!(wrong(&plain, subject).starts_with("--subject"));
}

#[test]
fn the_only_listener_needs_no_name() {
    let named = |name: &str| ListenerConfig::new(name, ":0".parse().unwrap());
    let mut config = Config {
        listeners: vec![named("a")],
        ..Config::default()
    };
    assert_eq!(listener(&config, None).unwrap().name, "a");
    assert!(listener(&config, Some("b")).unwrap_err().contains("but a"));
    config.listeners.push(named("b"));
    assert_eq!(listener(&config, Some("b")).unwrap().name, "b");
    assert!(listener(&config, None).unwrap_err().contains("one of a, b"));
}

#[test]
fn bytes_and_tlvs_are_typed_in_hexadecimal() {
    assert_eq!(bytes("16 03:01").unwrap(), Bytes::These(vec![0x16, 3, 1]));
    assert_eq!(bytes("@hello.bin").unwrap(), Bytes::Of("hello.bin".into()));
    assert_eq!(bytes("-").unwrap(), Bytes::Input);
    for wrong in ["1", "1g", "+1", "\u{e9}"] {
        assert!(bytes(wrong).is_err(), "{wrong}");
    }
    assert_eq!(tlv("0xEA=a=b").unwrap(), (0xea, "a=b".to_owned()));
    assert_eq!(tlv("0x05").unwrap(), (5, String::new()));
    for wrong in ["EA=x", "0xE=x", "0x+1=x", "=x", ""] {
        assert!(tlv(wrong).is_err(), "{wrong}");
    }
}

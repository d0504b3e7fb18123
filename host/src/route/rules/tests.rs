//! Random routes and connections: the index finds what a walk through all routes finds.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use regex::RegexBuilder;

use super::*;
use crate::config::{OnChange, Pattern, Refusal, RouteTarget, TlvCondition, TreatmentConfig, Trusted};
use crate::protocol::Protocol;
use crate::proxy_header::Tlvs;

/// A connection that owns what is known of it.
#[derive(Debug, Clone)]
struct Connection {
    client: Option<IpAddr>,
    destination: Option<SocketAddr>,
    tlvs: Option<Tlvs>,
    subject: Option<String>,
    bytes: Vec<u8>,
    tls: Hello,
    over: bool,
}

#[derive(Debug, Clone)]
enum Hello {
    Unknown,
    Absent,
    Seen(Option<String>, Vec<String>),
    Established(Option<String>, Option<String>),
}

impl Connection {
    fn known(&self) -> Known<'_> {
        Known {
            client: self.client,
            destination: self.destination,
            tlvs: self.tlvs.as_ref(),
            subject: self.subject.as_deref(),
            first: First::Bytes(&self.bytes),
            tls: match &self.tls {
                Hello::Unknown => Tls::Unknown,
                Hello::Absent => Tls::Absent,
                Hello::Seen(name, offered) => Tls::Hello {
                    name: name.as_deref(),
                    offered,
                },
                Hello::Established(name, alpn) => Tls::Established {
                    name: name.as_deref(),
                    alpn: alpn.as_deref(),
                },
            },
            over: self.over,
        }
    }
}

/// Nothing is known but that it comes from 10.0.0.7.
fn silent() -> Connection {
    Connection {
        client: Some([10, 0, 0, 7].into()),
        destination: None,
        tlvs: None,
        subject: None,
        bytes: Vec::new(),
        tls: Hello::Unknown,
        over: false,
    }
}

fn asking_for(name: &str) -> Connection {
    Connection {
        tls: Hello::Seen(Some(name.to_owned()), Vec::new()),
        ..silent()
    }
}

fn route() -> RouteConfig {
    RouteConfig {
        name: "route".to_owned(),
        sni: Vec::new(),
        alpn: Vec::new(),
        protocol: Vec::new(),
        client: None,
        destination: Vec::new(),
        tlvs: Vec::new(),
        subject: Vec::new(),
        target: RouteTarget::Upstream("blue".to_owned()),
        treatment: TreatmentConfig::default(),
        on_change: OnChange::Keep,
    }
}

fn for_names(names: &[&str]) -> RouteConfig {
    RouteConfig {
        sni: names.iter().map(|name| pattern(name)).collect(),
        ..route()
    }
}

fn from(networks: &[&str]) -> RouteConfig {
    RouteConfig {
        client: Some(Trusted {
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            unix: false,
        }),
        ..route()
    }
}

/// As it is typed.
fn pattern(typed: &str) -> Pattern {
    if let Some(ending) = typed.strip_prefix('*') {
        Pattern::Ending(ending.to_owned())
    } else if let Some(expression) = typed.strip_prefix('~') {
        Pattern::Expression {
            typed: expression.to_owned(),
            compiled: RegexBuilder::new(&format!("^(?:{expression})$"))
                .case_insensitive(true)
                .build()
                .unwrap(),
        }
    } else {
        Pattern::Exactly(typed.to_owned())
    }
}

fn decided(routes: &[RouteConfig], connection: &Connection) -> Decided {
    Rules::new(routes).decide(&connection.known())
}

#[test]
fn the_first_route_whose_name_fits_decides_however_it_is_written() {
    let routes = [
        for_names(&["a.example.com", "b.example.com"]),
        for_names(&["*.eu.example.com"]),
        for_names(&["~db[0-9]+\\.example\\.com"]),
        for_names(&["*.example.com"]),
        for_names(&["b.example.com", "org.", "*.org"]),
        route(),
    ];
    for (name, wanted) in [
        ("a.example.com", 0),
        ("b.example.com", 0),
        ("x.y.eu.example.com", 1),
        ("eu.example.com", 3),
        ("db7.example.com", 2),
        ("db.example.com", 3),
        ("xdb7.example.com", 3),
        ("example.com", 5),
        (".example.com", 5),
        ("example.org", 4),
        ("org", 5),
        ("", 5),
    ] {
        assert_eq!(decided(&routes, &asking_for(name)), Decided::Route(wanted), "{name:?}");
    }
    let nameless = Connection {
        tls: Hello::Seen(None, Vec::new()),
        ..silent()
    };
    assert_eq!(decided(&routes, &nameless), Decided::Route(5));
    assert_eq!(decided(&routes[..5], &nameless), Decided::NoMatch);
}

#[test]
fn a_route_that_may_still_match_is_not_overtaken() {
    let routes = [for_names(&["a.example.com"]), from(&["10.0.0.0/8"])];
    assert_eq!(decided(&routes, &silent()), Decided::NeedMore);
    let over = Connection { over: true, ..silent() };
    assert_eq!(decided(&routes, &over), Decided::Route(1));
    assert_eq!(decided(&routes, &asking_for("a.example.com")), Decided::Route(0));
}

#[test]
fn what_is_ruled_out_by_what_is_known_is_not_waited_for() {
    let elsewhere = RouteConfig {
        client: from(&["192.0.2.0/24"]).client,
        ..for_names(&["a.example.com"])
    };
    assert_eq!(decided(&[elsewhere.clone(), route()], &silent()), Decided::Route(1));
    assert_eq!(decided(&[elsewhere], &silent()), Decided::NoMatch);
    assert_eq!(decided(&[], &silent()), Decided::NoMatch);
}

#[test]
fn alpn_is_what_is_offered_or_where_it_was_decrypted_what_was_negotiated() {
    let alpn = |alpn: &[&str]| alpn.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let routes = [RouteConfig {
        alpn: alpn(&["h2", "postgresql"]),
        ..route()
    }];
    let with = |tls| Connection { tls, ..silent() };
    for (tls, wanted) in [
        (Hello::Unknown, Decided::NeedMore),
        (Hello::Absent, Decided::NoMatch),
        (Hello::Seen(None, alpn(&["http/1.1", "h2"])), Decided::Route(0)),
        (Hello::Seen(None, alpn(&["http/1.1"])), Decided::NoMatch),
        (Hello::Established(None, Some("h2".to_owned())), Decided::Route(0)),
        (Hello::Established(None, Some("H2".to_owned())), Decided::NoMatch),
        (Hello::Established(None, None), Decided::NoMatch),
    ] {
        assert_eq!(decided(&routes, &with(tls.clone())), wanted, "{tls:?}");
    }
}

#[test]
fn a_tlv_is_compared_as_text_and_that_of_aws_also_without_its_subtype() {
    let asks = |kind, value: Option<&str>| {
        vec![RouteConfig {
            tlvs: vec![TlvCondition {
                kind,
                value: value.map(pattern),
            }],
            ..route()
        }]
    };
    let header = |kind: u8, value: &[u8]| Connection {
        tlvs: Some(Tlvs::of_values([
            (0x05, &b"other"[..]),
            (kind, b"first"),
            (kind, value),
        ])),
        ..silent()
    };
    let aws = header(0xea, b"\x01vpce-1");
    let holds = |routes: &[RouteConfig], connection: &Connection| decided(routes, connection) == Decided::Route(0);
    assert!(holds(&asks(0xea, Some("vpce-1")), &aws));
    assert!(holds(&asks(0xea, Some("\u{1}vpce-1")), &aws));
    assert!(holds(&asks(0xea, None), &aws));
    assert!(!holds(&asks(0xeb, None), &aws));
    assert!(!holds(&asks(0xea, Some("vpce")), &aws));
    assert!(!holds(&asks(0xeb, Some("vpce-1")), &header(0xeb, b"\x01vpce-1")));
    assert!(holds(&asks(0xeb, Some("a\u{fffd}b")), &header(0xeb, b"a\xffb")));
    assert!(!holds(&asks(0xea, None), &silent()));
}

#[test]
fn one_certificate_s_subject_is_enough_and_none_is_not() {
    let routes = [RouteConfig {
        subject: vec![pattern("CN=alice"), pattern("*,O=Example")],
        ..route()
    }];
    let of = |subject: Option<&str>| Connection {
        subject: subject.map(str::to_owned),
        ..silent()
    };
    assert_eq!(decided(&routes, &of(Some("CN=alice"))), Decided::Route(0));
    assert_eq!(decided(&routes, &of(Some("CN=bob,O=Example"))), Decided::Route(0));
    assert_eq!(decided(&routes, &of(Some("CN=mallory"))), Decided::NoMatch);
    assert_eq!(decided(&routes, &of(None)), Decided::NoMatch);
}

#[test]
fn what_was_decrypted_is_not_tls() {
    let routes = [RouteConfig {
        protocol: vec![Protocol::Tls],
        ..route()
    }];
    let decrypted = Connection {
        tls: Hello::Established(None, None),
        bytes: b"\x16\x03\x01".to_vec(),
        ..silent()
    };
    assert_eq!(decided(&routes, &decrypted), Decided::NoMatch);
}

#[test]
fn what_routes_ask_for_is_what_has_to_be_found_out() {
    let asks = |route| Rules::new(&[self::route(), route]).asks_for();
    assert!(!asks(from(&["10.0.0.0/8"])).is_anything());
    let hello = Asks {
        hello: true,
        protocol: false,
    };
    assert_eq!(asks(for_names(&["a.example.com"])), hello);
    let alpn = RouteConfig {
        alpn: vec!["h2".to_owned()],
        ..route()
    };
    assert_eq!(asks(alpn), hello);
    let protocol = RouteConfig {
        protocol: vec![Protocol::Ssh],
        ..route()
    };
    assert_eq!(
        asks(protocol),
        Asks {
            hello: false,
            protocol: true
        }
    );
}

#[test]
fn a_split_gives_each_upstream_its_share_and_an_upstream_without_one_nothing() {
    let split = |shares: &[(&str, u32)]| RouteConfig {
        target: RouteTarget::Split(
            shares
                .iter()
                .map(|(name, share)| ((*name).to_owned(), *share))
                .collect(),
        ),
        ..route()
    };
    let rules = Rules::new(&[route(), split(&[("none", 0), ("blue", 1), ("green", 3), ("last", 0)])]);
    assert_eq!(rules.upstream_names(), ["blue", "none", "green", "last"]);
    let mut counts = [0; 4];
    for step in 0..1_000_u64 {
        match rules.target(1, step * (u64::MAX / 1_000 + 1)) {
            Target::Upstream(place) => counts[place] += 1,
            Target::Refuse(_) => panic!("nobody is refused"),
        }
    }
    assert_eq!(counts, [250, 0, 750, 0]);
    assert_eq!(rules.target(1, 0), Target::Upstream(0));
    assert_eq!(rules.target(1, u64::MAX), Target::Upstream(2));
    assert_eq!(rules.target(0, 7), Target::Upstream(0));
    let refuse = RouteConfig {
        target: RouteTarget::Refuse(Refusal::Rst),
        ..route()
    };
    assert_eq!(Rules::new(&[refuse]).target(0, 1), Target::Refuse(Refusal::Rst));
}

#[test]
fn an_explanation_says_of_each_route_why() {
    let elsewhere = RouteConfig {
        client: from(&["192.0.2.0/24", "2001:db8::/32"]).client,
        ..for_names(&["*.example.com"])
    };
    let here = RouteConfig {
        client: from(&["10.0.0.0/8"]).client,
        ..for_names(&["b.example.com", "*.example.com"])
    };
    let rules = Rules::new(&[for_names(&["*.eu.example.com"]), elsewhere, here, route()]);
    let explanation = rules.explain(&asking_for("a.example.com").known());
    let findings: Vec<_> = explanation.steps.into_iter().map(|step| step.finding).collect();
    assert_eq!(
        findings,
        [
            Finding::No("sni: \"a.example.com\" is none of \"*.eu.example.com\"".to_owned()),
            Finding::No("client: 10.0.0.7 is in none of 192.0.2.0/24, 2001:db8::/32".to_owned()),
            Finding::Yes(vec!["sni \"*.example.com\"".to_owned(), "client 10.0.0.0/8".to_owned()]),
        ]
    );
    assert_eq!(explanation.not_looked_at, 1);
    assert_eq!(explanation.decided, Decided::Route(2));

    let waiting = rules.explain(&silent().known());
    assert_eq!(waiting.decided, Decided::NeedMore);
    assert_eq!(waiting.steps[0].finding, Finding::NeedMore(Awaited::Hello));
    assert_eq!(waiting.not_looked_at, 3);
}

#[test]
fn a_long_list_is_cut_short_in_an_explanation() {
    let names: Vec<String> = (0..100).map(|number| format!("n{number}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = Rules::new(&[for_names(&names)]);
    let explanation = rules.explain(&asking_for("x").known());
    let Finding::No(reason) = &explanation.steps[0].finding else {
        panic!("it matches")
    };
    assert!(reason.ends_with("\"n7.example.com\", 92 more"), "{reason}");
}

prop_compose! {
    /// Few letters, so that names meet.
    fn name()(labels in prop::collection::vec("[ab]{0,2}", 0..4)) -> String {
        labels.join(".")
    }
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        4 => name().prop_map(|name| pattern(&name)),
        3 => name().prop_map(|name| pattern(&format!("*.{name}"))),
        1 => name().prop_map(|name| pattern(&format!("*{name}"))),
        2 => prop::sample::select(vec!["~a.*", "~.*b", "~(a|b)\\..*", "~.*", "~A|B", "~[ab]{1,2}\\.a"]).prop_map(pattern),
    ]
}

fn few<T: std::fmt::Debug + Clone>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..4)]
}

fn alpn() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["h2", "http/1.1", "x"]).prop_map(str::to_owned)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(Protocol::ALL)
}

prop_compose! {
    fn any_route()(
        sni in prop_oneof![Just(Vec::new()), prop::collection::vec(any_pattern(), 1..4)],
        alpn in few(alpn()),
        protocol in few(protocol()),
        networks in prop::option::weighted(0.2, prop::sample::select(vec!["10.0.0.0/8", "10.0.0.7/32", "192.0.2.0/24"])),
        tlvs in few((0xe9..=0xeb_u8, prop::option::of(name())).prop_map(|(kind, value)| TlvCondition {
            kind,
            value: value.map(|value| pattern(&value)),
        })),
        subject in few(any_pattern()),
    ) -> RouteConfig {
        let client = networks.and_then(|networks| from(&[networks]).client);
        RouteConfig { sni, alpn, protocol, client, tlvs, subject, ..route() }
    }
}

fn hello() -> impl Strategy<Value = Hello> {
    let name = || prop::option::weighted(0.9, name());
    prop_oneof![
        2 => Just(Hello::Unknown),
        1 => Just(Hello::Absent),
        5 => (name(), prop::collection::vec(alpn(), 0..3)).prop_map(|(name, offered)| Hello::Seen(name, offered)),
        2 => (name(), prop::option::of(alpn())).prop_map(|(name, alpn)| Hello::Established(name, alpn)),
    ]
}

prop_compose! {
    fn connection()(
        client in prop::sample::select(vec![None, Some([10, 0, 0, 7].into()), Some([192, 0, 2, 1].into())]),
        sent in prop::option::of(prop::collection::vec((0xe9..=0xeb_u8, name()), 0..3)),
        subject in prop::option::of(name()),
        bytes in prop::sample::select(vec![&b""[..], b"G", b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01"]),
        tls in hello(),
        over in any::<bool>(),
    ) -> Connection {
        let sent = sent.map(|all| Tlvs::of_values(all.iter().map(|(kind, value)| (*kind, value.as_bytes()))));
        Connection { client, destination: None, tlvs: sent, subject, bytes: bytes.to_vec(), tls, over }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_index_decides_as_a_walk_through_all_routes_does(
        routes in prop::collection::vec(any_route(), 0..12),
        connection in connection(),
    ) {
        let rules = Rules::new(&routes);
        let known = connection.known();
        let walked = first(routes.iter().map(|route| conditions::all(route, &known)).enumerate());
        prop_assert_eq!(rules.decide(&known), walked);
        prop_assert_eq!(rules.explain(&known).decided, walked);
    }

    #[test]
    fn who_has_no_more_to_say_is_decided_about(
        routes in prop::collection::vec(any_route(), 0..12),
        connection in connection(),
    ) {
        let over = Connection { over: true, ..connection };
        prop_assert_ne!(decided(&routes, &over), Decided::NeedMore);
    }

    /// What is decided before all is known remains so.
    #[test]
    fn what_comes_later_changes_no_decision(
        routes in prop::collection::vec(any_route(), 0..12),
        connection in connection(),
        later in hello(),
    ) {
        let early = Connection { tls: Hello::Unknown, bytes: Vec::new(), over: false, ..connection.clone() };
        let early = decided(&routes, &early);
        if early != Decided::NeedMore {
            prop_assert_eq!(decided(&routes, &Connection { tls: later, ..connection }), early);
        }
    }
}

#[test]
fn a_route_may_ask_where_a_connection_was_to_go() {
    let to = |destinations: &[&str]| RouteConfig {
        destination: destinations.iter().map(|one| one.parse().unwrap()).collect(),
        ..route()
    };
    let rules = Rules::new(&[to(&["10.0.0.0/8:5432"]), to(&[":443", "192.0.2.1"])]);
    let decided = |destination: Option<&str>| {
        let connection = Connection {
            destination: destination.map(|address| address.parse().unwrap()),
            ..silent()
        };
        rules.decide(&connection.known())
    };
    assert_eq!(decided(Some("10.1.1.1:5432")), Decided::Route(0));
    assert_eq!(decided(Some("10.1.1.1:443")), Decided::Route(1));
    assert_eq!(decided(Some("192.0.2.1:25")), Decided::Route(1));
    assert_eq!(decided(Some("10.1.1.1:80")), Decided::NoMatch);
    assert_eq!(decided(None), Decided::NoMatch);
}

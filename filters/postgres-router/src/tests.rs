use spliceway_sdk::testing::{self, Routed, Scene, json};

use super::*;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const CANCEL_REQUEST: [u8; 16] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2];

#[test]
fn routes_by_database_and_user() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("user", "app"), ("database", "blue")], "blue"),
        (&[("user", "report_ro"), ("database", "blue")], "replica"),
        (&[("user", "blue")], "blue"),
        (&[("user", "blue"), ("database", "")], "blue"),
        (&[("database", "green"), ("user", "app"), ("database", "blue")], "blue"),
        (
            &[("user", "app"), ("database", "green"), ("options", "-c geqo=off")],
            "fallback",
        ),
    ];
    for (parameters, upstream) in cases {
        for scene in tenants().up(startup(parameters)).cuts() {
            let routed = scene.route::<PostgresRouter>();
            assert_eq!(routed.decision, Decision::route(upstream), "{parameters:?}");
            assert_eq!(routed.window, startup(parameters));
            assert_eq!(routed.replies, b"");
        }
    }
}

#[test]
fn leaves_the_names_to_the_access_log() {
    let routed = tenants()
        .up(startup(&[("user", "app"), ("database", "blue")]))
        .route::<PostgresRouter>();
    assert_eq!(routed.host.annotation("postgres.user"), Some(&"app".into()));
    assert_eq!(routed.host.annotation("postgres.database"), Some(&"blue".into()));
}

#[test]
fn declines_encryption_of_each_kind_once() {
    let message = startup(&[("user", "app"), ("database", "blue")]);
    for scene in tenants().up(SSL_REQUEST).up(GSSENC_REQUEST).up(&message).cuts() {
        let routed = scene.route::<PostgresRouter>();
        assert_eq!(routed.decision, Decision::route("blue"));
        assert_eq!(routed.replies, b"NN");
        assert_eq!(routed.window, message);
    }
    let again = tenants()
        .up(GSSENC_REQUEST)
        .up(SSL_REQUEST)
        .up(SSL_REQUEST)
        .route::<PostgresRouter>();
    assert_eq!(reason(&again), "more requests for encryption than there are kinds");
}

#[test]
fn accepts_tls_where_the_listener_has_certificates() {
    let message = startup(&[("user", "app"), ("database", "blue")]);
    for scene in tenants()
        .offer_tls()
        .up(GSSENC_REQUEST)
        .up(SSL_REQUEST)
        .up(&message)
        .cuts()
    {
        let routed = scene.route::<PostgresRouter>();
        assert_eq!(routed.decision, Decision::route("blue"));
        assert_eq!(routed.replies, b"NS");
        assert!(routed.tls);
        assert_eq!(routed.window, message);
    }
    let stuffed = [&SSL_REQUEST[..], b"\x16"].concat();
    let routed = tenants().offer_tls().up(stuffed).route::<PostgresRouter>();
    assert_eq!(reason(&routed), "bytes behind a request for encryption");
    let inside = tenants()
        .offer_tls()
        .up(SSL_REQUEST)
        .up(SSL_REQUEST)
        .route::<PostgresRouter>();
    assert_eq!(inside.replies, b"SN");
}

#[test]
fn refuses_bytes_stuffed_behind_a_request_for_encryption() {
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let stuffed = [&request[..], &startup(&[("user", "app")])].concat();
        let routed = tenants().up(stuffed).route::<PostgresRouter>();
        assert_eq!(reason(&routed), "bytes behind a request for encryption");
        assert_eq!(routed.replies, b"");
    }
}

#[test]
fn turns_an_unknown_database_away_in_the_clients_own_protocol() {
    let scene = Scene::new().config(json!({"routes": [{"database": "blue", "upstream": "blue"}]}));
    let message = startup(&[("user", "app"), ("database", "red")]);
    for before in [&b""[..], &SSL_REQUEST] {
        // What is pipelined behind the message changes nothing.
        for behind in [&b""[..], b"Q\0\0\0\x05\0", b"\0\0\0\0"] {
            let scene = if before.is_empty() {
                scene.clone()
            } else {
                scene.clone().up(before)
            };
            for scene in scene.up([&message, behind].concat()).cuts() {
                let routed = scene.route::<PostgresRouter>();
                assert_eq!(reason(&routed), "no upstream for database \"red\", user \"app\"");
                let error = &routed.replies[usize::from(!before.is_empty())..];
                assert_eq!(&error[..1], b"E");
                assert_eq!(error[1..5], (error.len() as u32 - 1).to_be_bytes());
                assert_eq!(
                    &error[5..],
                    b"SFATAL\0VFATAL\0C3D000\0Mno upstream for database \"red\", user \"app\"\0\0"
                );
            }
        }
    }
}

#[test]
fn cancel_requests_go_to_the_default() {
    for scene in tenants().up(CANCEL_REQUEST).cuts() {
        assert_eq!(scene.route::<PostgresRouter>().decision, Decision::route("fallback"));
    }
    let routes = json!({"routes": [{"database": "blue", "upstream": "blue"}]});
    let routed = Scene::new().config(routes).up(CANCEL_REQUEST).route::<PostgresRouter>();
    assert_eq!(reason(&routed), "a cancel request, and no default upstream");
}

#[test]
fn refuses_what_is_not_a_startup_message() {
    let no_end = b"\0\0\0\x12\0\x03\0\0user\0app\0\x01".to_vec();
    let cases: [(&[u8], &str); 12] = [
        (b"\x16\x03\x01", "TLS without a request for it"),
        (b"GET / HTTP/1.1\r\n", "not PostgreSQL"),
        (b"\0\0\0\x07", "a startup message of an impossible length"),
        (b"\0\0\x27\x15", "a startup message of an impossible length"),
        (b"\0\0\0\x09\0\x02\0\0", "a protocol version that is not 3"),
        (
            b"\0\0\0\x09\x04\xd2\x16\x2f",
            "a request for encryption of an impossible length",
        ),
        (
            b"\0\0\0\x08\x04\xd2\x16\x2e",
            "a cancel request of an impossible length",
        ),
        (b"\0\0\0\x08\0\x03\0\0", "a startup message without its end"),
        (b"\0\0\0\x09\0\x03\0\0\0", "a startup message without a user"),
        (b"\0\0\0\x0d\0\x03\0\0user\0", "a startup parameter without a value"),
        (
            b"\0\0\0\x14\0\x03\0\0user\0app\0\0\0\0",
            "bytes behind the parameters of a startup message",
        ),
        (&no_end, "a startup message without its end"),
    ];
    for (bytes, expected) in cases {
        for scene in tenants().up(bytes).finish(Direction::Up).cuts() {
            assert_eq!(reason(&scene.route::<PostgresRouter>()), expected, "{bytes:?}");
        }
    }
}

#[test]
fn says_why_no_more_can_come() {
    let partial = &startup(&[("user", "app")])[..12];
    let finished = tenants().up(partial).finish(Direction::Up).route::<PostgresRouter>();
    assert_eq!(reason(&finished), "the client finished before its startup message");
    let timed_out = tenants().up(partial).time_out().route::<PostgresRouter>();
    assert_eq!(reason(&timed_out), "no startup message in time");
    let full = tenants().up(partial).fill().route::<PostgresRouter>();
    assert_eq!(reason(&full), "the startup message is longer than the proxy holds");
}

#[test]
fn waits_for_the_longest_message_and_no_longer_one() {
    let name = "x".repeat(10_004 - 8 - "user\0app\0database\0\0\0".len());
    let longest = startup(&[("user", "app"), ("database", &name)]);
    assert_eq!(longest.len(), 10_004);
    assert_eq!(
        tenants().up(&longest[..8]).route::<PostgresRouter>().decision,
        Decision::Need(9996)
    );
    assert_eq!(
        tenants().up(&longest).route::<PostgresRouter>().decision,
        Decision::route("fallback")
    );
}

#[test]
fn one_wrong_byte_is_a_decision_and_never_a_panic() {
    let message = startup(&[("user", "app"), ("database", "blue")]);
    for place in 0..message.len() {
        for byte in [0, 1, 0x16, b'*', 0x7f, 0xff] {
            let mut hostile = message.clone();
            hostile[place] = byte;
            let routed = tenants().up(hostile).finish(Direction::Up).route::<PostgresRouter>();
            assert!(
                matches!(routed.decision, Decision::Route(_) | Decision::Refuse(_)),
                "{:?}",
                routed.decision
            );
        }
    }
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<PostgresRouter>(&json).unwrap_err();
    assert!(error(json!({"routes": [{"databse": "x"}]})).starts_with("routes[0].databse: unknown field"));
    let star = error(json!({"routes": [{"database": "a*b", "upstream": "x"}]}));
    assert_eq!(
        star,
        "routes[0].database: a * can only be the first or the last of \"a*b\""
    );
    let any = error(json!({"routes": [{"upstream": "x"}]}));
    assert_eq!(
        any,
        "routes[0]: names neither a database nor a user; is it the default?"
    );
    assert_eq!(
        error(json!(null)),
        "neither a route nor a default: every session would be refused"
    );
}

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts")
        .router::<PostgresRouter>()
        .play();
}

#[test]
fn schema() {
    testing::assert_schema::<PostgresRouter>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn tenants() -> Scene {
    Scene::new().config(json!({
        "routes": [
            {"user": "*_ro", "upstream": "replica"},
            {"database": "blue*", "upstream": "blue"},
        ],
        "default": "fallback",
    }))
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    [(body.len() as u32 + 4).to_be_bytes().as_slice(), &body].concat()
}

#[track_caller]
fn reason(routed: &Routed) -> &str {
    match &routed.decision {
        Decision::Refuse(refusal) => &refusal.reason,
        decision => panic!("{decision:?}"),
    }
}

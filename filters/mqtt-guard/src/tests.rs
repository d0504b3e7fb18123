use spliceway_sdk::testing::{self, Inspected, Scene, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").inspector::<Session>().play();
}

#[test]
fn a_rule_allows_what_is_within_it() {
    let client = |id: &str, user: Option<&str>| Client {
        version: Version::V5,
        id: id.to_owned(),
        user: user.map(str::to_owned),
    };
    let allows = |rule: &str, asked: &str| {
        let rule = Rule::try_from(rule.to_owned()).unwrap();
        Filter::read(asked).is_some_and(|filter| rule.allows_filter(&filter, &client("s7", Some("bob"))))
    };
    for (rule, asked) in [
        ("a/b", "a/b"),
        ("a/+", "a/b"),
        ("a/+", "a/+"),
        ("a/+", "a/"),
        ("a/#", "a/b/c"),
        ("a/#", "a/+/#"),
        ("a/#", "a"),
        ("#", "a/#"),
        ("+/x", "+/x"),
        ("/a", "/a"),
        ("s/%c/#", "s/s7/t"),
        ("u/%u", "u/bob"),
        ("$SYS/#", "$SYS/broker"),
        ("a/#", "$share/group/a/b"),
    ] {
        assert!(allows(rule, asked), "{rule} {asked}");
    }
    for (rule, asked) in [
        ("a/b", "a/+"),
        ("a/b", "a/c"),
        ("a/b", "a"),
        ("a/b", "a/b/c"),
        ("a/+", "a/#"),
        ("a/+", "a"),
        ("a/+/c", "a/#"),
        ("a/#", "b/#"),
        ("a/#", "+/b"),
        ("a/#", "#"),
        ("s/%c/#", "s/+/t"),
        ("s/%c/#", "s/s8/t"),
        ("u/%u", "u/s7"),
        ("#", "$SYS/broker"),
        ("+/broker", "$SYS/broker"),
        ("a/#", "$share/group/b"),
        ("#", "$share//a"),
        ("#", "$share/a"),
        ("#", "a+/b"),
        ("#", "#/b"),
        ("#", ""),
    ] {
        assert!(!allows(rule, asked), "{rule} {asked}");
    }
    let rule = Rule::try_from("s/%c".to_owned()).unwrap();
    for id in ["+", "#", "a/b", ""] {
        assert!(!rule.allows_topic(&format!("s/{id}"), &client(id, None)), "{id}");
    }
}

#[test]
fn one_wrong_byte_is_a_verdict_and_lets_nothing_through_that_is_refused() {
    let session = [&connect(4, "s7")[..], &publish("s/s7/t", b"21.5"), &subscribe("c/s7/#")].concat();
    for place in 0..session.len() {
        for byte in [0, 1, 2, 0x10, 0x30, 0x7f, 0x80, b'#', b'/', b'+', 0xff] {
            let mut hostile = session.clone();
            hostile[place] = byte;
            let whole = guard().up(&hostile).finish(Direction::Up).inspect::<Session>();
            for cut in [1, place, session.len() - 1] {
                let (first, second) = hostile.split_at(cut.max(1));
                let cut = guard().up(first).up(second).finish(Direction::Up).inspect::<Session>();
                assert_eq!(reason(&cut), reason(&whole), "{place} {byte}");
            }
        }
    }
}

#[test]
fn payloads_go_by_unseen() {
    let large = publish("s/s7/t", &vec![b'x'; 1 << 20]);
    let run = guard()
        .up(connect(4, "s7"))
        .up(&large)
        .up(publish("other", b""))
        .inspect::<Session>();
    assert_eq!(reason(&run), Some("\"s7\" may not publish to \"other\""));
    assert_eq!(run.up.forwarded, [&connect(4, "s7")[..], &large].concat());
    assert!(run.up.shown < 20_000, "{}", run.up.shown);
}

#[test]
fn little_is_kept_of_what_is_long() {
    let mut packets = Packets::default();
    let mut read = |bytes: &[u8]| {
        let mut rest = bytes;
        let mut result = Ok(());
        while let Some(next) = packets.next(&mut rest).transpose() {
            if let Err(reason) = next {
                result = Err(reason);
                break;
            }
        }
        (result, packets.kept())
    };
    assert_eq!(read(&connect(4, "s7")), (Ok(()), 0));
    assert_eq!(read(&publish("s/s7/t", &[b'x'; 100_000])), (Ok(()), 0));
    assert_eq!(read(&publish(&"t".repeat(1024), b"x")).0, Ok(()));
    assert_eq!(
        read(&publish(&"t".repeat(1025), b"x")).0,
        Err("a topic that is too long")
    );
}

#[test]
fn refuses_what_is_not_mqtt() {
    let after = |bytes: &[u8]| [&connect(4, "s7")[..], bytes].concat();
    let mut short = connect(5, "s7");
    short.pop();
    short[1] -= 1;
    let mut long = connect(4, "s7");
    long.push(0);
    long[1] += 1;
    let cases: [(Vec<u8>, &str); 17] = [
        (b"GET / HTTP/1.1".to_vec(), "not MQTT: a client begins with CONNECT"),
        (b"\x16\x03\x01".to_vec(), "not MQTT"),
        (b"\x30\x05\0\x01a".to_vec(), "not MQTT: a client begins with CONNECT"),
        (b"\x10\x06\0\x04HTTP".to_vec(), "not MQTT"),
        (connect(3, "s7"), "a version of MQTT that is neither"),
        (connect(6, "s7"), "a version of MQTT that is neither"),
        (short, "a malformed CONNECT"),
        (long, "a malformed CONNECT"),
        (b"\x10\x80\x00".to_vec(), "a packet of an impossible length"),
        (b"\x10\xff\xff\xff\xff".to_vec(), "a packet of an impossible length"),
        (
            b"\x10\xff\xff\x7f".to_vec(),
            "a CONNECT or a SUBSCRIBE that is too long",
        ),
        (after(&connect(4, "s7")), "a second CONNECT"),
        (after(b"\x20\x02\0\0"), "a packet that no client sends"),
        (after(b"\xf0\x00"), "a packet that no client sends"),
        (after(b"\x36\x03\0\x01a"), "a packet that no client sends"),
        (after(b"\x30\x03\0\x05a"), "a malformed PUBLISH"),
        (after(b"\x30\x03\0\x01#"), "a topic that is none"),
    ];
    for (bytes, expected) in cases {
        for scene in guard().up(&bytes).cuts() {
            let run = scene.inspect::<Session>();
            assert!(
                reason(&run).is_some_and(|reason| reason.starts_with(expected)),
                "{expected}: {:?}",
                reason(&run)
            );
        }
    }
}

#[test]
fn who_may_do_everything_is_not_watched() {
    let scene = Scene::new()
        .config(json!({"client-ids": ["s*"]}))
        .up(connect(4, "s7"))
        .up(publish("any", b"x"));
    let run = scene.inspect::<Session>();
    assert!(run.up.detached && reason(&run).is_none());
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<MqttGuard>(&json).unwrap_err();
    assert!(error(json!({})).starts_with("none of client-ids, publish and subscribe"));
    for rule in ["", "a#", "#/a", "a/b+"] {
        assert!(error(json!({"publish": [rule]})).starts_with("publish[0]: "), "{rule}");
    }
    assert_eq!(
        error(json!({"subscribe": ["a", "x-%c"]})),
        "subscribe[1]: \"x-%c\": %c and %u are whole levels"
    );
    assert!(error(json!({"client-ids": ["a*b"]})).starts_with("client-ids[0]: a * can only be"));
}

#[test]
fn schema() {
    testing::assert_schema::<MqttGuard>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn guard() -> Scene {
    Scene::new().config(json!({"client-ids": ["s*"], "publish": ["s/%c/#"], "subscribe": ["c/%c/#"]}))
}

fn reason(run: &Inspected) -> Option<&str> {
    run.refusal.as_ref().map(|refusal| refusal.reason.as_str())
}

fn connect(version: u8, id: &str) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { b"\0" } else { b"" };
    packet(
        0x10,
        &[&b"\0\x04MQTT"[..], &[version, 2, 0, 60], properties, &text(id)].concat(),
    )
}

fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&text(topic), payload].concat())
}

fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&b"\0\x01"[..], &text(filter), b"\0"].concat())
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        packet.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

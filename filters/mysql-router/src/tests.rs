use spliceway_sdk::testing::{self, Scene, json};

use super::*;
use greeting::{Greeting, flag};

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts")
        .router::<MysqlRouter>()
        .transformer::<Session>()
        .play();
}

#[test]
fn routes_by_database_and_user() {
    let upstream = |user: &str, database: &str| {
        let scene = tenants().up(answer(1, user, database));
        match scene.route::<MysqlRouter>().decision {
            Decision::Route(choice) => choice.upstream,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(upstream("app", "blue_1"), "blue");
    assert_eq!(upstream("report_ro", "blue"), "replica");
    assert_eq!(upstream("app", ""), "fallback");
    assert_eq!(upstream("app", "Blue"), "fallback");
}

#[test]
fn greets_with_another_challenge_each_time() {
    let first = tenants().route::<MysqlRouter>();
    let greeting = &first.replies;
    assert_eq!(&greeting[..5], [greeting.len() as u8 - 4, 0, 0, 0, 10]);
    assert!(greeting.ends_with(b"\0mysql_native_password\0"));
    let Some(Greeting::Capabilities(capabilities)) = greeting::read(&greeting[4..]) else {
        panic!()
    };
    assert_eq!(capabilities, greeting::OFFERED);
    let second = Scene::new()
        .config(json!({"default": "x", "tls": true}))
        .host(first.host)
        .route::<MysqlRouter>()
        .replies;
    assert_ne!(greeting[16..24], second[16..24]);
    let Some(Greeting::Capabilities(capabilities)) = greeting::read(&second[4..]) else {
        panic!()
    };
    assert_eq!(capabilities, greeting::OFFERED | flag::SSL);
}

#[test]
fn a_server_is_sent_what_was_read_and_nothing_else() {
    let sent = session(&answer(1, "app", "blue"), &server(u32::MAX), &[]);
    let Ok(packet::Read::Whole(packet)) = packet::read(&sent.0) else {
        panic!()
    };
    assert_eq!(packet.sequence, 1);
    assert!(
        packet.payload[32..].starts_with(b"app\0\0blue\0spliceway_ask_again\0"),
        "{}",
        packet.payload.escape_ascii()
    );
    let mut longer = answer(1, "app", "blue");
    longer.extend(b"junk");
    longer[0] += 4;
    assert_eq!(session(&longer, &server(u32::MAX), &[]), sent);
}

#[test]
fn without_tls_the_authentication_goes_by_unseen() {
    let run = tenants()
        .up(answer(1, "app", ""))
        .down(server(u32::MAX))
        .down(b"\x01\0\0\x02\xfe")
        .up(b"\x01\0\0\x03x")
        .transform::<Session>();
    assert_eq!(run.to_client, b"\x01\0\0\x02\xfe");
    assert!(run.to_upstream.ends_with(b"\x01\0\0\x03x"));
}

#[test]
fn behind_tls_packets_are_renumbered_until_both_agree() {
    let server_says = [
        &b"\x03\0\0\x02\xfeab"[..], // ask for another method
        b"\x02\0\0\x04\x01\x04",    // more
        b"\0\0\0\x06",              // nothing
        b"\x02\0\0\x07\0\0",        // OK
        b"\x01\0\0\x01\x05",        // a result
    ];
    let client_says = [
        &b"\x02\0\0\x04xy"[..],
        b"\0\0\0\x06",
        b"\x01\0\0\0\x03",
        b"\x01\0\0\x07z",
    ];
    let mut scene = tenants().up(answer(2, "app", "")).down(server(u32::MAX));
    for (index, said) in server_says.into_iter().enumerate() {
        scene = scene.down(said);
        scene = client_says
            .get(index)
            .into_iter()
            .fold(scene, |scene, bytes| scene.up(bytes));
    }
    for scene in scene.cuts() {
        let run = scene.transform::<Session>();
        assert_eq!(run.refusal, None);
        assert_eq!(
            run.to_client,
            [
                &b"\x03\0\0\x03\xfeab"[..],
                b"\x02\0\0\x05\x01\x04",
                b"\0\0\0\x07",
                b"\x02\0\0\x08\0\0",
                b"\x01\0\0\x01\x05"
            ]
            .concat()
        );
        assert!(
            run.to_upstream
                .ends_with(b"\x02\0\0\x03xy\0\0\0\x05\x01\0\0\0\x03\x01\0\0\x07z"),
            "{}",
            run.to_upstream.escape_ascii()
        );
    }
}

#[test]
fn a_server_that_cannot_do_what_was_promised_is_refused() {
    let refused = |capabilities: u32| {
        let scene = tenants().up(answer(1, "app", "")).down(server(capabilities));
        scene.transform::<Session>().refusal.map(|refusal| refusal.reason)
    };
    assert_eq!(refused(greeting::OFFERED), None);
    assert_eq!(refused(greeting::OFFERED & !greeting::MYSQL), None, "MariaDB");
    assert_eq!(
        refused(greeting::OFFERED & !flag::CONNECT_ATTRS & !0x80),
        None,
        "no attributes, no local files"
    );
    let missing = refused(greeting::OFFERED & !flag::PLUGIN_AUTH);
    assert_eq!(
        missing.as_deref(),
        Some("the server cannot do what its clients are promised: capabilities 0x80000")
    );
}

#[test]
fn one_wrong_byte_is_a_decision_and_never_a_panic() {
    let answer = answer(1, "app", "blue");
    let greeting = server(greeting::OFFERED);
    for byte in [0, 1, 0x7f, 0xfb, 0xfc, 0xfd, 0xfe, 0xff] {
        for place in 0..answer.len() {
            let mut hostile = answer.clone();
            hostile[place] = byte;
            let routed = tenants().up(&hostile).finish(Direction::Up).route::<MysqlRouter>();
            assert!(
                matches!(routed.decision, Decision::Route(_) | Decision::Refuse(_)),
                "{:?}",
                routed.decision
            );
            tenants()
                .up(&hostile)
                .down(&greeting)
                .finish(Direction::Up)
                .transform::<Session>();
        }
        for place in 0..greeting.len() {
            let mut hostile = greeting.clone();
            hostile[place] = byte;
            let scene = tenants().up(&answer).down(&hostile).finish(Direction::Down);
            scene.transform::<Session>();
        }
    }
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<MysqlRouter>(&json).unwrap_err();
    assert_eq!(
        error(json!({})),
        "neither a route nor a default: every session would be refused"
    );
    assert_eq!(
        error(json!({"routes": [{"upstream": "x"}]})),
        "routes[0]: names neither a database nor a user; is it the default?"
    );
    for version in ["", "8 0", "8\0", &"8".repeat(65)] {
        assert!(error(json!({"default": "x", "server-version": version})).starts_with("server-version: "));
    }
}

#[test]
fn schema() {
    testing::assert_schema::<MysqlRouter>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn tenants() -> Scene {
    Scene::new().config(json!({
        "routes": [{"user": "*_ro", "upstream": "replica"}, {"database": "blue*", "upstream": "blue"}],
        "default": "fallback",
    }))
}

/// What both sides get, however it is cut.
fn session(answer: &[u8], greeting: &[u8], more: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let scene = tenants().up(answer).down(greeting).down(more);
    let whole = scene.transform::<Session>();
    for scene in scene.cuts() {
        let run = scene.transform::<Session>();
        assert_eq!(
            (&run.to_upstream, &run.to_client),
            (&whole.to_upstream, &whole.to_client)
        );
    }
    (whole.to_upstream, whole.to_client)
}

/// As the clients of MySQL answer: with a scramble of 20 bytes, and attributes.
fn answer(sequence: u8, user: &str, database: &str) -> Vec<u8> {
    let with_database = if database.is_empty() { 0 } else { flag::CONNECT_WITH_DB };
    let capabilities = greeting::OFFERED & !flag::CONNECT_WITH_DB | with_database;
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend([0; 28]);
    payload.extend([user.as_bytes(), b"\0\x14", &[7; 20]].concat());
    if !database.is_empty() {
        payload.extend([database.as_bytes(), b"\0"].concat());
    }
    payload.extend(b"mysql_native_password\0\x05\x01a\x02bc");
    packet::write(sequence, &payload)
}

fn server(capabilities: u32) -> Vec<u8> {
    let [low0, low1, high0, high1] = capabilities.to_le_bytes();
    let payload = [
        &b"\x0a8.0.36\0\x07\0\0\0abcdefgh\0"[..],
        &[low0, low1, 45, 2, 0, high0, high1, 21],
        &[0; 10],
        b"ijklmnopqrst\0mysql_native_password\0",
    ];
    packet::write(0, &payload.concat())
}

use spliceway_sdk::testing::{self, Scene, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").router::<SniTenant>().play();
}

#[test]
fn a_star_is_one_label_and_never_none() {
    let upstream = |name: &str| {
        let scene = Scene::new().config(json!({"names": {"*.example": "tenant-*"}}));
        let scene = scene
            .upstream("tenant-a", 1, 1)
            .upstream("tenant-", 1, 1)
            .upstream("tenant-b.a", 1, 1);
        match scene.attribute("tls.sni", name).route::<SniTenant>().decision {
            Decision::Route(choice) => Some(choice.upstream),
            _ => None,
        }
    };
    assert_eq!(upstream("a.example").as_deref(), Some("tenant-a"));
    for other in [
        "example",
        "b.a.example",
        ".example",
        "a.example.",
        "*.example",
        "a.examples",
        "",
        ".",
    ] {
        assert_eq!(upstream(other), None, "{other}");
    }
}

#[test]
fn whatever_a_client_sends_first_is_waited_for_or_refused() {
    let scene = || Scene::new().config(json!({"names": {"a.example": "a"}}));
    for byte in 0..=u8::MAX {
        let decision = scene().up([byte]).route::<SniTenant>().decision;
        match byte {
            HANDSHAKE => assert_eq!(decision, Decision::Need(1)),
            _ => assert_eq!(decision, Decision::refuse("not TLS")),
        }
    }
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<SniTenant>(&json).unwrap_err();
    assert_eq!(
        error(json!({"names": {}})),
        "names: there is none; every client would be refused"
    );
    for name in ["", "*", "a..b", "a.*", "*.*.b", "a b", "a.example.", "ä.example"] {
        assert!(
            error(json!({"names": {name: "x"}})).contains("is neither a name"),
            "{name}"
        );
    }
    assert_eq!(
        error(json!({"names": {"a.example": "t-*"}})),
        "names.a.example: the upstream has a *, and the name has none to put there"
    );
    assert!(error(json!({"names": {"*.example": "*-*"}})).ends_with("\"*-*\" has more than one *"));
    assert!(error(json!({"names": {"a.example": ""}})).ends_with("an upstream without a name"));
}

#[test]
fn schema() {
    testing::assert_schema::<SniTenant>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

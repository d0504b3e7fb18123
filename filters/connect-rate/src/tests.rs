use std::time::Duration;

use spliceway_sdk::testing::{self, Host, Json, Routed, Scene, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").router::<ConnectRate>().play();
}

/// Connections that come one after the other: from where, and how many milliseconds pass before the next.
fn decisions(config: Json, clients: &[(&str, u64)]) -> Vec<bool> {
    let mut host = Host::default();
    let decide = |(client, wait): &(&str, u64)| {
        let scene = Scene::new().config(config.clone()).host(std::mem::take(&mut host));
        let routed = scene
            .client(client)
            .wait(Duration::from_millis(*wait))
            .route::<ConnectRate>();
        host = routed.host;
        routed.decision == Decision::Pass
    };
    clients.iter().map(decide).collect()
}

#[test]
fn a_client_has_its_burst_and_then_its_rate() {
    let config = json!({"limits": [{"by": "client", "per-second": 0.5, "burst": 2}]});
    let (one, other) = ("192.0.2.1:1", "192.0.2.2:1");
    let came = [(one, 0), (one, 0), (one, 0), (other, 1999), (one, 1), (one, 0)];
    assert_eq!(decisions(config, &came), [true, true, false, true, false, true]);
}

#[test]
fn a_client_cannot_have_more_with_more_addresses_of_its_network() {
    let config = |by: Json| json!({"limits": [{"by": by, "per-second": 0.001, "burst": 1}]});
    let v6 = [
        ("[2001:db8::1]:1", 0),
        ("[2001:db8::2]:1", 0),
        ("[2001:db8:0:1::1]:1", 0),
    ];
    assert_eq!(decisions(config(json!("client")), &v6), [true, false, true]);
    let v4 = [
        ("192.0.2.1:1", 0),
        ("192.0.2.255:1", 0),
        ("[::ffff:192.0.2.9]:1", 0),
        ("192.0.3.0:1", 0),
    ];
    assert_eq!(
        decisions(config(json!({"network": {"v4": 24, "v6": 48}})), &v4),
        [true, false, false, true]
    );
    assert_eq!(decisions(config(json!("all")), &v4), [true, false, false, false]);
}

#[test]
fn limits_have_buckets_of_their_own() {
    let config = json!({"limits": [
        {"by": "client", "per-second": 0.001, "burst": 2},
        {"by": "all", "per-second": 0.001, "burst": 3},
    ]});
    let came = [
        ("192.0.2.1:1", 0),
        ("192.0.2.1:1", 0),
        ("192.0.2.1:1", 0),
        ("192.0.2.2:1", 0),
        ("192.0.2.3:1", 0),
    ];
    assert_eq!(decisions(config, &came), [true, true, false, true, false]);
}

#[test]
fn a_refused_connection_says_by_what() {
    let refused = |config: Json| {
        let scene = Scene::new()
            .config(config)
            .attribute("tls.sni", "x".repeat(300))
            .attribute("tls.ech", false);
        let first = scene.route::<ConnectRate>();
        scene
            .host(first.host)
            .attribute("tls.sni", "x".repeat(300))
            .attribute("tls.ech", false)
            .route::<ConnectRate>()
    };
    let limit = json!([{"by": {"attribute": "tls.sni"}, "per-second": 1, "burst": 1}]);
    let routed: Routed = refused(json!({"limits": limit}));
    let Decision::Refuse(refusal) = routed.decision else {
        panic!()
    };
    assert_eq!(
        refusal,
        Refusal::reset(format!("too many connections of tls.sni {}", "x".repeat(192)))
    );
    assert_eq!(routed.host.metric("connect_rate_refused_total"), Some(1.0));
    let routed = refused(json!({"limits": limit, "reply": "-ERR busy\r\n"}));
    let Decision::Refuse(refusal) = routed.decision else {
        panic!()
    };
    assert_eq!(refusal.reply, b"-ERR busy\r\n");
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<ConnectRate>(&json).unwrap_err();
    let limit = |by: Json| json!({"limits": [{"by": by, "per-second": 1, "burst": 1}]});
    assert_eq!(error(json!({"limits": []})), "limits: there is none");
    assert_eq!(
        error(json!({"limits": [{"by": "client", "per-second": 0, "burst": 1}]})),
        "limits[0].per-second: 0 is not more than 0"
    );
    assert_eq!(
        error(json!({"limits": [{"by": "client", "per-second": 1, "burst": 0}]})),
        "limits[0].burst: nobody would ever connect"
    );
    assert_eq!(
        error(limit(json!({"network": {"v4": 33, "v6": 64}}))),
        "limits[0].by: v4: an address has 32 bits"
    );
    assert_eq!(
        error(limit(json!({"attribute": ""}))),
        "limits[0].by: attribute: it has no name"
    );
    assert!(error(limit(json!("sni"))).contains("unknown variant `sni`"));
    let exempt = json!({"limits": [{"by": "client", "per-second": 1, "burst": 1}], "exempt": ["10.0.0.1/8"]});
    assert!(error(exempt).starts_with("exempt[0]: \"10.0.0.1/8\" has bits behind its prefix"));
}

#[test]
fn schema() {
    testing::assert_schema::<ConnectRate>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

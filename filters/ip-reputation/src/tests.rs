use std::fmt::Write;
use std::time::Instant;

use spliceway_sdk::testing::{self, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").router::<IpReputation>().play();
}

#[test]
fn a_list_contains_what_its_networks_contain() {
    let list = list("10.0.0.0/8\n10.1.0.0/16\n192.0.2.1\n192.0.2.0\n2001:db8::/32\n::1\n0.0.0.0\n255.255.255.255\n");
    let contains = |address: &str| list.contains(address.parse().unwrap());
    for inside in [
        "10.0.0.0",
        "10.1.2.3",
        "10.255.255.255",
        "192.0.2.0",
        "192.0.2.1",
        "::ffff:10.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "::1",
    ] {
        assert!(contains(inside), "{inside}");
    }
    for outside in [
        "9.255.255.255",
        "11.0.0.0",
        "192.0.2.2",
        "0.0.0.1",
        "255.255.255.254",
        "2001:db7::",
        "2001:db9::",
        "::",
        "::2",
    ] {
        assert!(!contains(outside), "{outside}");
    }
    assert!(!List::default().contains("10.0.0.1".parse().unwrap()));
}

#[test]
fn networks_within_others_take_no_room() {
    assert_eq!(
        list("10.0.0.0/8\n10.1.0.0/16\n10.1.2.3\n10.0.0.0/8\n::/0\n::1").ranges(),
        2
    );
    assert_eq!(list("0.0.0.0/0\n255.255.255.255\n10.0.0.0/8").ranges(), 1);
}

/// Slowly, and in the simplest way.
#[test]
fn a_list_agrees_with_its_networks() {
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32
    };
    let networks: Vec<spliceway_sdk::Network> = (0..200)
        .map(|_| spliceway_sdk::Network::around(IpAddr::from((next() << 8).to_be_bytes()), 8 + (next() % 25) as u8))
        .collect();
    let text: String = networks.iter().map(|network| format!("{network}\n")).collect();
    let list = list(&text);
    for network in &networks {
        for near in [network.first(), network.last()] {
            let IpAddr::V4(near) = near else { unreachable!() };
            for step in [-1_i32, 0, 1] {
                let address = IpAddr::from(near.to_bits().wrapping_add_signed(step).to_be_bytes());
                let expected = networks.iter().any(|network| network.contains(address));
                assert_eq!(list.contains(address), expected, "{address}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_networks_are_read_at_once() {
    let mut text = String::new();
    for number in 0..100_000_u32 {
        let [a, b, c, _] = (number << 9).to_be_bytes();
        writeln!(text, "{a}.{b}.{c}.0/24 ; SBL{number}").unwrap();
    }
    let began = Instant::now();
    let config: IpReputation = testing::config(&json!({"deny": {"big": text}})).unwrap();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(config.deny["big"].ranges(), 100_000);
    assert_eq!(config.list_with([0, 2, 0, 7].into()), Some("big"));
    assert_eq!(config.list_with([0, 0, 1, 7].into()), None);
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<IpReputation>(&json).unwrap_err();
    assert_eq!(
        error(json!({"deny": {}})),
        "deny: there is no list, and none was built in"
    );
    assert_eq!(
        error(json!({"deny": {"own": "# mine\n\n10.0.0.0/33\n"}})),
        "deny.own: line 3: \"10.0.0.0/33\" has a longer prefix than an address has bits"
    );
    assert!(error(json!({"deny": {"own": ["::1", "x"]}})).contains("\"x\" is neither an address nor a network"));
    assert!(error(json!({"deny": {"own": 7}})).contains("expected a text with a network in each line"));
    assert!(error(json!({"deny": {"own": ""}, "alow": ""})).contains("unknown field `alow`"));
}

#[test]
fn schema() {
    testing::assert_schema::<IpReputation>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn list(text: &str) -> List {
    let config: IpReputation = testing::config(&json!({"deny": {"x": text}})).unwrap();
    config.deny.into_values().next().unwrap()
}

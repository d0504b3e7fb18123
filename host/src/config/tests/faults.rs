//! `faults` of a treatment, and `[toxiproxy]`.

use std::time::Duration;

use super::super::{Distribution, FaultConfig, FaultKind, WHOLE};
use super::{LEAST, accepted, refused};
use crate::flow::Direction;

fn listener(faults: &str) -> String {
    LEAST.replacen(
        "upstream = 'a'",
        &format!("upstream = 'a', treatment.faults = {faults}"),
        1,
    )
}

fn faults(typed: &str) -> Vec<FaultConfig> {
    accepted(&listener(typed)).listeners[0].treatment.faults.clone()
}

#[test]
fn every_kind_has_its_keys_and_its_defaults() {
    let ms = Duration::from_millis;
    let kinds = [
        (
            "{ kind = 'latency', latency = '100ms' }",
            FaultKind::Latency {
                latency: ms(100),
                jitter: ms(0),
                distribution: Distribution::Uniform,
            },
        ),
        (
            "{ kind = 'latency', latency = '1s', jitter = '20ms', distribution = 'normal' }",
            FaultKind::Latency {
                latency: ms(1000),
                jitter: ms(20),
                distribution: Distribution::Normal,
            },
        ),
        (
            "{ kind = 'bandwidth', rate = '0B/s' }",
            FaultKind::Bandwidth { rate: 0 },
        ),
        (
            "{ kind = 'slow-close', delay = '1s' }",
            FaultKind::SlowClose { delay: ms(1000) },
        ),
        ("{ kind = 'timeout' }", FaultKind::Timeout { timeout: None }),
        (
            "{ kind = 'timeout', timeout = '1s' }",
            FaultKind::Timeout {
                timeout: Some(ms(1000)),
            },
        ),
        (
            "{ kind = 'reset-peer' }",
            FaultKind::ResetPeer {
                timeout: ms(0),
                bytes: 0,
            },
        ),
        (
            "{ kind = 'reset-peer', timeout = '1s', bytes = '1KiB' }",
            FaultKind::ResetPeer {
                timeout: ms(1000),
                bytes: 1024,
            },
        ),
        (
            "{ kind = 'slicer', average-size = 10, size-variation = 9, delay = '1ms' }",
            FaultKind::Slicer {
                average: 10,
                variation: 9,
                delay: ms(1),
            },
        ),
        ("{ kind = 'limit-data', bytes = 5 }", FaultKind::LimitData { bytes: 5 }),
        ("{ kind = 'corrupt', one-in = 9 }", FaultKind::Corrupt { one_in: 9 }),
        ("{ kind = 'refuse' }", FaultKind::Refuse { reset: true }),
        ("{ kind = 'refuse', with = 'fin' }", FaultKind::Refuse { reset: false }),
        ("{ kind = 'down' }", FaultKind::Down),
    ];
    for (typed, kind) in kinds {
        assert_eq!(faults(typed), [FaultConfig::new(kind, Direction::Down)], "{typed}");
    }
}

#[test]
fn whom_it_hits_is_the_same_for_all_kinds() {
    let typed =
        "[{ kind = 'down', direction = 'both', share = '10%', seed = 7 }, { kind = 'timeout', direction = 'up' }]";
    let [down, timeout] = faults(typed).try_into().unwrap();
    assert_eq!((down.direction, down.share, down.seed), (None, WHOLE / 10, Some(7)));
    assert_eq!((timeout.direction, timeout.share), (Some(Direction::Up), WHOLE));
}

#[test]
fn all_that_is_wrong_with_a_fault_is_said_at_once() {
    let said = refused(&listener(
        "{ kind = 'latency', rate = '1KiB/s', bytes = 1, share = '101%', seed = -1 }",
    ));
    for what in [
        "a fault of the kind `latency` has no `rate`",
        "a fault of the kind `latency` has no `bytes`",
        "this kind has `latency`, `jitter`, `distribution`",
        "missing key `latency`",
        "101% is out of range",
        "-1 is out of range",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    for (typed, what) in [
        ("{ kind = 'latncy' }", "did you mean `latency`?"),
        ("{ kind = 'down', rate = '1KiB/s' }", "leave the key out"),
        (
            "{ kind = 'slicer', average-size = 5, size-variation = 5 }",
            "expected 0B to 4B",
        ),
        ("{ kind = 'slicer', average-size = 0 }", "0B is out of range"),
        ("{ kind = 'slow-close', delay = '2h' }", "2h is out of range"),
        ("{ kind = 'corrupt' }", "missing key `one-in`"),
        ("{ latency = '1s' }", "missing key `kind`"),
        ("[]", "nothing is asked for here"),
    ] {
        let said = refused(&listener(typed));
        assert!(said.contains(what), "{typed}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    }
}

#[test]
fn toxiproxys_api_is_at_an_address_of_this_machine_alone() {
    let at = |table: &str| {
        accepted(&format!("{LEAST}\n{table}"))
            .toxiproxy
            .map(|address| address.to_string())
    };
    assert_eq!(at(""), None);
    assert_eq!(at("[toxiproxy]").as_deref(), Some("127.0.0.1:8474"));
    assert_eq!(at("[toxiproxy]\nlisten = '[::1]:1'").as_deref(), Some("[::1]:1"));
    for everywhere in ["0.0.0.0:8474", ":8474", "10.0.0.1:8474", "example.com:8474"] {
        let said = refused(&format!("{LEAST}\n[toxiproxy]\nlisten = '{everywhere}'"));
        assert!(
            said.contains("could do faults to all connections") && said.contains("know no token"),
            "{said}"
        );
    }
}

#[test]
fn what_is_meant_is_shown_as_it_is_typed() {
    let typed = "{ kind = 'slicer', average-size = '1KiB', delay = '5ms', share = '10%' }";
    let shown = accepted(&listener(typed)).shown();
    let expected = serde_json::json!({
        "kind": "slicer",
        "direction": "down",
        "share": "10%",
        "average-size": "1KiB",
        "size-variation": "0B",
        "delay": "5ms",
    });
    assert_eq!(shown["listeners"][0]["treatment"]["faults"][0], expected);
}

//! `canary` and `quarantine` of a filter.

use super::super::{Canary, OnError, Quarantine, defaults};
use super::{LEAST, accepted, seconds, with_listener};

fn canary(typed: &str) -> Option<Canary> {
    let text = format!("{LEAST}\nfilters.f.source = 'f.wasm'\nfilters.f.canary = {typed}");
    accepted(&text).filters.remove(0).canary
}

fn quarantine(typed: &str) -> Option<Quarantine> {
    let text = format!("{LEAST}\nfilters.f.source = 'f.wasm'\nfilters.f.quarantine = {typed}");
    accepted(&text).filters.remove(0).quarantine
}

#[test]
fn the_keys_of_a_canary_may_be_left_out_one_by_one() {
    let share = |share| Canary {
        share,
        ..defaults::CANARY
    };
    for (typed, meant) in [
        ("'25%'", share(25)),
        ("{}", defaults::CANARY),
        ("{ share = '100%' }", share(100)),
        (
            "{ clients = ['10.0.0.0/8', '::1'], for = '1h', connections = 0, failures = 3, margin = '0%' }",
            Canary {
                clients: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                time: seconds(3600),
                connections: 0,
                failures: 3,
                margin: 0,
                ..defaults::CANARY
            },
        ),
    ] {
        assert_eq!(canary(typed), Some(meant), "{typed}");
    }
}

#[test]
fn the_keys_of_quarantine_may_be_left_out_one_by_one() {
    for (typed, meant) in [
        ("false", None),
        ("{}", Some(defaults::QUARANTINE)),
        (
            "{ failures = 1, within = '1s', retry-after = '1h' }",
            Some(Quarantine {
                failures: 1,
                within: seconds(1),
                retry_after: seconds(3600),
            }),
        ),
    ] {
        assert_eq!(quarantine(typed), meant, "{typed}");
    }
}

#[test]
fn what_nobody_typed() {
    let config = accepted(&format!(
        "{LEAST}\nfilters.f.source = 'f.wasm'\nfilters.f.on-error = 'previous'"
    ));
    let filter = &config.filters[0];
    assert_eq!((&filter.canary, filter.on_error), (&None, OnError::Previous));
    assert_eq!(filter.quarantine, Some(defaults::QUARANTINE));
}

#[test]
fn a_canary_without_clients_or_with_ones_that_cannot_be_told_apart() {
    with_listener(
        r#"
[filters.a]
source = "a.wasm"
canary = { clients = [] }
[filters.b]
source = "b.wasm"
canary = { clients = ["10.0.0.0/8", "unix"] }
"#,
        r#"
error: no client would try a new generation
 --> proxy.toml:3:22
  |
3 | canary = { clients = [] }
  |                      ^^ expected at least one network, as in ["10.0.0.0/8"]

error: who comes by a unix socket has no address to be chosen by
 --> proxy.toml:6:37
  |
6 | canary = { clients = ["10.0.0.0/8", "unix"] }
  |                                     ^^^^^^ expected a network, as in "10.0.0.0/8"
"#,
    );
}

#[test]
fn a_canary_with_both_clients_and_a_share() {
    with_listener(
        r#"
[filters.a]
source = "a.wasm"
canary = { share = "10%", clients = ["10.0.0.0/8"] }
"#,
        r#"
error: a canary gets either some clients or a share of all
 --> proxy.toml:3:37
  |
3 | canary = { share = "10%", clients = ["10.0.0.0/8"] }
  |                    -----            ^^^^^^^^^^^^^^ expected only one of `clients` and `share`
  |                    |
  |                    `share` is here
"#,
    );
}

#[test]
fn a_canary_that_is_out_of_range() {
    with_listener(
        r#"
[filters.a]
source = "a.wasm"
canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
"#,
        r#"
error: 0% is out of range
 --> proxy.toml:3:20
  |
3 | canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
  |                    ^^^^ expected 1% to 100%

error: 200h is out of range
 --> proxy.toml:3:32
  |
3 | canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
  |                                ^^^^^^ expected 0s to 168h

error: -1 is out of range
 --> proxy.toml:3:54
  |
3 | canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
  |                                                      ^^ expected 0 to 1000000000

error: 0 is out of range
 --> proxy.toml:3:69
  |
3 | canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
  |                                                                     ^ expected 1 to 1000

error: 101% is out of range
 --> proxy.toml:3:81
  |
3 | canary = { share = "0%", for = "200h", connections = -1, failures = 0, margin = "101%" }
  |                                                                                 ^^^^^^ expected 0% to 100%
"#,
    );
}

#[test]
fn a_canary_that_is_no_share_and_no_table() {
    with_listener(
        r#"
[filters.a]
source = "a.wasm"
canary = 10
[filters.b]
source = "b.wasm"
canary = true
"#,
        r#"
error: expected a percentage, as in "20%"
 --> proxy.toml:3:10
  |
3 | canary = 10
  |          ^^ write a percent sign, as in "10%"

error: expected a percentage, as in "10%", or a table, as in `{ clients = ["10.0.0.0/8"] }`
 --> proxy.toml:6:10
  |
6 | canary = true
  |          ^^^^ this is a boolean
"#,
    );
}

#[test]
fn a_quarantine_that_is_no_table_and_one_that_is_out_of_range() {
    with_listener(
        r#"
[filters.a]
source = "a.wasm"
quarantine = "off"
[filters.b]
source = "b.wasm"
quarantine = { failures = 0, within = "0", retry-after = "2h" }
"#,
        r#"
error: expected a table, as in `{ failures = 10, within = "1m" }`, or false
 --> proxy.toml:3:14
  |
3 | quarantine = "off"
  |              ^^^^^ this is a string

error: 0 is out of range
 --> proxy.toml:6:27
  |
6 | quarantine = { failures = 0, within = "0", retry-after = "2h" }
  |                           ^ expected 1 to 1000

error: 0s is out of range
 --> proxy.toml:6:39
  |
6 | quarantine = { failures = 0, within = "0", retry-after = "2h" }
  |                                       ^^^ expected 1ms to 24h

error: 2h is out of range
 --> proxy.toml:6:58
  |
6 | quarantine = { failures = 0, within = "0", retry-after = "2h" }
  |                                                          ^^^^ expected 1ms to 1h
"#,
    );
}

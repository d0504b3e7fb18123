//! `[limits]`, and `limits` of a listener.

use super::super::AtLimit;
use super::{LEAST, accepted, seconds, with_listener, with_upstream};

#[test]
fn there_are_four_ways_to_meet_one() {
    for (typed, meant) in [
        ("queue(5s)", AtLimit::Queue(seconds(5))),
        ("queue(1m 30s)", AtLimit::Queue(seconds(90))),
        ("queue(1h)", AtLimit::Queue(seconds(3_600))),
        ("delay", AtLimit::Delay),
        ("fin", AtLimit::Fin),
        ("rst", AtLimit::Rst),
    ] {
        let config = accepted(&format!("limits.at-limit = '{typed}'\n{LEAST}"));
        assert_eq!(config.limits.at_limit, meant);
        assert_eq!(meant.to_string(), typed);
    }
}

#[test]
fn a_limit_of_nothing() {
    with_listener(
        r"
[limits]
connections = 0
",
        r"
error: 0 is out of range
 --> proxy.toml:2:15
  |
2 | connections = 0
  |               ^ expected 1 to 4294967295
",
    );
}

#[test]
fn more_than_can_be_counted() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
limits = { rate-per-client = 4294967296 }
"#,
        r"
error: 4294967296 is out of range
 --> proxy.toml:5:30
  |
5 | limits = { rate-per-client = 4294967296 }
  |                              ^^^^^^^^^^ expected 1 to 4294967295
",
    );
}

#[test]
fn more_bits_than_an_address_has() {
    with_listener(
        r"
[limits]
ipv6-prefix = 129
",
        r"
error: 129 is out of range
 --> proxy.toml:2:15
  |
2 | ipv6-prefix = 129
  |               ^^^ expected 1 to 128
",
    );
}

#[test]
fn a_key_with_a_slip() {
    with_listener(
        r"
[limits]
rate_per_client = 10
",
        r"
error: unknown key `rate_per_client`
 --> proxy.toml:2:1
  |
2 | rate_per_client = 10
  | ^^^^^^^^^^^^^^^ did you mean `rate-per-client`?
  |
  = note: known keys: `connections`, `connections-per-client`, `rate`, `rate-per-client`, `ipv6-prefix`, `at-limit`
",
    );
}

#[test]
fn another_way_to_meet_one() {
    with_listener(
        r#"
[limits]
at-limit = "drop"
"#,
        r#"
error: unknown value `drop`
 --> proxy.toml:2:12
  |
2 | at-limit = "drop"
  |            ^^^^^^
  |
  = note: known values: `queue(TIME)`, `delay`, `fin`, `rst`
"#,
    );
}

#[test]
fn a_queue_without_a_time() {
    with_listener(
        r#"
[limits]
at-limit = "queue"
"#,
        r#"
error: unknown value `queue`
 --> proxy.toml:2:12
  |
2 | at-limit = "queue"
  |            ^^^^^^^ did you mean `queue(5s)`?
  |
  = note: known values: `queue(TIME)`, `delay`, `fin`, `rst`
"#,
    );
}

#[test]
fn a_slip_is_recognised_and_the_time_is_kept() {
    for (typed, meant) in [
        ("quue(3s)", "queue(3s)"),
        ("queue 3s", "queue(3s)"),
        ("queue(1m 30s", "queue(1m 30s)"),
        ("Queue(3s)", "queue(3s)"),
        ("queue: soon", "queue(5s)"),
        ("delay(3s)", "delay"),
        ("FIN", "fin"),
        ("reset", ""),
    ] {
        let said = super::refused(&format!("limits.at-limit = '{typed}'\n{LEAST}"));
        let label = said
            .split("did you mean `")
            .nth(1)
            .and_then(|rest| rest.split("`?").next());
        assert_eq!(label.unwrap_or_default(), meant, "{typed}:\n{said}");
    }
}

#[test]
fn a_queue_whose_time_is_none() {
    with_listener(
        r#"
[limits]
at-limit = "queue(5)"
"#,
        r#"
error: expected a length of time, as in `queue(5s)`
 --> proxy.toml:2:12
  |
2 | at-limit = "queue(5)"
  |            ^^^^^^^^^^ write a unit, as in "5s"
"#,
    );
}

#[test]
fn a_queue_without_an_end() {
    with_listener(
        r#"
[limits]
at-limit = "queue(2h)"
"#,
        r#"
error: 2h is out of range
 --> proxy.toml:2:12
  |
2 | at-limit = "queue(2h)"
  |            ^^^^^^^^^^^ expected 1ms to 1h
"#,
    );
}

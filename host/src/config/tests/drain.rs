//! `[drain]`

use std::time::Duration;

use super::super::defaults;
use super::{LEAST, accepted, seconds, with_listener};

#[test]
fn it_may_have_both_times_or_one_or_none() {
    for (typed, soft, hard) in [
        ("soft = 0, hard = 0", None, None),
        ("soft = '1h', hard = 0", Some(seconds(3_600)), None),
        ("soft = 0, hard = '1ms'", None, Some(Duration::from_millis(1))),
        ("soft = '1h', hard = '2h'", Some(seconds(3_600)), Some(seconds(7_200))),
        ("soft = '24s'", Some(seconds(24)), defaults::DRAIN.hard),
        ("hard = '11s'", defaults::DRAIN.soft, Some(seconds(11))),
    ] {
        let drain = accepted(&format!("drain = {{ {typed} }}\n{LEAST}")).drain;
        assert_eq!((drain.soft, drain.hard), (soft, hard), "{typed}");
    }
}

#[test]
fn all_are_not_ended_before_the_idle_ones() {
    with_listener(
        r#"
[drain]
soft = "10s"
hard = "10s"
"#,
        r#"
error: `hard` is not later than `soft`
 --> proxy.toml:3:8
  |
2 | soft = "10s"
  |        ----- `soft` is here
3 | hard = "10s"
  |        ^^^^^ expected more than 10s, or "0" for never
"#,
    );
}

#[test]
fn nor_before_the_time_for_them_that_nobody_typed() {
    with_listener(
        r#"
[drain]
hard = "5s"
"#,
        r#"
error: `hard` is not later than `soft`
 --> proxy.toml:2:8
  |
2 | hard = "5s"
  |        ^^^^ expected more than 10s, the default of `soft`
"#,
    );
}

#[test]
fn nor_are_the_idle_ones_kept_until_all_are_gone() {
    with_listener(
        r#"
[drain]
soft = "1m"
"#,
        r#"
error: `hard` is not later than `soft`
 --> proxy.toml:2:8
  |
2 | soft = "1m"
  |        ^^^^ expected less than 25s, the default of `hard`
"#,
    );
}

#[test]
fn a_spread_is_a_time() {
    with_listener(
        r#"
[drain]
spread = "9000h"
"#,
        r#"
error: 9000h is out of range
 --> proxy.toml:2:10
  |
2 | spread = "9000h"
  |          ^^^^^^^ expected 0s to 8760h
"#,
    );
}

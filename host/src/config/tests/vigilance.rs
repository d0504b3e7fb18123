//! `keepalive`, `user-timeout` and `accept`, and the timeouts of an upstream.

use super::super::{Keepalive, defaults};
use super::{LEAST, accepted, seconds, with_listener, with_upstream};

#[test]
fn the_keys_of_keepalive_may_be_left_out_one_by_one() {
    for (typed, meant) in [
        (
            "{ idle = '32767s' }",
            Keepalive {
                idle: seconds(32_767),
                ..defaults::KEEPALIVE
            },
        ),
        (
            "{ interval = '1s' }",
            Keepalive {
                interval: seconds(1),
                ..defaults::KEEPALIVE
            },
        ),
        (
            "{ count = 127 }",
            Keepalive {
                count: 127,
                ..defaults::KEEPALIVE
            },
        ),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.keepalive = {typed}"));
        assert_eq!(config.upstreams[0].vigilance.keepalive, Some(meant));
    }
}

#[test]
fn a_part_of_a_second() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
keepalive = { interval = "1500ms" }
"#,
        r#"
error: 1s 500ms is not a whole number of seconds
 --> proxy.toml:3:26
  |
3 | keepalive = { interval = "1500ms" }
  |                          ^^^^^^^^ the kernel counts in seconds here: write "2s"
"#,
    );
}

#[test]
fn longer_than_the_kernel_counts() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
keepalive = { idle = "32768s", count = 128 }
"#,
        r#"
error: 9h 6m 8s is out of range
 --> proxy.toml:3:22
  |
3 | keepalive = { idle = "32768s", count = 128 }
  |                      ^^^^^^^^ expected 1s to 9h 6m 7s

error: 128 is out of range
 --> proxy.toml:3:40
  |
3 | keepalive = { idle = "32768s", count = 128 }
  |                                        ^^^ expected 1 to 127
"#,
    );
}

#[test]
fn neither_a_table_nor_off() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
keepalive = false
"#,
        r#"
error: expected a table, as in `{ idle = "60s" }`, or "off"
 --> proxy.toml:5:13
  |
5 | keepalive = false
  |             ^^^^^ this is a boolean
"#,
    );
}

#[test]
fn a_user_timeout_that_the_kernel_would_take_for_a_negative_one() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
user-timeout = "600h"
"#,
        r#"
error: 600h is out of range
 --> proxy.toml:5:16
  |
5 | user-timeout = "600h"
  |                ^^^^^^ expected 1ms to 576h
"#,
    );
}

#[test]
fn another_way_to_accept() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
accept = "per-thread"
"#,
        r#"
error: unknown value `per-thread`
 --> proxy.toml:5:10
  |
5 | accept = "per-thread"
  |          ^^^^^^^^^^^^
  |
  = note: known values: `groups`, `per-worker`, `shared`
"#,
    );
}

#[test]
fn an_upstream_has_no_say_before_it_is_chosen() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
timeouts = { route = "1s", stall = "9000h" }
"#,
        r#"
error: unknown key `route`
 --> proxy.toml:3:14
  |
3 | timeouts = { route = "1s", stall = "9000h" }
  |              ^^^^^
  |
  = note: known keys: `connect`, `first-byte`, `idle`, `half-closed`, `stall`, `lifetime`

error: 9000h is out of range
 --> proxy.toml:3:36
  |
3 | timeouts = { route = "1s", stall = "9000h" }
  |                                    ^^^^^^^ expected 1ms to 8760h
"#,
    );
}

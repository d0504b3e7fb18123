//! `[upstreams.NAME]`: balancing, servers, retries, health and the like.

use super::super::{Health, OnDown, Retries, ServerPlace, defaults};
use super::{LEAST, accepted, refused, seconds, with_listener};

#[test]
fn retries_may_be_a_number_or_a_table() {
    for (typed, count, budget) in [
        ("0", 0, defaults::RETRIES.budget),
        ("16", 16, defaults::RETRIES.budget),
        ("{ count = 1 }", 1, defaults::RETRIES.budget),
        ("{ budget = '0%' }", defaults::RETRIES.count, 0),
        ("{ count = 0, budget = ' 1000 % ' }", 0, 1_000),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.retries = {typed}"));
        assert_eq!(config.upstreams[0].retries, Retries { count, budget }, "{typed}");
    }
}

#[test]
fn a_source_may_be_one_address_or_several() {
    for (typed, meant) in [
        ("'10.0.0.5'", "[10.0.0.5]"),
        ("['::1']", "[::1]"),
        ("['10.0.0.5', '2001:db8::5']", "[10.0.0.5, 2001:db8::5]"),
        ("'::ffff:10.0.0.5'", "[10.0.0.5]"),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.source = {typed}"));
        assert_eq!(format!("{:?}", config.upstreams[0].source), meant);
    }
}

#[test]
fn the_keys_of_health_may_be_left_out_one_by_one() {
    let bytes = |typed: &str, bytes: &[u8]| {
        (
            format!("send = {typed}"),
            Health {
                send: bytes.to_vec(),
                ..defaults::HEALTH
            },
        )
    };
    for (typed, meant) in [
        (
            "interval = '1s'".to_owned(),
            Health {
                interval: seconds(1),
                ..defaults::HEALTH
            },
        ),
        (
            "fast-interval = '2s'".to_owned(),
            Health {
                fast_interval: seconds(2),
                ..defaults::HEALTH
            },
        ),
        (
            "start = 'up'".to_owned(),
            Health {
                starts_up: true,
                ..defaults::HEALTH
            },
        ),
        (
            "start = 'down'".to_owned(),
            Health {
                starts_up: false,
                ..defaults::HEALTH
            },
        ),
        (
            "port = 65535".to_owned(),
            Health {
                port: Some(65_535),
                ..defaults::HEALTH
            },
        ),
        bytes(r"'PING\r\n\t\\'", b"PING\r\n\t\\"),
        bytes(r#""PING\r\n""#, b"PING\r\n"),
        bytes(r#""\\xff\\r""#, b"\xff\r"),
        bytes(r"'\x00\xFf é'", b"\x00\xff \xc3\xa9"),
        bytes(&format!("'{}'", "x".repeat(1_024)), &[b'x'; 1_024]),
        bytes(&format!("'{}'", r"\x00".repeat(1_024)), &[0; 1_024]),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.health = {{ {typed} }}"));
        assert_eq!(config.upstreams[0].health, Some(meant), "{typed}");
    }
}

#[test]
fn bytes_are_counted_as_they_are_sent() {
    let said = refused(&format!(
        "{LEAST}\nupstreams.a.health.send = '{}'",
        r"\x00".repeat(1_025)
    ));
    assert!(said.starts_with("error: 1025 bytes are too many\n"), "{said}");
    assert!(said.contains("expected 1 to 1024 bytes"), "{said}");
}

#[test]
fn passive_checks_alone_say_that_a_server_is_down() {
    for table in ["health", "passive"] {
        let config = accepted(&format!(
            "{LEAST}\nupstreams.a.{table} = {{}}\nupstreams.a.panic = '100%'\nupstreams.a.slow-start = '1h'"
        ));
        assert_eq!(
            (config.upstreams[0].panic, config.upstreams[0].slow_start),
            (100, seconds(3_600))
        );
    }
}

#[test]
fn connections_in_stock_are_no_contradiction_where_there_are_none() {
    accepted(&format!(
        "{LEAST}\nupstreams.a.preconnect = 0\nupstreams.a.connect = 'first-byte'"
    ));
    accepted(&format!(
        "{LEAST}\nupstreams.a.preconnect = 1024\nupstreams.a.connect = 'at-once'"
    ));
}

#[test]
fn the_names_of_srv_records_have_two_parts_with_an_underscore() {
    for (typed, meant) in [
        ("_postgres._tcp.example.org", "_postgres._tcp.example.org"),
        ("_Postgres._TCP.Example.org.", "_postgres._tcp.example.org."),
        ("_db._primary.service.consul", "_db._primary.service.consul"),
        ("_a._tcp.b", "_a._tcp.b"),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.b.servers = [{{ srv = '{typed}' }}]"));
        assert_eq!(config.upstreams[1].servers[0].place, ServerPlace::Srv(meant.to_owned()));
    }
    let parts = "it has a service, a protocol and a name, the first two with an underscore";
    for (typed, why) in [
        ("", parts),
        ("_a._tcp", parts),
        ("_a._tcp.", parts),
        ("_a.tcp.b", parts),
        ("a._tcp.b", parts),
        ("_._tcp.b", parts),
        ("_a._tcp..", parts),
        (
            "_a._tcp.b..c",
            "expected 1 to 63 characters between the dots of a host name, found ``",
        ),
        ("_a._udp.b", "this proxy speaks TCP: expected `_tcp`"),
        ("_a._UDP.b", "this proxy speaks TCP: expected `_tcp`"),
        ("_a._tcp.b:5432", "the records have the ports: write `_a._tcp.b`"),
        (
            "_a._tcp.b c",
            "a host name has letters, digits, `-`, `_` and `.`, found ' '",
        ),
    ] {
        let said = refused(&format!("{LEAST}\nupstreams.b.servers = [{{ srv = '{typed}' }}]"));
        assert!(said.contains(&format!("^ {why}")), "{typed}:\n{said}");
    }
}

#[test]
fn what_is_no_source_is_explained() {
    for (typed, why) in [
        ("", "this is neither an IPv4 nor an IPv6 address"),
        ("eth0", "this is neither an IPv4 nor an IPv6 address"),
        ("10.0.0.0/8", "this is neither an IPv4 nor an IPv6 address"),
        ("[::1]", "it has neither a port nor brackets: write `::1`"),
        ("[::1]:80", "it has neither a port nor brackets: write `::1`"),
        (
            "0.0.0.0",
            "this is no address of a machine: leave it out, and the system chooses one",
        ),
        (
            "::",
            "this is no address of a machine: leave it out, and the system chooses one",
        ),
        ("224.0.0.1", "nothing connects from a multicast address"),
    ] {
        let said = refused(&format!("{LEAST}\nupstreams.a.source = '{typed}'"));
        assert!(said.contains(&format!("^ {why}")), "{typed}:\n{said}");
    }
}

#[test]
fn what_is_no_percentage_is_explained() {
    for (typed, why) in [
        ("'20'", "write a percent sign, as in \"20%\""),
        ("20", "write a percent sign, as in \"20%\""),
        ("0.2", "this is a float"),
        ("''", "it is a whole number and a percent sign"),
        ("'%'", "it is a whole number and a percent sign"),
        ("'-1%'", "it is a whole number and a percent sign"),
        ("'12.5%'", "it is a whole number and a percent sign"),
        ("'99999999999%'", "this is more than anything has"),
    ] {
        let said = refused(&format!(
            "{LEAST}\nupstreams.a.health = {{}}\nupstreams.a.panic = {typed}"
        ));
        assert!(said.contains(&format!("^ {why}")), "{typed}:\n{said}");
    }
}
#[test]
fn an_upstream_key_with_a_slip() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
retry = 2
"#,
        r"
error: unknown key `retry`
 --> proxy.toml:3:1
  |
3 | retry = 2
  | ^^^^^
  |
  = note: known keys: `balance`, `servers`, `original-destination`, `timeouts`, `keepalive`, `user-timeout`, `socket`, `connect`, `retries`, `queue`, `preconnect`, `source`, `health`, `passive`, `slow-start`, `panic`, `on-down`, `on-change`, `dns`, `proxy-protocol`, `tls`, `treatment`
",
    );
}

#[test]
fn a_server_in_no_place() {
    with_listener(
        r"
[upstreams.a]
servers = [{ weight = 2 }]
",
        r"
error: neither `address` nor `srv`
 --> proxy.toml:2:12
  |
2 | servers = [{ weight = 2 }]
  |            ^^^^^^^^^^^^^^ expected `address = ...` or `srv = ...` in this table
",
    );
}

#[test]
fn a_server_whose_place_has_a_slip() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ adress = "a:1" }, { svr = "_a._tcp.b" }]
"#,
        r#"
error: unknown key `adress`
 --> proxy.toml:2:14
  |
2 | servers = [{ adress = "a:1" }, { svr = "_a._tcp.b" }]
  |              ^^^^^^ did you mean `address`?
  |
  = note: known keys: `address`, `srv`, `weight`, `max-connections`, `backup`

error: unknown key `svr`
 --> proxy.toml:2:34
  |
2 | servers = [{ adress = "a:1" }, { svr = "_a._tcp.b" }]
  |                                  ^^^ did you mean `srv`?
  |
  = note: known keys: `address`, `srv`, `weight`, `max-connections`, `backup`
"#,
    );
}

#[test]
fn a_server_in_two_places() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ address = "a:1", srv = "_a._tcp.b" }]
"#,
        r#"
error: a server with both an `address` and an `srv`
 --> proxy.toml:2:37
  |
2 | servers = [{ address = "a:1", srv = "_a._tcp.b" }]
  |                        -----        ^^^^^^^^^^^ expected one of them
  |                        |
  |                        `address` is here
"#,
    );
}

#[test]
fn a_server_out_of_every_range() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ address = "a:1", weight = 257, max-connections = 0, backup = 1 }]
"#,
        r#"
error: 257 is out of range
 --> proxy.toml:2:40
  |
2 | servers = [{ address = "a:1", weight = 257, max-connections = 0, backup = 1 }]
  |                                        ^^^ expected 1 to 256

error: 0 is out of range
 --> proxy.toml:2:63
  |
2 | servers = [{ address = "a:1", weight = 257, max-connections = 0, backup = 1 }]
  |                                                               ^ expected 1 to 4294967295

error: expected true or false
 --> proxy.toml:2:75
  |
2 | servers = [{ address = "a:1", weight = 257, max-connections = 0, backup = 1 }]
  |                                                                           ^ this is an integer
"#,
    );
}

#[test]
fn a_weight_beside_those_of_the_records() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ srv = "_a._tcp.b", weight = 2 }]
"#,
        r#"
error: `weight` has no effect beside `srv`
 --> proxy.toml:2:42
  |
2 | servers = [{ srv = "_a._tcp.b", weight = 2 }]
  |                                          ^ the records have weights of their own
"#,
    );
}

#[test]
fn nobody_but_backups() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ address = "a:1", backup = true }, { srv = "_a._tcp.b", backup = true }]
"#,
        r#"
error: every server of the upstream `a` is a backup
 --> proxy.toml:2:11
  |
2 | servers = [{ address = "a:1", backup = true }, { srv = "_a._tcp.b", backup = true }]
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at least one that is not
"#,
    );
}

#[test]
fn srv_records_without_underscores() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ srv = "db.example.org" }]
"#,
        r#"
error: expected the name of SRV records, as in "_postgres._tcp.example.org"
 --> proxy.toml:2:20
  |
2 | servers = [{ srv = "db.example.org" }]
  |                    ^^^^^^^^^^^^^^^^ it has a service, a protocol and a name, the first two with an underscore
"#,
    );
}

#[test]
fn retries_of_the_wrong_type() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
retries = "2"
"#,
        r#"
error: expected a number, or a table, as in `{ count = 3, budget = "20%" }`
 --> proxy.toml:3:11
  |
3 | retries = "2"
  |           ^^^ this is a string
"#,
    );
}

#[test]
fn more_retries_than_sixteen() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
retries = 17
"#,
        r"
error: 17 is out of range
 --> proxy.toml:3:11
  |
3 | retries = 17
  |           ^^ expected 0 to 16
",
    );
}

#[test]
fn a_budget_without_a_sign() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
retries = { count = -1, budget = 20 }
"#,
        r#"
error: -1 is out of range
 --> proxy.toml:3:21
  |
3 | retries = { count = -1, budget = 20 }
  |                     ^^ expected 0 to 16

error: expected a percentage, as in "20%"
 --> proxy.toml:3:34
  |
3 | retries = { count = -1, budget = 20 }
  |                                  ^^ write a percent sign, as in "20%"
"#,
    );
}

#[test]
fn a_budget_that_is_none() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
retries = { budget = "1001%" }
"#,
        r#"
error: 1001% is out of range
 --> proxy.toml:3:22
  |
3 | retries = { budget = "1001%" }
  |                      ^^^^^^^ expected 0% to 1000%
"#,
    );
}

#[test]
fn a_queue_out_of_every_range() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ address = "a:1", max-connections = 1 }]
queue = { length = 1000001, timeout = "0" }
"#,
        r#"
error: 1000001 is out of range
 --> proxy.toml:3:20
  |
3 | queue = { length = 1000001, timeout = "0" }
  |                    ^^^^^^^ expected 0 to 1000000

error: 0s is out of range
 --> proxy.toml:3:39
  |
3 | queue = { length = 1000001, timeout = "0" }
  |                                       ^^^ expected 1ms to 1h
"#,
    );
}

#[test]
fn a_queue_where_nobody_waits() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1", { address = "b:1" }]
queue = {}
"#,
        r"
error: `queue` has no effect without `max-connections` of a server, or `health`
 --> proxy.toml:3:9
  |
3 | queue = {}
  |         ^^ no connection ever waits
",
    );
}

#[test]
fn more_connections_in_stock_than_anybody_needs() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
preconnect = 1025
"#,
        r"
error: 1025 is out of range
 --> proxy.toml:3:14
  |
3 | preconnect = 1025
  |              ^^^^ expected 0 to 1024
",
    );
}

#[test]
fn connections_in_stock_that_wait_for_the_client() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
preconnect = 8
connect = "first-byte"
"#,
        r#"
error: `preconnect` contradicts `connect = "first-byte"`
 --> proxy.toml:3:14
  |
3 | preconnect = 8
  |              ^ this connects before there is a client
4 | connect = "first-byte"
  |           ------------ this waits for a client's first byte
"#,
    );
}

#[test]
fn connections_in_stock_where_each_client_has_its_server() {
    with_listener(
        r#"
[upstreams.a]
balance = "maglev"
servers = ["a:1"]
preconnect = 8
"#,
        r#"
error: `preconnect` has no effect with this `balance`
 --> proxy.toml:4:14
  |
2 | balance = "maglev"
  |           -------- this sends each client to a server of its own
3 | servers = ["a:1"]
4 | preconnect = 8
  |              ^ a connection that is there already leads to any server
"#,
    );
}

#[test]
fn a_source_with_a_port() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
source = "10.0.0.5:0"
"#,
        r#"
error: expected an IP address, as in "10.0.0.5"
 --> proxy.toml:3:10
  |
3 | source = "10.0.0.5:0"
  |          ^^^^^^^^^^^^ it has neither a port nor brackets: write `10.0.0.5`
"#,
    );
}

#[test]
fn a_source_of_the_wrong_type() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
source = 10
"#,
        r#"
error: expected an IP address, as in "10.0.0.5", or an array of them, or "client"
 --> proxy.toml:3:10
  |
3 | source = 10
  |          ^^ this is an integer
"#,
    );
}

#[test]
fn no_source_at_all() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
source = []
"#,
        r"
error: there is no address to connect from
 --> proxy.toml:3:10
  |
3 | source = []
  |          ^^ leave the key out, and the system chooses one
",
    );
}

#[test]
fn a_source_twice() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
source = ["10.0.0.5", "::ffff:10.0.0.5"]
"#,
        r#"
error: `10.0.0.5` is one of the addresses already
 --> proxy.toml:3:23
  |
3 | source = ["10.0.0.5", "::ffff:10.0.0.5"]
  |           ----------  ^^^^^^^^^^^^^^^^^ and here again
  |           |
  |           first here
"#,
    );
}

#[test]
fn health_that_is_no_table() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = true
"#,
        r#"
error: expected a table, as in `{ interval = "2s" }`, or `{}`
 --> proxy.toml:3:10
  |
3 | health = true
  |          ^^^^ this is a boolean
"#,
    );
}

#[test]
fn a_health_check_out_of_every_range() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
"#,
        r#"
error: 1µs is out of range
 --> proxy.toml:3:23
  |
3 | health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
  |                       ^^^^^ expected 10ms to 1h

error: 0 is out of range
 --> proxy.toml:3:37
  |
3 | health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
  |                                     ^ expected 1 to 100

error: 101 is out of range
 --> proxy.toml:3:47
  |
3 | health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
  |                                               ^^^ expected 1 to 100

error: 65536 is out of range
 --> proxy.toml:3:59
  |
3 | health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
  |                                                           ^^^^^ expected 1 to 65535

error: unknown value `upp`
 --> proxy.toml:3:74
  |
3 | health = { interval = "1us", rise = 0, fall = 101, port = 65536, start = "upp" }
  |                                                                          ^^^^^ did you mean `up`?
  |
  = note: known values: `up`, `down`
"#,
    );
}

#[test]
fn a_check_that_lasts_longer_than_the_time_between_checks() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = { interval = "1s", timeout = "2s" }
"#,
        r#"
error: `timeout` is not shorter than `fast-interval`
 --> proxy.toml:3:39
  |
3 | health = { interval = "1s", timeout = "2s" }
  |                                       ^^^^ expected less than 1s, the default of `fast-interval`

error: `timeout` is not shorter than `interval`
 --> proxy.toml:3:39
  |
3 | health = { interval = "1s", timeout = "2s" }
  |                       ----            ^^^^ expected less than 1s
  |                       |
  |                       `interval` is here
"#,
    );
}

#[test]
fn a_check_that_lasts_as_long_as_the_default_of_the_time_between_checks() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = { timeout = "1s" }
"#,
        r#"
error: `timeout` is not shorter than `fast-interval`
 --> proxy.toml:3:22
  |
3 | health = { timeout = "1s" }
  |                      ^^^^ expected less than 1s, the default of `fast-interval`
"#,
    );
}

#[test]
fn a_time_between_checks_that_is_shorter_than_what_nobody_typed() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health.interval = "500ms"
"#,
        r#"
error: `timeout` is not shorter than `interval`
 --> proxy.toml:3:19
  |
3 | health.interval = "500ms"
  |                   ^^^^^^^ expected more than 900ms, the default of `timeout`

error: `fast-interval` is longer than `interval`
 --> proxy.toml:3:19
  |
3 | health.interval = "500ms"
  |                   ^^^^^^^ expected at least 1s, the default of `fast-interval`
"#,
    );
}

#[test]
fn bytes_with_bad_escapes() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = { send = 'PING\q\x1', expect = '+PONG\' }
"#,
        r"
error: unknown escape `\q`
 --> proxy.toml:3:24
  |
3 | health = { send = 'PING\q\x1', expect = '+PONG\' }
  |                        ^^
  |
  = note: known escapes: `\xHH`, `\r`, `\n`, `\t`, `\\`

error: `\x` without two hexadecimal digits
 --> proxy.toml:3:26
  |
3 | health = { send = 'PING\q\x1', expect = '+PONG\' }
  |                          ^^^ expected the value of one byte, as in `\x0a`

error: this backslash begins nothing
 --> proxy.toml:3:47
  |
3 | health = { send = 'PING\q\x1', expect = '+PONG\' }
  |                                               ^ a backslash that is meant as such is `\\`
",
    );
}

#[test]
fn bytes_that_toml_takes_for_characters() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health.send = "\x05\xff"
"#,
        r#"
error: in double quotes, this is two bytes
 --> proxy.toml:3:20
  |
3 | health.send = "\x05\xff"
  |                    ^^^^ TOML takes it for a character: write the text in single quotes
"#,
    );
}

#[test]
fn nothing_to_expect() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = { send = 5, expect = "" }
"#,
        r#"
error: expected text, with escapes for what is none, as in 'PING\r\n'
 --> proxy.toml:3:19
  |
3 | health = { send = 5, expect = "" }
  |                   ^ this is an integer

error: this is nothing
 --> proxy.toml:3:31
  |
3 | health = { send = 5, expect = "" }
  |                               ^^ leave the key out, or write what is meant
"#,
    );
}

#[test]
fn a_passive_check_out_of_every_range() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
passive = { failures = 0, ejection = "0", longest-ejection = "25h" }
"#,
        r#"
error: 0 is out of range
 --> proxy.toml:3:24
  |
3 | passive = { failures = 0, ejection = "0", longest-ejection = "25h" }
  |                        ^ expected 1 to 1000

error: 0s is out of range
 --> proxy.toml:3:38
  |
3 | passive = { failures = 0, ejection = "0", longest-ejection = "25h" }
  |                                      ^^^ expected 1ms to 24h

error: 25h is out of range
 --> proxy.toml:3:62
  |
3 | passive = { failures = 0, ejection = "0", longest-ejection = "25h" }
  |                                                              ^^^^^ expected 1ms to 24h
"#,
    );
}

#[test]
fn an_ejection_longer_than_the_longest() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
passive = { ejection = "10m" }
"#,
        r#"
error: `ejection` is longer than `longest-ejection`
 --> proxy.toml:3:24
  |
3 | passive = { ejection = "10m" }
  |                        ^^^^^ expected at most 5m, the default of `longest-ejection`
"#,
    );
}

#[test]
fn a_start_slower_than_an_hour() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
health = {}
slow-start = "2h"
panic = "101%"
on-down = "kick"
"#,
        r#"
error: 2h is out of range
 --> proxy.toml:4:14
  |
4 | slow-start = "2h"
  |              ^^^^ expected 0s to 1h

error: 101% is out of range
 --> proxy.toml:5:9
  |
5 | panic = "101%"
  |         ^^^^^^ expected 0% to 100%

error: unknown value `kick`
 --> proxy.toml:6:11
  |
6 | on-down = "kick"
  |           ^^^^^^
  |
  = note: known values: `keep`, `drain`, `kill`
"#,
    );
}

#[test]
fn what_happens_to_servers_that_are_never_known_to_be_down() {
    with_listener(
        r#"
[upstreams.a]
servers = ["10.0.0.1:1"]
slow-start = "10s"
panic = "50%"
on-down = "kill"
"#,
        r#"
error: `slow-start` has no effect without `health` or `passive`
 --> proxy.toml:3:14
  |
3 | slow-start = "10s"
  |              ^^^^^ no server is ever known to be down

error: `panic` has no effect without `health` or `passive`
 --> proxy.toml:4:9
  |
4 | panic = "50%"
  |         ^^^^^ no server is ever known to be down

error: `on-down` has no effect without `health` or `passive`
 --> proxy.toml:5:11
  |
5 | on-down = "kill"
  |           ^^^^^^ no server is ever known to be down
"#,
    );
}

#[test]
fn what_happens_to_the_addresses_that_a_name_has_no_more() {
    for server in ["'a:1'", "{ address = 'a:1' }", "{ srv = '_a._tcp.b' }"] {
        let typed = format!("upstreams.b = {{ servers = ['10.0.0.1:1', {server}], on-down = 'kill' }}\n");
        let config = accepted(&format!("{typed}{LEAST}"));
        let named = config.upstreams.iter().find(|upstream| upstream.name == "b");
        assert_eq!(named.unwrap().on_down, OnDown::Kill);
    }
}

#[test]
fn names_that_are_asked_for_all_the_time() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
dns = { at-start = "never", shortest = "0", longest = "169h" }
"#,
        r#"
error: unknown value `never`
 --> proxy.toml:3:20
  |
3 | dns = { at-start = "never", shortest = "0", longest = "169h" }
  |                    ^^^^^^^
  |
  = note: known values: `fail`, `later`

error: 0s is out of range
 --> proxy.toml:3:40
  |
3 | dns = { at-start = "never", shortest = "0", longest = "169h" }
  |                                        ^^^ expected 1s to 168h

error: 169h is out of range
 --> proxy.toml:3:55
  |
3 | dns = { at-start = "never", shortest = "0", longest = "169h" }
  |                                                       ^^^^^^ expected 1s to 168h
"#,
    );
}

#[test]
fn a_shortest_time_that_is_longer_than_the_longest() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]
dns = { shortest = "2m", longest = "1m" }
"#,
        r#"
error: `shortest` is longer than `longest`
 --> proxy.toml:3:20
  |
3 | dns = { shortest = "2m", longest = "1m" }
  |                    ^^^^            ---- `longest` is here
  |                    |
  |                    expected at most 1m
"#,
    );
}

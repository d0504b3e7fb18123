//! `[metrics]`

use super::{COMPLETE, LEAST, accepted, with_listener};

#[test]
fn an_address_of_this_machine_needs_nothing_more() {
    for address in [
        "127.0.0.1:9464",
        "127.9.9.9:0",
        "[::1]:9464",
        "[::ffff:127.0.0.1]:9464",
        "localhost:9464",
        "unix:/run/spliceway/metrics",
    ] {
        let metrics = accepted(&format!("metrics.address = '{address}'\n{LEAST}")).metrics;
        assert_eq!(metrics, Some(address.parse().unwrap()));
    }
}

#[test]
fn another_one_has_to_be_allowed() {
    assert_eq!(accepted(COMPLETE).metrics, Some("[::]:9464".parse().unwrap()));
    for address in [
        ":9464",
        "0.0.0.0:9464",
        "[::]:9464",
        "10.0.0.1:9464",
        "metrics.example:9464",
    ] {
        accepted(&format!(
            "metrics = {{ address = '{address}', expose = true }}\n{LEAST}"
        ));
    }
    with_listener(
        r#"
[metrics]
address = ":9464"
"#,
        r#"
error: other machines may reach the metrics at `[::]:9464`
 --> proxy.toml:2:11
  |
2 | address = ":9464"
  |           ^^^^^^^ expected an address of this machine alone, as in "127.0.0.1:9464", or a `unix:` one
  |
  = help: the page tells of listeners and filters, and asks nobody who he is; `expose = true` allows it
"#,
    );
    with_listener(
        r#"
[metrics]
address = "metrics.example:9464"
expose = false
"#,
        r#"
error: other machines may reach the metrics at `metrics.example:9464`
 --> proxy.toml:2:11
  |
2 | address = "metrics.example:9464"
  |           ^^^^^^^^^^^^^^^^^^^^^^ expected an address of this machine alone, as in "127.0.0.1:9464", or a `unix:` one
  |
  = help: the page tells of listeners and filters, and asks nobody who he is; `expose = true` allows it
"#,
    );
}

#[test]
fn there_is_no_page_without_an_address() {
    with_listener(
        r#"
[metrics]
expose = "yes"
"#,
        r#"
error: missing key `address`
 --> proxy.toml:1:1
  |
1 | [metrics]
  | ^^^^^^^^^ expected `address = ...` in this table

error: expected true or false
 --> proxy.toml:2:10
  |
2 | expose = "yes"
  |          ^^^^^ this is a string
"#,
    );
}

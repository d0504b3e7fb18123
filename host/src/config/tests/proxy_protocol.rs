//! `proxy-protocol` of a listener, and of an upstream.

use super::super::{ProxyIn, ProxyOut, ProxyVersion, SentTlv, Trusted, defaults};
use super::{COMPLETE, LEAST, accepted, refused, seconds, with_listener, with_upstream};

#[test]
fn every_key_arrives() {
    let config = accepted(COMPLETE);
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(
        config.listeners[1].proxy_protocol,
        Some(ProxyIn {
            required: false,
            trusted: Trusted { networks, unix: true },
            timeout: seconds(1),
            longest: 1024,
        })
    );
    assert_eq!(
        config.upstreams[1].proxy_protocol,
        Some(ProxyOut {
            version: ProxyVersion::V2,
            tlvs: vec![
                SentTlv::Authority,
                SentTlv::Alpn,
                SentTlv::Ssl,
                SentTlv::UniqueId,
                SentTlv::Crc32c
            ],
            pass: vec![0xea, 0x04],
        })
    );
    assert_eq!(config.listeners[0].proxy_protocol, None);
    assert_eq!(config.upstreams[0].proxy_protocol, None);
}

#[test]
fn only_those_who_are_trusted_must_be_named() {
    let typed = "listeners = [{ name = 'a', address = ':1', upstream = 'a', proxy-protocol = { trusted = ['::1'] } }]";
    let config = accepted(&format!("{typed}\nupstreams.a.servers = ['a:1']"));
    let networks = vec!["::1/128".parse().unwrap()];
    assert_eq!(
        config.listeners[0].proxy_protocol,
        Some(ProxyIn {
            required: true,
            trusted: Trusted { networks, unix: false },
            timeout: defaults::PROXY_IN_TIMEOUT,
            longest: 4096,
        })
    );
}

#[test]
fn a_version_alone_says_the_addresses_alone() {
    for (typed, version) in [
        ("'v1'", ProxyVersion::V1),
        ("'v2'", ProxyVersion::V2),
        ("{ version = 'v1' }", ProxyVersion::V1),
        ("{ version = 'v2', tlvs = [], pass = [] }", ProxyVersion::V2),
    ] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.proxy-protocol = {typed}"));
        let expected = ProxyOut {
            version,
            tlvs: Vec::new(),
            pass: Vec::new(),
        };
        assert_eq!(config.upstreams[0].proxy_protocol, Some(expected), "{typed}");
    }
}

/// A listener with this at line 5.
#[track_caller]
fn listener(key: &str, said: &str) {
    with_upstream(
        &format!("\n[[listeners]]\nname = \"a\"\naddress = \":80\"\nupstream = \"z\"\n{key}\n"),
        said,
    );
}

/// An upstream with this at line 3.
#[track_caller]
fn upstream(key: &str, said: &str) {
    with_listener(&format!("\n[upstreams.a]\nservers = [\"a:1\"]\n{key}\n"), said);
}

#[test]
fn nobody_is_trusted() {
    listener(
        "proxy-protocol = { trusted = [] }",
        r#"
error: nobody is trusted, so no header would be believed
 --> proxy.toml:5:30
  |
5 | proxy-protocol = { trusted = [] }
  |                              ^^ expected at least one network, as in ["10.0.0.0/8"]
"#,
    );
}

#[test]
fn nobody_is_named() {
    listener(
        "proxy-protocol = { required = true }",
        r"
error: missing key `trusted`
 --> proxy.toml:5:18
  |
5 | proxy-protocol = { required = true }
  |                  ^^^^^^^^^^^^^^^^^^^ expected `trusted = ...` in this table
",
    );
}

#[test]
fn not_a_table() {
    listener(
        "proxy-protocol = true",
        r#"
error: expected a table, as in `{ trusted = ["10.0.0.0/8"] }`
 --> proxy.toml:5:18
  |
5 | proxy-protocol = true
  |                  ^^^^ this is a boolean
"#,
    );
}

#[test]
fn no_network() {
    listener(
        r#"proxy-protocol = { trusted = ["lan", "10.0.0.7/8"] }"#,
        r#"
error: expected a network, as in "10.0.0.0/8", or "unix"
 --> proxy.toml:5:31
  |
5 | proxy-protocol = { trusted = ["lan", "10.0.0.7/8"] }
  |                               ^^^^^ this is neither an IP network nor an address nor `unix`

error: expected a network, as in "10.0.0.0/8", or "unix"
 --> proxy.toml:5:38
  |
5 | proxy-protocol = { trusted = ["lan", "10.0.0.7/8"] }
  |                                      ^^^^^^^^^^^^ an address of this network ends with zero bits: write `10.0.0.0/8`, or `10.0.0.7` for the one address
"#,
    );
}

#[test]
fn out_of_range() {
    listener(
        r#"proxy-protocol = { trusted = ["unix"], timeout = "0", max-length = "1MiB" }"#,
        r#"
error: 0s is out of range
 --> proxy.toml:5:50
  |
5 | proxy-protocol = { trusted = ["unix"], timeout = "0", max-length = "1MiB" }
  |                                                  ^^^ expected 1ms to 1h

error: 1MiB is out of range
 --> proxy.toml:5:68
  |
5 | proxy-protocol = { trusted = ["unix"], timeout = "0", max-length = "1MiB" }
  |                                                                    ^^^^^^ expected 256B to 64KiB
"#,
    );
}

#[test]
fn nobody_can_come_who_is_trusted() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = "unix:/run/x.sock"
upstream = "z"
proxy-protocol = { trusted = ["127.0.0.1"] }
"#,
        r#"
error: who comes by a unix socket has no address, so nobody here is trusted
 --> proxy.toml:5:30
  |
5 | proxy-protocol = { trusted = ["127.0.0.1"] }
  |                              ^^^^^^^^^^^^^ expected ["unix"]
"#,
    );
}

#[test]
fn another_version() {
    upstream(
        "proxy-protocol = \"v3\"",
        r#"
error: unknown value `v3`
 --> proxy.toml:3:18
  |
3 | proxy-protocol = "v3"
  |                  ^^^^ did you mean `v1`?
  |
  = note: known values: `v1`, `v2`
"#,
    );
}

#[test]
fn a_number_for_a_version() {
    upstream(
        "proxy-protocol = 2",
        r#"
error: expected "v1", "v2", or a table, as in `{ version = "v2" }`
 --> proxy.toml:3:18
  |
3 | proxy-protocol = 2
  |                  ^ this is an integer
"#,
    );
}

#[test]
fn more_than_version_1_can_say() {
    upstream(
        "proxy-protocol = { version = \"v1\", tlvs = [\"authority\"], pass = [\"0xEA\"] }",
        r#"
error: a header of version 1 has addresses only
 --> proxy.toml:3:43
  |
3 | proxy-protocol = { version = "v1", tlvs = ["authority"], pass = ["0xEA"] }
  |                                           ^^^^^^^^^^^^^ expected `version = "v2"`, or no such key

error: a header of version 1 has addresses only
 --> proxy.toml:3:65
  |
3 | proxy-protocol = { version = "v1", tlvs = ["authority"], pass = ["0xEA"] }
  |                                                                 ^^^^^^^^ expected `version = "v2"`, or no such key
"#,
    );
}

#[test]
fn what_is_said_twice() {
    upstream(
        "proxy-protocol = { version = \"v2\", tlvs = [\"alpn\", \"alpn\"], pass = [\"0xEA\", \"0xea\"] }",
        r#"
error: `alpn` is there already
 --> proxy.toml:3:52
  |
3 | proxy-protocol = { version = "v2", tlvs = ["alpn", "alpn"], pass = ["0xEA", "0xea"] }
  |                                            ------  ^^^^^^ and here again
  |                                            |
  |                                            first here

error: `0xEA` is there already
 --> proxy.toml:3:77
  |
3 | proxy-protocol = { version = "v2", tlvs = ["alpn", "alpn"], pass = ["0xEA", "0xea"] }
  |                                                                     ------  ^^^^^^ and here again
  |                                                                     |
  |                                                                     first here
"#,
    );
}

#[test]
fn a_checksum_that_is_passed_on() {
    upstream(
        "proxy-protocol = { version = \"v2\", pass = [\"0x03\"] }",
        r#"
error: the checksum of one header is wrong in another
 --> proxy.toml:3:44
  |
3 | proxy-protocol = { version = "v2", pass = ["0x03"] }
  |                                            ^^^^^^ expected `crc32c` among `tlvs`, which computes its own
"#,
    );
}

#[test]
fn a_type_is_one_byte_in_hexadecimal() {
    for typed in ["EA", "0xE", "0xEAA", "0x+A", "0xGG", "234", ""] {
        let said = refused(&format!(
            "{LEAST}\nupstreams.a.proxy-protocol = {{ version = 'v2', pass = ['{typed}'] }}"
        ));
        let expected = "expected the type of a TLV, as in \"0xEA\"";
        assert!(
            said.contains(expected) && said.contains("expected `0x` and two hexadecimal digits"),
            "{said}"
        );
    }
}

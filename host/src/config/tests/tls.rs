//! `tls` of a listener and of an upstream, and `detection`.

use super::super::{
    CertificateFiles, ClientAuth, Detection, Pattern, TlsIn, TlsOut, TlsStart, TlsVersion, UpstreamConfig, defaults,
};
use super::{COMPLETE, LEAST, accepted, seconds, with_listener, with_upstream};
use std::time::Duration;

#[test]
fn every_key_arrives() {
    let config = accepted(COMPLETE);
    assert_eq!(
        config.listeners[1].tls,
        Some(TlsIn {
            certificates: vec![
                CertificateFiles {
                    chain: "/etc/spliceway/a.pem".into(),
                    key: "/etc/spliceway/a.pem".into(),
                },
                CertificateFiles {
                    chain: "/etc/b.pem".into(),
                    key: "/etc/spliceway/b.key".into(),
                },
            ],
            strict: true,
            start: TlsStart::Detect,
            passthrough: vec![
                Pattern::Ending(".db.example.com".to_owned()),
                Pattern::Exactly("c.example.com".to_owned()),
            ],
            client_auth: Some(ClientAuth {
                authorities: "/etc/spliceway/ca.pem".into(),
                required: false,
                revocations: Some("/etc/spliceway/crl.pem".into()),
            }),
            alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
            min_version: TlsVersion::V1_3,
            timeout: seconds(5),
            handshakes: 1,
        })
    );
    assert_eq!(
        config.listeners[1].detection,
        Detection {
            timeout: Duration::from_millis(200),
            longest: 65_536,
            records: 65_536,
        }
    );
    assert_eq!(
        config.upstreams[1].tls,
        Some(TlsOut {
            verify: true,
            name: Some("blue.internal".to_owned()),
            authorities: Some("/etc/spliceway/ca.pem".into()),
            certificate: Some(CertificateFiles {
                chain: "/etc/spliceway/us.pem".into(),
                key: "/etc/us.key".into(),
            }),
            alpn: vec!["postgresql".to_owned()],
            min_version: TlsVersion::V1_3,
        })
    );
    assert_eq!((&config.listeners[0].tls, &config.upstreams[0].tls), (&None, &None));
    assert_eq!(config.listeners[0].detection, defaults::DETECTION);
}

#[test]
fn a_certificate_is_all_that_must_be_named() {
    let listener = "name = 'a', address = 'unix:/run/a.sock', upstream = 'a', detection = {}";
    for (tls, client_auth) in [
        ("certificates = ['a.pem']", None),
        (
            "certificates = ['a.pem'], passthrough = [], alpn = [], client-auth = { authorities = 'ca.pem' }",
            Some(ClientAuth {
                authorities: "/etc/spliceway/ca.pem".into(),
                required: true,
                revocations: None,
            }),
        ),
    ] {
        let config = accepted(&format!(
            "listeners = [{{ {listener}, tls = {{ {tls} }} }}]\nupstreams.a.servers = ['a:1']"
        ));
        assert_eq!(
            config.listeners[0].tls,
            Some(TlsIn {
                certificates: vec![CertificateFiles {
                    chain: "/etc/spliceway/a.pem".into(),
                    key: "/etc/spliceway/a.pem".into(),
                }],
                strict: false,
                start: TlsStart::AtOnce,
                passthrough: Vec::new(),
                client_auth,
                alpn: Vec::new(),
                min_version: TlsVersion::V1_2,
                timeout: defaults::TLS_TIMEOUT,
                handshakes: defaults::TLS_HANDSHAKES,
            })
        );
        assert_eq!(config.listeners[0].detection, defaults::DETECTION);
    }
}

fn tls_of(typed: &str) -> UpstreamConfig {
    let mut config = accepted(&format!("{LEAST}\nupstreams.a.tls = {typed}"));
    config.upstreams.remove(0)
}

#[test]
fn true_is_every_default_and_false_is_none() {
    assert_eq!(tls_of("false").tls, None);
    let every = TlsOut {
        verify: true,
        name: None,
        authorities: None,
        certificate: None,
        alpn: Vec::new(),
        min_version: TlsVersion::V1_2,
    };
    for typed in ["true", "{}"] {
        assert_eq!(tls_of(typed).tls, Some(every.clone()));
    }
    let anybody = TlsOut { verify: false, ..every };
    assert_eq!(tls_of("{ verify = false }").tls, Some(anybody));
}

#[test]
fn a_server_may_have_an_address_for_a_name() {
    for (typed, meant) in [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("DB_1.example.", "db_1.example"),
    ] {
        let tls = tls_of(&format!("{{ name = '{typed}' }}")).tls.unwrap();
        assert_eq!(tls.name.as_deref(), Some(meant));
    }
}

#[test]
fn servers_that_srv_records_list_have_names() {
    let config = accepted(
        "listeners = [{ name = 'a', address = ':1', upstream = 'a' }]\n\
         upstreams.a = { servers = [{ srv = '_a._tcp.example.org' }], tls = true }\n\
         upstreams.b = { servers = ['unix:/run/b.sock'], tls = { name = 'b.example' } }\n\
         upstreams.c = { servers = ['unix:/run/c.sock'], tls = false }\n",
    );
    let with_tls: Vec<bool> = config.upstreams.iter().map(|upstream| upstream.tls.is_some()).collect();
    assert_eq!(with_tls, [true, true, false]);
}

/// A listener with this at line 5.
#[track_caller]
fn listener(key: &str, said: &str) {
    with_upstream(
        &format!("\n[[listeners]]\nname = \"a\"\naddress = \":443\"\nupstream = \"z\"\n{key}\n"),
        said,
    );
}

/// An upstream with this at line 3.
#[track_caller]
fn upstream(key: &str, said: &str) {
    with_listener(&format!("\n[upstreams.a]\nservers = [\"a:1\"]\n{key}\n"), said);
}

#[test]
fn no_certificate() {
    listener(
        r"tls = { certificates = [] }",
        r#"
error: without a certificate no client can be served
 --> proxy.toml:5:24
  |
5 | tls = { certificates = [] }
  |                        ^^ expected at least one, as in ["a.pem"]
"#,
    );
}

#[test]
fn nothing_but_a_table() {
    listener(
        r"tls = {}",
        r"
error: missing key `certificates`
 --> proxy.toml:5:7
  |
5 | tls = {}
  |       ^^ expected `certificates = ...` in this table
",
    );
}

#[test]
fn a_switch_on_a_listener() {
    listener(
        r"tls = true",
        r#"
error: expected a table, as in `{ certificates = ["a.pem"] }`
 --> proxy.toml:5:7
  |
5 | tls = true
  |       ^^^^ this is a boolean
"#,
    );
}

#[test]
fn one_certificate_where_a_list_is_expected() {
    listener(
        r#"tls = { certificates = "a.pem" }"#,
        r#"
error: expected an array
 --> proxy.toml:5:24
  |
5 | tls = { certificates = "a.pem" }
  |                        ^^^^^^^ this is a string
  |
  = help: write `["a.pem"]`
"#,
    );
}

#[test]
fn a_certificate_without_a_key() {
    listener(
        r#"tls = { certificates = [{ chain = "a.pem" }, "", 1] }"#,
        r#"
error: missing key `key`
 --> proxy.toml:5:25
  |
5 | tls = { certificates = [{ chain = "a.pem" }, "", 1] }
  |                         ^^^^^^^^^^^^^^^^^^^ expected `key = ...` in this table

error: this is no path of a file
 --> proxy.toml:5:46
  |
5 | tls = { certificates = [{ chain = "a.pem" }, "", 1] }
  |                                              ^^ expected a path, as in "a.pem"

error: expected a PEM file, as in "a.pem", or a table, as in `{ chain = "a.pem", key = "a.key" }`
 --> proxy.toml:5:50
  |
5 | tls = { certificates = [{ chain = "a.pem" }, "", 1] }
  |                                                  ^ this is an integer
"#,
    );
}

#[test]
fn a_certificate_twice() {
    listener(
        r#"tls = { certificates = ["a.pem", "b.pem", { chain = "a.pem", key = "a.pem" }] }"#,
        r#"
error: the certificate `a.pem` is there already
 --> proxy.toml:5:43
  |
5 | tls = { certificates = ["a.pem", "b.pem", { chain = "a.pem", key = "a.pem" }] }
  |                         -------           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ and here again
  |                         |
  |                         first here
"#,
    );
}

#[test]
fn out_of_range_on_a_listener() {
    listener(
        r#"[listeners.tls]
certificates = ["a.pem"]
timeout = "0"
max-handshakes = 0
min-version = "1.1"
alpn = ["h2", "h2"]"#,
        r#"
error: 0s is out of range
 --> proxy.toml:7:11
  |
7 | timeout = "0"
  |           ^^^ expected 1ms to 1h

error: 0 is out of range
 --> proxy.toml:8:18
  |
8 | max-handshakes = 0
  |                  ^ expected 1 to 1000000

error: unknown value `1.1`
 --> proxy.toml:9:15
  |
9 | min-version = "1.1"
  |               ^^^^^ did you mean `1.2`?
  |
  = note: known values: `1.2`, `1.3`

error: `h2` is there already
  --> proxy.toml:10:15
   |
10 | alpn = ["h2", "h2"]
   |         ----  ^^^^ and here again
   |         |
   |         first here
"#,
    );
}

#[test]
fn detection_out_of_range() {
    listener(
        r#"detection = { timeout = "2h", max-bytes = "1MiB", max-records = 0 }"#,
        r#"
error: 2h is out of range
 --> proxy.toml:5:25
  |
5 | detection = { timeout = "2h", max-bytes = "1MiB", max-records = 0 }
  |                         ^^^^ expected 1ms to 1h

error: 1MiB is out of range
 --> proxy.toml:5:43
  |
5 | detection = { timeout = "2h", max-bytes = "1MiB", max-records = 0 }
  |                                           ^^^^^^ expected 1KiB to 64KiB

error: 0 is out of range
 --> proxy.toml:5:65
  |
5 | detection = { timeout = "2h", max-bytes = "1MiB", max-records = 0 }
  |                                                                 ^ expected 1 to 65536
"#,
    );
}

#[test]
fn names_that_are_passed_on_where_tls_comes_later() {
    listener(
        r#"[listeners.tls]
certificates = ["a.pem"]
start = "on-request"
passthrough = ["a.example"]"#,
        r#"
error: `passthrough` contradicts `start = "on-request"`
 --> proxy.toml:8:15
  |
7 | start = "on-request"
  |         ------------ TLS begins in the middle of a connection
8 | passthrough = ["a.example"]
  |               ^^^^^^^^^^^^^ clients ask for a name after they have asked for TLS
"#,
    );
}

#[test]
fn clients_certificates_that_nobody_signs() {
    listener(
        r#"tls = { certificates = ["a.pem"], client-auth = true }"#,
        r#"
error: expected a table, as in `{ authorities = "ca.pem" }`
 --> proxy.toml:5:49
  |
5 | tls = { certificates = ["a.pem"], client-auth = true }
  |                                                 ^^^^ this is a boolean
"#,
    );
}

#[test]
fn a_word_for_an_upstream() {
    upstream(
        r#"tls = "on""#,
        r#"
error: expected true, false, or a table, as in `{ name = "db.example.com" }`
 --> proxy.toml:3:7
  |
3 | tls = "on"
  |       ^^^^ this is a string
"#,
    );
}

#[test]
fn servers_that_have_nothing_to_prove_and_those_who_sign_for_them() {
    upstream(
        r#"tls = { verify = false, authorities = "ca.pem" }"#,
        r#"
error: `authorities` contradicts `verify = false`
 --> proxy.toml:3:39
  |
3 | tls = { verify = false, authorities = "ca.pem" }
  |                  -----                ^^^^^^^^ nobody would look at these
  |                  |
  |                  servers have nothing to prove
"#,
    );
}

#[test]
fn a_name_with_a_port() {
    upstream(
        r#"tls = { name = "a.example:443" }"#,
        r#"
error: expected a host name, as in "db.example.com"
 --> proxy.toml:3:16
  |
3 | tls = { name = "a.example:443" }
  |                ^^^^^^^^^^^^^^^ a name has no port: write `a.example`
"#,
    );
}

#[test]
fn a_certificate_of_our_own_that_is_none() {
    upstream(
        r#"tls = { certificate = true, alpn = "h2" }"#,
        r#"
error: expected a PEM file, as in "a.pem", or a table, as in `{ chain = "a.pem", key = "a.key" }`
 --> proxy.toml:3:23
  |
3 | tls = { certificate = true, alpn = "h2" }
  |                       ^^^^ this is a boolean

error: expected an array
 --> proxy.toml:3:36
  |
3 | tls = { certificate = true, alpn = "h2" }
  |                                    ^^^^ this is a string
  |
  = help: write `["h2"]`
"#,
    );
}

#[test]
fn a_unix_socket_without_a_name() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1", { address = "unix:/run/x.sock" }]
tls = true
"#,
        r#"
error: a unix socket has no name that its certificate could be for
 --> proxy.toml:3:7
  |
2 | servers = ["a:1", { address = "unix:/run/x.sock" }]
  |                   -------------------------------- this is a unix socket
3 | tls = true
  |       ^^^^ say which with `name`, as in `name = "db.example.com"`
"#,
    );
}

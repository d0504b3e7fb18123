//! `[resolver]`

use super::{LEAST, accepted, seconds, with_listener};

#[test]
fn a_name_server_has_an_address_and_perhaps_a_port() {
    for (typed, meant) in [
        ("10.0.0.53", "10.0.0.53:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("2001:db8::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
    ] {
        let resolver = accepted(&format!("resolver = {{ nameservers = ['{typed}'] }}\n{LEAST}")).resolver;
        assert_eq!(resolver.nameservers, [meant.parse().unwrap()], "{typed}");
        assert_eq!(resolver.timeout, seconds(2));
    }
}

#[test]
fn what_is_no_name_server_is_refused() {
    with_listener(
        r#"
[resolver]
nameservers = ["dns.example", "10.0.0.53:0", "0.0.0.0", 53]
"#,
        r#"
error: expected the address of a name server, as in "10.0.0.53"
 --> proxy.toml:2:16
  |
2 | nameservers = ["dns.example", "10.0.0.53:0", "0.0.0.0", 53]
  |                ^^^^^^^^^^^^^ this is neither `IP` nor `IP:PORT`; an IPv6 address with a port is `[IP]:PORT`

error: expected the address of a name server, as in "10.0.0.53"
 --> proxy.toml:2:31
  |
2 | nameservers = ["dns.example", "10.0.0.53:0", "0.0.0.0", 53]
  |                               ^^^^^^^^^^^^^ nobody can be reached on port 0: expected 1 to 65535

error: expected the address of a name server, as in "10.0.0.53"
 --> proxy.toml:2:46
  |
2 | nameservers = ["dns.example", "10.0.0.53:0", "0.0.0.0", 53]
  |                                              ^^^^^^^^^ this is no address of a machine

error: expected the address of a name server, as in "10.0.0.53"
 --> proxy.toml:2:57
  |
2 | nameservers = ["dns.example", "10.0.0.53:0", "0.0.0.0", 53]
  |                                                         ^^ this is an integer
"#,
    );
}

#[test]
fn somebody_is_asked() {
    with_listener(
        r#"
[resolver]
nameservers = []
"#,
        r#"
error: nobody is asked for names
 --> proxy.toml:2:15
  |
2 | nameservers = []
  |               ^^ expected at least one; those of /etc/resolv.conf are asked without this key
"#,
    );
}

#[test]
fn but_not_everybody() {
    with_listener(
        r#"
[resolver]
nameservers = ["::1", "::2", "::3", "::4", "::5", "::6", "::7", "::8", "::9"]
"#,
        r#"
error: 9 name servers are too many
 --> proxy.toml:2:15
  |
2 | nameservers = ["::1", "::2", "::3", "::4", "::5", "::6", "::7", "::8", "::9"]
  |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected at most 8
"#,
    );
}

#[test]
fn a_lookup_ends() {
    with_listener(
        r#"
[resolver]
timeout = "10ms"
"#,
        r#"
error: 10ms is out of range
 --> proxy.toml:2:11
  |
2 | timeout = "10ms"
  |           ^^^^^^ expected 100ms to 1m
"#,
    );
}

//! Routes of a listener, and of several.

use super::super::{OnChange, Pattern, Refusal, RouteConfig, RouteTarget, TlvCondition, TreatmentConfig, Trusted};
use super::{COMPLETE, accepted, refused, with_upstream};
use crate::protocol::Protocol;

#[test]
fn every_key_arrives() {
    let config = accepted(COMPLETE);
    let routes = &config.listeners[1].routes;
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["green", "routes[1]", "shared.routes[0]", "rest"]);

    let expression = |pattern: &Pattern| match pattern {
        Pattern::Expression { .. } => pattern.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        routes[0],
        RouteConfig {
            name: "green".to_owned(),
            sni: vec![
                Pattern::Ending(".eu.example.com".to_owned()),
                Pattern::Exactly("a.example.com".to_owned()),
                expression(&routes[0].sni[2]),
            ],
            alpn: vec!["h2".to_owned()],
            protocol: vec![Protocol::Postgres, Protocol::Tls],
            client: Some(Trusted {
                networks: vec!["10.0.0.0/8".parse().unwrap()],
                unix: true,
            }),
            destination: vec!["10.0.0.0/8:5432".parse().unwrap(), ":443".parse().unwrap()],
            tlvs: vec![
                TlvCondition {
                    kind: 0xea,
                    value: Some(Pattern::Ending("-1".to_owned())),
                },
                TlvCondition {
                    kind: 0x02,
                    value: None,
                },
            ],
            subject: vec![
                Pattern::Exactly("CN=Alice,O=Example".to_owned()),
                Pattern::Ending(",O=Other".to_owned()),
                expression(&routes[0].subject[2]),
            ],
            target: RouteTarget::Upstream("a-second".to_owned()),
            treatment: TreatmentConfig::default(),
            on_change: OnChange::Keep,
        }
    );
    assert_eq!(routes[0].sni[2].to_string(), r"~db[0-9]+\.example\.com");
    assert_eq!(
        routes[1].target,
        RouteTarget::Split(vec![("blue".to_owned(), 9), ("a-second".to_owned(), 1)])
    );
    assert_eq!(routes[2].target, RouteTarget::Refuse(Refusal::Rst));
    assert_eq!(routes[3].target, RouteTarget::Refuse(Refusal::Alert));
    assert_eq!(config.listeners[0].routes, routes[3..], "one shared route is for all");
}

/// The names in a route that this pattern is alone in, of those that it fits.
fn fits<'a>(key: &str, pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
    let config = accepted(&format!(
        "[upstreams.z]\nservers = ['z:1']\n[[listeners]]\nname = 'a'\naddress = ':1'\nupstream = 'z'\n\
         tls = {{ certificates = ['a'], client-auth = {{ authorities = 'ca' }} }}\n\
         routes = [{{ {key} = ['{pattern}'], refuse = 'fin' }}]\n"
    ));
    let route = &config.listeners[0].routes[0];
    let pattern = route.sni.iter().chain(&route.subject).next().unwrap();
    names.iter().copied().filter(|name| pattern.matches(name)).collect()
}

#[test]
fn names_have_no_case_and_no_dot_at_their_end() {
    let names = ["a.example", "b.a.example", "c.b.a.example", "aa.example", "example"];
    for (pattern, fitting) in [
        ("A.Example.", &["a.example"] as &[_]),
        ("*.A.example", &["b.a.example", "c.b.a.example"]),
        (
            "*.example.",
            &["a.example", "b.a.example", "c.b.a.example", "aa.example"],
        ),
        (r"~A+\.example", &["a.example", "aa.example"]),
        ("~a|example", &["example"]),
        ("~.*", &names),
    ] {
        assert_eq!(fits("sni", pattern, &names), fitting, "{pattern}");
    }
}

#[test]
fn in_other_texts_every_character_counts() {
    let texts = ["", "CN=a", "CN=A", "CN=a,O=b", "O=b,CN=a", "cn=a."];
    for (pattern, fitting) in [
        ("CN=a", &["CN=a"] as &[_]),
        ("cn=a.", &["cn=a."]),
        ("*CN=a", &["O=b,CN=a"]),
        ("*", &texts[1..]),
        ("~CN=.", &["CN=a", "CN=A"]),
        ("~(?i)cn=a", &["CN=a", "CN=A"]),
    ] {
        assert_eq!(fits("subject", pattern, &texts), fitting, "{pattern}");
    }
}

#[test]
fn a_route_without_conditions_is_the_last() {
    let config = accepted(
        "[upstreams.z]\nservers = ['z:1']\n[[listeners]]\nname = 'a'\naddress = ':1'\n\
         routes = [{ protocol = ['ssh'], refuse = 'fin' }, { upstream = 'z' }]\n",
    );
    let route = &config.listeners[0].routes[1];
    assert_eq!((route.name.as_str(), &route.client), ("routes[1]", &None));
    assert_eq!(config.listeners[0].upstream, None);
}

#[test]
fn every_protocol_that_can_be_told_is_a_condition() {
    for protocol in Protocol::ALL {
        let text = format!(
            "[upstreams.z]\nservers = ['z:1']\n[[listeners]]\nname = 'a'\naddress = ':1'\n\
             routes = [{{ protocol = ['{protocol}'], upstream = 'z' }}]\n"
        );
        if protocol.is_server_first() {
            assert!(refused(&text).contains("the server speaks first"), "{protocol}");
        } else {
            assert_eq!(accepted(&text).listeners[0].routes[0].protocol, [*protocol]);
        }
    }
}

#[test]
fn a_shared_route_is_behind_those_of_each_listener_that_it_is_for() {
    let config = accepted(
        "[upstreams.z]\nservers = ['z:1']\n\
         [[listeners]]\nname = 'a'\naddress = ':1'\nroutes = [{ protocol = ['ssh'], refuse = 'fin' }]\n\
         [[listeners]]\nname = 'b'\naddress = ':2'\n\
         [[listeners]]\nname = 'c'\naddress = ':3'\nupstream = 'z'\n\
         [[routes]]\nname = 'tls'\nlisteners = ['a', 'c']\nprotocol = ['tls']\nupstream = 'z'\n\
         [[routes]]\nlisteners = ['b', 'a']\nupstream = 'z'\n",
    );
    let names = config.listeners.iter().map(|listener| {
        let names = listener.routes.iter().map(|route| route.name.as_str());
        names.collect::<Vec<_>>()
    });
    let expected = [
        vec!["routes[0]", "tls", "shared.routes[1]"],
        vec!["shared.routes[1]"],
        vec!["tls"],
    ];
    assert!(names.eq(expected));
}

#[test]
fn what_is_wrong_with_a_shared_route_is_said_once() {
    let said = refused(
        "[upstreams.z]\nservers = ['z:1']\n\
         [[listeners]]\nname = 'a'\naddress = ':1'\nupstream = 'z'\n\
         [[listeners]]\nname = 'b'\naddress = ':2'\nupstream = 'z'\n\
         [[routes]]\nsubject = ['CN=a']\nrefuse = 'rst'\n",
    );
    assert_eq!(said.matches("error:").count(), 1, "{said}");
}

#[test]
fn a_listener_that_cannot_be_read_is_no_reason_to_doubt_its_routes() {
    let said = refused(
        "[upstreams.z]\nservers = ['z:1']\n\
         [[listeners]]\nname = 'A'\naddress = ':1'\nupstream = 'z'\ntls = { certificates = 1 }\n\
         routes = [{ subject = ['CN=a'], upstream = 'z' }]\n\
         [[routes]]\nlisteners = ['b']\nrefuse = 'rst'\n",
    );
    assert_eq!(said.matches("error:").count(), 2, "{said}");
}

/// A listener with this at line 5.
#[track_caller]
fn listener(key: &str, said: &str) {
    with_upstream(
        &format!("\n[[listeners]]\nname = \"a\"\naddress = \":443\"\nupstream = \"z\"\n{key}\n"),
        said,
    );
}

#[test]
fn a_route_without_a_target() {
    listener(
        r#"[[listeners.routes]]
sni = ["a.example"]"#,
        r"
error: none of `upstream`, `split`, `refuse`
 --> proxy.toml:5:1
  |
5 | [[listeners.routes]]
  | ^^^^^^^^^^^^^^^^^^^^ expected one of them in this table
",
    );
}

#[test]
fn a_route_with_two_targets() {
    listener(
        r#"[[listeners.routes]]
upstream = "z"
refuse = "fin""#,
        r#"
error: a route with both `upstream` and `refuse`
 --> proxy.toml:7:10
  |
6 | upstream = "z"
  |            --- `upstream` is here
7 | refuse = "fin"
  |          ^^^^^ expected one of them
"#,
    );
}

#[test]
fn an_upstream_that_there_is_not() {
    listener(
        r#"routes = [{ upstream = "y" }]"#,
        r#"
error: there is no upstream `y`
 --> proxy.toml:5:24
  |
5 | routes = [{ upstream = "y" }]
  |                        ^^^
  |
  = note: known upstreams: `z`
"#,
    );
}

#[test]
fn one_name_where_a_list_is_expected() {
    listener(
        r#"routes = [{ sni = "a.example", upstream = "z" }]"#,
        r#"
error: expected an array
 --> proxy.toml:5:19
  |
5 | routes = [{ sni = "a.example", upstream = "z" }]
  |                   ^^^^^^^^^^^ this is a string
  |
  = help: write `["a.example"]`
"#,
    );
}

#[test]
fn an_empty_list_of_names() {
    listener(
        r#"routes = [{ sni = [], upstream = "z" }]"#,
        r#"
error: nothing could ever be one of none
 --> proxy.toml:5:19
  |
5 | routes = [{ sni = [], upstream = "z" }]
  |                   ^^ leave the key out, or write what is meant
"#,
    );
}

#[test]
fn what_is_no_name() {
    listener(
        r#"[[listeners.routes]]
sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
upstream = "z""#,
        r#"
error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:8
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |        ^^^^^^^^^^ clients ask for names only: TLS has no place for an IP address here (RFC 6066, section 3)

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:20
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                    ^^^^^^^^^^^^^^^ clients ask for names only: TLS has no place for an IP address here (RFC 6066, section 3)

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:37
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                     ^^^^^ a host name has letters, digits, `-`, `_` and `.`, found ' '

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:44
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                            ^^^^^^^^^^^^^ `*.` stands for the beginning of a name and nothing else: write '~a\..*\.example'

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:59
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                           ^^^ `*.` stands for the beginning of a name and nothing else: write '~.*'

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:64
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                                ^^ there is nothing to compare with

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:68
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                                    ^^^^ there is nothing to compare with

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:74
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                                          ^^^^^^^^ expected 1 to 63 characters between the dots of a host name, found ``

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:84
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                                                    ^^^^^ this is no regular expression: unclosed group

error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:6:91
  |
6 | sni = ["10.0.0.1", "[2001:db8::1]", "a b", "a.*.example", "*", "", "*.", "*.a..b", '~a(', '~']
  |                                                                                           ^^^ there is nothing to compare with
"#,
    );
}

#[test]
fn an_expression_that_grows() {
    listener(
        r#"routes = [{ sni = ['~(\w{1,100}){100}'], upstream = "z" }]"#,
        r#"
error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:5:20
  |
5 | routes = [{ sni = ['~(\w{1,100}){100}'], upstream = "z" }]
  |                    ^^^^^^^^^^^^^^^^^^^ this is no regular expression: it is too large: repeat less in it
"#,
    );
}

#[test]
fn brackets_that_belong_to_nothing() {
    listener(
        r#"routes = [{ sni = ['~a)|(b'], upstream = "z" }]"#,
        r#"
error: expected a host name, as in "a.example.com", or a pattern, as in "*.example.com"
 --> proxy.toml:5:20
  |
5 | routes = [{ sni = ['~a)|(b'], upstream = "z" }]
  |                    ^^^^^^^^ this is no regular expression: unopened group
"#,
    );
}

#[test]
fn what_is_no_pattern_of_a_text() {
    listener(
        r#"[[listeners.routes]]
proxy-tlv = [{ type = "0xEA", value = "vpce-*" }, { type = "EA" }, { value = "" }]
upstream = "z""#,
        r#"
error: expected a text, or a pattern, as in "*end" or "~expression"
 --> proxy.toml:6:39
  |
6 | proxy-tlv = [{ type = "0xEA", value = "vpce-*" }, { type = "EA" }, { value = "" }]
  |                                       ^^^^^^^^ `*` stands for the beginning of a text and nothing else: write '~vpce-.*', or '~vpce-\*' for the character

error: expected the type of a TLV, as in "0xEA"
 --> proxy.toml:6:60
  |
6 | proxy-tlv = [{ type = "0xEA", value = "vpce-*" }, { type = "EA" }, { value = "" }]
  |                                                            ^^^^ expected `0x` and two hexadecimal digits

error: missing key `type`
 --> proxy.toml:6:68
  |
6 | proxy-tlv = [{ type = "0xEA", value = "vpce-*" }, { type = "EA" }, { value = "" }]
  |                                                                    ^^^^^^^^^^^^^^ expected `type = ...` in this table

error: expected a text, or a pattern, as in "*end" or "~expression"
 --> proxy.toml:6:78
  |
6 | proxy-tlv = [{ type = "0xEA", value = "vpce-*" }, { type = "EA" }, { value = "" }]
  |                                                                              ^^ there is nothing to compare with
"#,
    );
}

#[test]
fn a_name_twice() {
    listener(
        r#"routes = [{ sni = ["a.example", "A.example."], alpn = ["h2", "h2"], protocol = ["tls", "tls"], upstream = "z" }]"#,
        r#"
error: `a.example` is there already
 --> proxy.toml:5:33
  |
5 | routes = [{ sni = ["a.example", "A.example."], alpn = ["h2", "h2"], protocol = ["tls", "tls"], upstream = "z" }]
  |                    -----------  ^^^^^^^^^^^^ and here again
  |                    |
  |                    first here

error: `h2` is there already
 --> proxy.toml:5:62
  |
5 | routes = [{ sni = ["a.example", "A.example."], alpn = ["h2", "h2"], protocol = ["tls", "tls"], upstream = "z" }]
  |                                                        ----  ^^^^ and here again
  |                                                        |
  |                                                        first here

error: `tls` is there already
 --> proxy.toml:5:88
  |
5 | routes = [{ sni = ["a.example", "A.example."], alpn = ["h2", "h2"], protocol = ["tls", "tls"], upstream = "z" }]
  |                                                                                 -----  ^^^^^ and here again
  |                                                                                 |
  |                                                                                 first here
"#,
    );
}

#[test]
fn a_protocol_whose_server_speaks_first() {
    listener(
        r#"routes = [{ protocol = ["mysql", "smtp", "sql"], upstream = "z" }]"#,
        r#"
error: the server speaks first in mysql, so it is not known when the route is chosen
 --> proxy.toml:5:25
  |
5 | routes = [{ protocol = ["mysql", "smtp", "sql"], upstream = "z" }]
  |                         ^^^^^^^ expected another protocol, or another condition

error: the server speaks first in smtp, so it is not known when the route is chosen
 --> proxy.toml:5:34
  |
5 | routes = [{ protocol = ["mysql", "smtp", "sql"], upstream = "z" }]
  |                                  ^^^^^^ expected another protocol, or another condition

error: unknown value `sql`
 --> proxy.toml:5:42
  |
5 | routes = [{ protocol = ["mysql", "smtp", "sql"], upstream = "z" }]
  |                                          ^^^^^
  |
  = note: known values: `tls`, `http1`, `http2`, `ssh`, `postgres`, `mysql`, `redis`, `smtp`, `mqtt`, `socks`, `proxy`
"#,
    );
}

#[test]
fn a_protocol_of_alpn_without_a_name() {
    listener(
        r#"routes = [{ alpn = [""], upstream = "z" }]"#,
        r#"
error: expected the name of a protocol in ALPN, as in "h2"
 --> proxy.toml:5:21
  |
5 | routes = [{ alpn = [""], upstream = "z" }]
  |                     ^^ expected 1 to 255 bytes, this has 0
"#,
    );
}

#[test]
fn a_route_behind_one_that_takes_all() {
    listener(
        r#"[[listeners.routes]]
name = "all"
upstream = "z"
[[listeners.routes]]
sni = ["a.example"]
refuse = "fin""#,
        r#"
error: no connection ever comes to this route
 --> proxy.toml:8:1
  |
6 | name = "all"
  |        ----- this one has no conditions
7 | upstream = "z"
8 | [[listeners.routes]]
  | ^^^^^^^^^^^^^^^^^^^^ the route `all` takes all that come to it
"#,
    );
}

#[test]
fn a_route_behind_one_with_the_same_conditions() {
    listener(
        r#"[[listeners.routes]]
sni = ["a.example", "b.example"]
upstream = "z"
[[listeners.routes]]
sni = ["B.example", "a.example"]
refuse = "fin""#,
        r"
error: no connection ever comes to this route
 --> proxy.toml:8:1
  |
5 | [[listeners.routes]]
  | -------------------- this one has the same conditions
...
8 | [[listeners.routes]]
  | ^^^^^^^^^^^^^^^^^^^^ the route `routes[0]` takes all of its kind
",
    );
}

#[test]
fn the_name_of_a_route_twice() {
    listener(
        r#"routes = [{ name = "a", sni = ["a.example"], upstream = "z" }, { name = "a", upstream = "z" }]"#,
        r#"
error: the route name `a` is taken
 --> proxy.toml:5:73
  |
5 | routes = [{ name = "a", sni = ["a.example"], upstream = "z" }, { name = "a", upstream = "z" }]
  |                    --- first here                                       ^^^ and here again
"#,
    );
}

#[test]
fn a_name_of_a_route_that_cannot_be() {
    listener(
        r#"routes = [{ name = "Green One", upstream = "z" }]"#,
        r#"
error: `Green One` cannot be a name
 --> proxy.toml:5:20
  |
5 | routes = [{ name = "Green One", upstream = "z" }]
  |                    ^^^^^^^^^^^ expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit
  |
  = help: write `green-one`
"#,
    );
}

#[test]
fn a_header_on_a_listener_without_one() {
    listener(
        r#"routes = [{ proxy-tlv = [{ type = "0xEA" }], upstream = "z" }]"#,
        r#"
error: without `proxy-protocol` on the listener there is no header to look at
 --> proxy.toml:5:25
  |
5 | routes = [{ proxy-tlv = [{ type = "0xEA" }], upstream = "z" }]
  |                         ^^^^^^^^^^^^^^^^^^^ expected no such condition, or `proxy-protocol`
"#,
    );
}

#[test]
fn a_subject_on_a_listener_without_certificates() {
    listener(
        r#"tls = { certificates = ["a.pem"] }
routes = [{ subject = ["*,O=Example"], upstream = "z" }]"#,
        r#"
error: without `tls.client-auth` on the listener no client shows a certificate
 --> proxy.toml:6:23
  |
6 | routes = [{ subject = ["*,O=Example"], upstream = "z" }]
  |                       ^^^^^^^^^^^^^^^ expected no such condition, or `client-auth`
"#,
    );
}

#[test]
fn a_name_on_a_listener_where_tls_comes_later() {
    listener(
        r#"tls = { certificates = ["a.pem"], start = "on-request" }
routes = [{ sni = ["a.example"], upstream = "z" }]"#,
        r#"
error: the route is chosen before TLS is asked for
 --> proxy.toml:6:19
  |
6 | routes = [{ sni = ["a.example"], upstream = "z" }]
  |                   ^^^^^^^^^^^^^ expected no such condition where `tls.start` is "on-request"
"#,
    );
}

#[test]
fn a_split_of_one() {
    listener(
        r#"routes = [{ split = [{ upstream = "z" }] }]"#,
        r#"
error: a split has at least two upstreams
 --> proxy.toml:5:21
  |
5 | routes = [{ split = [{ upstream = "z" }] }]
  |                     ^^^^^^^^^^^^^^^^^^^^ expected more of them, or `upstream = "..."`
"#,
    );
}

#[test]
fn a_split_of_nothing() {
    listener(
        r#"routes = [{ split = [{ upstream = "z", weight = 0 }, { upstream = "y", weight = 0 }] }]
[upstreams.y]
servers = ["y:1"]"#,
        r#"
error: every upstream of this split has the weight 0
 --> proxy.toml:5:21
  |
5 | routes = [{ split = [{ upstream = "z", weight = 0 }, { upstream = "y", weight = 0 }] }]
  |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected one that is not 0, or `refuse`
"#,
    );
}

#[test]
fn a_split_with_an_upstream_twice() {
    listener(
        r#"routes = [{ split = [{ upstream = "z" }, { upstream = "z", weight = 1001 }] }]"#,
        r#"
error: `z` has a share already
 --> proxy.toml:5:55
  |
5 | routes = [{ split = [{ upstream = "z" }, { upstream = "z", weight = 1001 }] }]
  |                                   --- first here      ^^^ and here again

error: 1001 is out of range
 --> proxy.toml:5:69
  |
5 | routes = [{ split = [{ upstream = "z" }, { upstream = "z", weight = 1001 }] }]
  |                                                                     ^^^^ expected 0 to 1000
"#,
    );
}

#[test]
fn an_unknown_refusal() {
    listener(
        r#"routes = [{ refuse = "reset" }]"#,
        r#"
error: unknown value `reset`
 --> proxy.toml:5:22
  |
5 | routes = [{ refuse = "reset" }]
  |                      ^^^^^^^
  |
  = note: known values: `alert`, `fin`, `rst`
"#,
    );
}

#[test]
fn a_shared_route_for_a_listener_that_there_is_not() {
    listener(
        r#"[[routes]]
listeners = ["b"]
refuse = "rst""#,
        r#"
error: there is no listener `b`
 --> proxy.toml:6:14
  |
6 | listeners = ["b"]
  |              ^^^
  |
  = note: known listeners: `a`
"#,
    );
}

#[test]
fn a_shared_route_for_no_listener() {
    listener(
        r#"[[routes]]
listeners = []
refuse = "rst""#,
        r"
error: this route is for no listener
 --> proxy.toml:6:13
  |
6 | listeners = []
  |             ^^ leave the key out, and it is for all of them
",
    );
}

#[test]
fn a_shared_route_that_cannot_match_on_one_listener() {
    listener(
        r#"[[routes]]
proxy-tlv = [{ type = "0xEA" }]
refuse = "rst""#,
        r#"
error: without `proxy-protocol` on the listener there is no header to look at
 --> proxy.toml:6:13
  |
6 | proxy-tlv = [{ type = "0xEA" }]
  |             ^^^^^^^^^^^^^^^^^^^ expected no such condition, or `proxy-protocol`
  |
  = help: where the listener `a` is not meant: name those that are with `listeners`
"#,
    );
}

#[test]
fn a_shared_route_behind_a_listeners_own_that_takes_all() {
    listener(
        r#"[[listeners.routes]]
upstream = "z"
[[routes]]
refuse = "rst""#,
        r#"
error: no connection ever comes to this route
 --> proxy.toml:7:1
  |
5 | [[listeners.routes]]
  | -------------------- this one has no conditions
6 | upstream = "z"
7 | [[routes]]
  | ^^^^^^^^^^ the route `routes[0]` takes all that come to it
  |
  = help: where the listener `a` is not meant: name those that are with `listeners`
"#,
    );
}

#[test]
fn a_shared_route_with_the_name_of_a_listeners_own() {
    listener(
        r#"[[listeners.routes]]
name = "x"
sni = ["a.example"]
upstream = "z"
[[routes]]
name = "x"
refuse = "rst""#,
        r#"
error: the route name `x` is taken
  --> proxy.toml:10:8
   |
 6 | name = "x"
   |        --- first here
...
10 | name = "x"
   |        ^^^ and here again
"#,
    );
}

#[test]
fn a_listener_whose_routes_all_refuse() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":443"
routes = [{ refuse = "fin" }]
"#,
        r"
error: this listener can never reach an upstream
 --> proxy.toml:1:1
  |
1 | [[listeners]]
  | ^^^^^^^^^^^^^ expected an `upstream`, or `routes` or `filters` that choose one
",
    );
}

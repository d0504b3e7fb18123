use super::super::{ListenerSocket, SocketOptions, UpstreamSocket};
use super::{COMPLETE, LEAST, accepted, refused, seconds, with_upstream};

/// What the file of the least says with that beside it.
fn of_upstream(typed: &str) -> String {
    refused(&format!("{LEAST}\nupstreams.a.{typed}"))
}

fn of_listener(typed: &str, address: &str) -> String {
    refused(&format!(
        "upstreams.a.servers = ['a:1']\n[[listeners]]\nname = 'a'\naddress = '{address}'\nupstream = 'a'\nsocket = {typed}"
    ))
}

#[test]
fn options_are_what_they_are_called() {
    let config = accepted(COMPLETE);
    let options = SocketOptions {
        receive_buffer: Some(64 << 10),
        send_buffer: Some(1 << 30),
        congestion_control: Some("bbr".to_owned()),
        notsent_lowat: Some(16 << 10),
        dscp: Some(46),
        mark: Some(16),
        device: Some("eth0".to_owned()),
        mss: Some(1_400),
        freebind: false,
    };
    let wanted = ListenerSocket {
        options,
        defer_accept: Some(seconds(5)),
        fast_open: Some(256),
        is_transparent: false,
    };
    assert_eq!(config.listeners[0].socket, wanted);
    assert_eq!(config.listeners[1].socket, ListenerSocket::default());
    let options = SocketOptions {
        congestion_control: Some("cubic".to_owned()),
        device: Some("lo".to_owned()),
        ..SocketOptions::default()
    };
    let fast_open = false;
    assert_eq!(config.upstreams[1].socket, Some(UpstreamSocket { options, fast_open }));
    assert_eq!(config.upstreams[0].socket, None);
    let shown = config.shown();
    assert_eq!(shown["listeners"][0]["socket"]["receive-buffer"], "64KiB");
    assert_eq!(shown["listeners"][0]["socket"]["defer-accept"], "5s");
    assert_eq!(shown["upstreams"]["a-second"]["socket"]["device"], "lo");
    assert!(shown["listeners"][1].get("socket").is_none());
}

#[test]
fn a_table_that_says_nothing_is_none() {
    let config = accepted(&format!("{LEAST}\nupstreams.a.socket = {{ freebind = false }}"));
    assert_eq!(config.upstreams[0].socket, None);
}

#[test]
fn classes_have_numbers_and_names() {
    for (typed, class) in [("0", 0), ("63", 63), ("'le'", 1), ("'af41'", 34), ("'CS7'", 56)] {
        let config = accepted(&format!("{LEAST}\nupstreams.a.socket.dscp = {typed}"));
        assert_eq!(
            config.upstreams[0].socket.as_ref().unwrap().options.dscp,
            Some(class),
            "{typed}"
        );
    }
    let said = of_upstream("socket.dscp = 184");
    assert!(
        said.contains("184 is out of range") && said.contains("is the class 46"),
        "{said}"
    );
    assert!(!of_upstream("socket.dscp = 64.5").contains("is the class"));
    assert!(of_upstream("socket.dscp = 'af44'").contains("the names are `cs0`, `le`"));
}

#[test]
fn what_no_kernel_takes_is_refused() {
    for (typed, said) in [
        ("socket.receive-buffer = '1KiB'", "expected 4KiB to 1GiB"),
        ("socket.notsent-lowat = 0", "expected 1KiB to 1GiB"),
        ("socket.mark = 0", "expected 1 to 4294967295"),
        ("socket.mss = 40", "expected 88 to 32767"),
        ("socket.device = 'a/b'", "is no name of a network interface"),
        (
            "socket.congestion-control = 'a-name-of-16-cha'",
            "expected 1 to 15 characters",
        ),
        ("socket.fast-opne = true", "did you mean `fast-open`?"),
    ] {
        let all = of_upstream(typed);
        assert!(all.contains(said), "{typed}: {all}");
    }
    assert!(of_listener("{ defer-accept = '0' }", ":1").contains("expected 1s to 1m"));
    assert!(of_listener("{ defer-accept = '1500ms' }", ":1").contains("write \"2s\""));
    assert!(of_listener("{ fast-open = true }", ":1").contains("expected an integer"));
}

#[test]
fn options_that_do_nothing_are_refused() {
    let said = of_upstream("socket.fast-open = true");
    assert!(said.contains("add `connect = \"first-byte\"`"), "{said}");
    for speaks in ["connect = 'first-byte'", "proxy-protocol = 'v1'", "tls = true"] {
        accepted(&format!(
            "{LEAST}\nupstreams.a.socket.fast-open = true\nupstreams.a.{speaks}"
        ));
    }
    assert!(of_upstream("socket.freebind = true").contains("no effect without `source`"));
    accepted(&format!(
        "{LEAST}\nupstreams.a.socket.freebind = true\nupstreams.a.source = '192.0.2.1'"
    ));
    assert!(of_listener("{ freebind = true }", ":1").contains("all addresses are listened on"));
    let warm = "socket.fast-open = true\nupstreams.a.tls = true\nupstreams.a.preconnect = 1";
    assert!(of_upstream(warm).contains("`preconnect` contradicts `socket.fast-open`"));
}

#[test]
fn a_unix_socket_has_a_buffer_and_nothing_else() {
    assert!(of_listener("{ send-buffer = '64KiB' }", "unix:/run/a.sock").contains("has none of these options"));
    let unix = |options: &str| {
        format!(
            "listeners = [{{ name = 'a', address = ':1', upstream = 'a' }}]\n\
             [upstreams.a]\nservers = ['a:1', 'unix:/run/a.sock']\nsocket = {{ {options} }}"
        )
    };
    accepted(&unix("send-buffer = '64KiB'"));
    let said = refused(&unix("send-buffer = '64KiB', dscp = 1, mark = 2"));
    assert!(
        said.contains("`dscp` means nothing for a unix socket") && said.contains("`mark` means nothing"),
        "{said}"
    );
}

#[test]
fn mistakes_stand_under_their_lines() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":1"
upstream = "z"
socket = { mss = 20, dscp = "best" }
"#,
        r#"
error: 20 is out of range
 --> proxy.toml:5:18
  |
5 | socket = { mss = 20, dscp = "best" }
  |                  ^^ expected 88 to 32767

error: expected 0 to 63, or a name, as in "ef"
 --> proxy.toml:5:29
  |
5 | socket = { mss = 20, dscp = "best" }
  |                             ^^^^^^ the names are `cs0`, `le`, `cs1`, `af11`, `af12`, `af13`, `cs2`, `af21`, `af22`, `af23`, `cs3`, `af31`, `af32`, `af33`, `cs4`, `af41`, `af42`, `af43`, `cs5`, `va`, `ef`, `cs6`, `cs7`
"#,
    );
}

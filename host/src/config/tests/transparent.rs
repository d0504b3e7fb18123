use super::super::{Transparent, UpstreamConfig};
use super::{COMPLETE, accepted, alone, refused};

const TRANSPARENT: &str = "listeners = [{ name = 'a', address = ':1', upstream = 'a', transparent = 'redirect' }]";

fn upstream(keys: &str) -> UpstreamConfig {
    let mut config = accepted(&format!("{TRANSPARENT}\n[upstreams.a]\n{keys}"));
    config.upstreams.remove(0)
}

fn upstream_refused(keys: &str) -> String {
    refused(&format!("{TRANSPARENT}\n[upstreams.a]\n{keys}"))
}

#[test]
fn connections_may_go_on_to_where_they_were_to_go() {
    let config = accepted(COMPLETE);
    assert_eq!(config.listeners[0].transparent, None);
    assert_eq!(config.listeners[1].transparent, Some(Transparent::Redirect));
    let onwards = &config.upstreams[2];
    let to = ["10.0.0.0/8", ":443"].map(|one| one.parse().unwrap());
    assert_eq!(onwards.original_destination.as_deref(), Some(&to[..]));
    assert!(onwards.servers.is_empty() && onwards.source.is_empty() && onwards.as_client);
    let shown = config.shown();
    assert_eq!(shown["upstreams"]["onwards"]["original-destination"][1], ":443");
    assert_eq!(shown["upstreams"]["onwards"]["source"], "client");
    assert_eq!(shown["listeners"][1]["transparent"], "redirect");
    assert_eq!(shown["listeners"][1]["routes"][0]["destination"][0], "10.0.0.0/8:5432");

    let anywhere = upstream("original-destination = true");
    assert_eq!(anywhere.original_destination.as_deref(), Some(&[][..]));
    let tproxy = TRANSPARENT.replace("redirect", "tproxy");
    let config = accepted(&format!("{tproxy}\nupstreams.a.original-destination = true"));
    assert!(config.listeners[0].socket.is_transparent);
    assert!(config.shown()["listeners"][0].get("socket").is_none());
}

#[test]
fn nobody_goes_on_who_was_to_come_here() {
    alone(
        r#"
[[listeners]]
name = "a"
address = ":1"
upstream = "on"

[upstreams.on]
original-destination = true
"#,
        r#"
error: the upstream `on` sends connections to where they were to go, and these were to come here
 --> proxy.toml:4:12
  |
4 | upstream = "on"
  |            ^^^^ expected an upstream with `servers`
  |
  = help: or add `transparent = "redirect"` or `"tproxy"` to the listener, and the rule of netfilter that it is for
"#,
    );
    let by_route = "listeners = [{ name = 'a', address = ':1', routes = [{ TARGET }] }]\n\
                    [upstreams.on]\noriginal-destination = true\n[upstreams.b]\nservers = ['b:1']";
    for target in ["upstream = 'on'", "split = [{ upstream = 'b' }, { upstream = 'on' }]"] {
        let said = refused(&by_route.replace("TARGET", target));
        assert!(said.contains("the upstream `on` sends connections"), "{said}");
        let transparent = by_route
            .replace("address", "transparent = 'tproxy', address")
            .replace("TARGET", target);
        accepted(&transparent);
    }
    let by_destination = "upstream = 'b', destination = ['10.0.0.0/8']";
    let said = refused(&by_route.replace("TARGET", by_destination));
    assert!(said.contains("it is not known where connections were to go"), "{said}");
}

#[test]
fn what_is_about_servers_has_no_effect_without_them() {
    for (key, value) in [
        ("servers", "['a:1']"),
        ("balance", "'random'"),
        ("retries", "1"),
        ("queue", "{}"),
        ("preconnect", "1"),
        ("health", "{}"),
        ("passive", "{}"),
        ("dns", "{}"),
    ] {
        let said = upstream_refused(&format!("original-destination = true\n{key} = {value}"));
        assert!(
            said.contains(&format!("`{key}` has no effect with `original-destination`")),
            "{key}: {said}"
        );
    }
    let said = upstream_refused("connect = 'at-once'");
    assert!(said.contains("neither `servers` nor `original-destination`"), "{said}");
    for wrong in [
        "false",
        "[]",
        "'10.0.0.0/8'",
        "['10.0.0.1/8']",
        "[':0']",
        "[':1', ':1']",
    ] {
        upstream_refused(&format!("original-destination = {wrong}"));
    }
}

#[test]
fn whoever_connects_as_the_client_has_to_have_one() {
    assert!(upstream("servers = ['a:1']\nsource = 'client'").as_client);
    for (keys, said) in [
        ("servers = ['unix:/a']", "means nothing for a unix socket"),
        (
            "servers = ['a:1']\npreconnect = 1",
            "`preconnect` contradicts `source = \"client\"`",
        ),
        (
            "servers = ['a:1']\nsocket.freebind = true",
            "no effect without `source`",
        ),
    ] {
        let all = upstream_refused(&format!("source = 'client'\n{keys}"));
        assert!(all.contains(said), "{keys}: {all}");
    }
    assert!(upstream_refused("servers = ['a:1']\nsource = 'clients'").contains("neither an IPv4 nor an IPv6 address"));
}

#[test]
fn a_unix_socket_is_on_nobodys_way() {
    let unix = TRANSPARENT.replace("':1'", "'unix:/run/a.sock'");
    let said = refused(&format!("{unix}\nupstreams.a.servers = ['a:1']"));
    assert!(said.contains("nobody is led to a unix socket"), "{said}");
    let said = refused(&format!(
        "{}\nupstreams.a.servers = ['a:1']",
        TRANSPARENT.replace("redirect", "tprox")
    ));
    assert!(said.contains("did you mean `tproxy`?"), "{said}");
}

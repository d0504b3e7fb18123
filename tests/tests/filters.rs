//! Filters: every answer of the contract is honoured, and a filter that fails costs nobody else anything.
//!
//! The guests (`tests/guests`) are scripted by their configuration, so that a test says in one place what the filter
//! answers and what becomes of the connection.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use spliceway_tests::artifacts::{filter, guest};
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::servers::Redis;
use spliceway_tests::{Client, Peer, Proxy, Upstream, alone};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

// ---- routers: asked before there is an upstream ----

struct Routed {
    proxy: Proxy,
    _upstreams: [Upstream; 2],
}

/// Two upstreams that say their names; the router decides, as its script says.
fn routed(script: Value) -> Routed {
    let (default, green) = (Upstream::named("default"), Upstream::named("green"));
    let proxy = Proxy::forward(default.address())
        .upstream("green", green.address())
        .filter_with(guest("router-script"), script)
        .start();
    Routed {
        proxy,
        _upstreams: [default, green],
    }
}

fn green() -> Value {
    json!({ "decision": "route", "upstream": "green" })
}

fn need(bytes: usize, then: Value) -> Value {
    json!({ "decision": "need", "bytes": bytes, "then": then })
}

/// Asks for more even when there will be no more.
fn insist(bytes: usize, then: Value) -> Value {
    json!({ "decision": "need", "bytes": bytes, "insist": true, "then": then })
}

fn exchange(consume: usize, reply: &str, then: Value) -> Value {
    json!({ "decision": "exchange", "consume": consume, "reply": reply, "then": then })
}

#[test]
fn a_router_that_passes_leaves_the_configured_upstream() {
    let scene = routed(json!({ "decision": "pass" }));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"hello");
    client.expect(b"defaulthello");
}

#[test]
fn a_router_routes_and_then_costs_nothing() {
    let _alone = alone();
    let scene = routed(green());
    let mut client = Client::connect(scene.proxy.address());
    let sent = pattern(1, 8 * MIB);
    client.send(b"x");
    client.expect(b"greenx");
    let address = client.another();
    assert_eq!(digest(&echoed(client, &sent)), digest(&sent));

    let transfer = scene.proxy.ended(&address);
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (0, 0), "{transfer:?}");
    assert!(transfer.up_spliced > 7 * MIB as u64, "{transfer:?}");
}

#[test]
fn a_router_that_needs_more_bytes_is_asked_again_when_they_came_and_loses_none() {
    let scene = routed(need(4, need(8, green())));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"ab");
    client.expect_silence(Duration::from_millis(100));
    client.send(b"cd");
    client.expect_silence(Duration::from_millis(100));
    client.send(b"efgh and more");
    client.expect(b"greenabcdefgh and more");
}

#[test]
fn a_router_can_talk_to_the_client_before_there_is_an_upstream() {
    let scene = routed(need(8, exchange(8, "N", need(5, green()))));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"starttls");
    client.expect(b"N");
    client.send(b"hello");
    client.expect(b"greenhello");
}

#[test]
fn a_router_and_a_client_can_have_sixteen_exchanges_and_no_more() {
    let exchanges = |count| (0..count).fold(green(), |then, _| need(2, exchange(2, "N", then)));
    let scene = routed(exchanges(16));
    let mut client = Client::connect(scene.proxy.address());
    for _ in 0..16 {
        client.send(b"hi");
        client.expect(b"N");
    }
    client.send(b"hello");
    client.expect(b"greenhello");

    let scene = routed(exchanges(17));
    let mut client = Client::connect(scene.proxy.address());
    for _ in 0..16 {
        client.send(b"hi");
        client.expect(b"N");
    }
    client.send(b"hi");
    assert_eq!(client.expect_closed(), b"");
    router_broke_the_contract(&scene, &client, "16 exchanges");
}

#[test]
fn consuming_more_than_there_is_is_an_error_of_the_router() {
    let scene = routed(need(2, exchange(3, "N", green())));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"hi");
    assert_eq!(client.expect_closed(), b"", "the reply is not sent either");
    router_broke_the_contract(&scene, &client, "consumed 3 bytes");
}

#[test]
fn a_connection_that_a_router_refuses_is_closed_as_it_says() {
    let refuse = |reset: bool| json!({ "decision": "refuse", "reason": "not today", "reset": reset });
    let scene = routed(need(1, refuse(false)));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"x");
    client.expect_eof();
    assert_eq!(scene.proxy.ended(&client).outcome, "route.filter-refused.proxy");

    let scene = routed(need(1, refuse(true)));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"x");
    client.expect_reset();
    assert_eq!(scene.proxy.ended(&client).outcome, "route.filter-refused.proxy");
}

#[test]
fn an_upstream_that_does_not_exist_is_an_error_of_the_router() {
    // Only once the client has spoken: a RST at once may come before connect(2) has returned.
    let scene = routed(need(1, json!({ "decision": "route", "upstream": "nowhere" })));
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"x");
    assert_eq!(client.expect_closed(), b"");
    router_broke_the_contract(&scene, &client, "nowhere");
}

#[track_caller]
fn router_broke_the_contract(scene: &Routed, client: &Peer, says: &str) {
    let failed = scene.proxy.wait_for("filter failed", |_| true);
    assert_eq!(failed.text("kind"), "contract");
    assert!(failed.text("error").contains(says), "{failed}");
    assert_eq!(scene.proxy.ended(client).outcome, "route.filter-failed.proxy");
}

#[test]
fn a_client_that_ends_before_a_router_has_what_it_needs_is_still_decided() {
    // It is asked again with `finished`: it may decide then, and asking for more is a pass.
    for (script, upstream) in [(need(100, green()), "green"), (insist(100, green()), "default")] {
        let scene = routed(script);
        let mut client = Client::connect(scene.proxy.address());
        client.send(b"short");
        client.half_close();
        client.expect(format!("{upstream}short").as_bytes());
        client.expect_eof();
    }
}

#[test]
fn a_router_that_needs_more_than_can_be_held_is_asked_once_more() {
    let sent = pattern(8, 100_000);
    for (script, upstream) in [
        (need(sent.len(), green()), "green"),
        (insist(sent.len(), green()), "default"),
    ] {
        let scene = routed(script);
        let mut client = Client::connect(scene.proxy.address());
        client.send(&sent);
        client.expect(upstream.as_bytes());
        assert_eq!(digest(&client.receive(sent.len())), digest(&sent));
    }
}

#[test]
fn a_router_that_waits_for_a_silent_client_is_asked_once_more_at_the_deadline() {
    for (script, upstream) in [(need(100, green()), "green"), (insist(100, green()), "default")] {
        let (default, green) = (Upstream::named("default"), Upstream::named("green"));
        let proxy = Proxy::run(&format!(
            "[filters.router]\nsource = \"{}\"\nconfig = {}\n\
             [upstreams]\ndefault = {{ servers = [\"{}\"] }}\ngreen = {{ servers = [\"{}\"] }}\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"default\"\n\
             filters = [\"router\"]\ntimeouts = {{ route = \"200ms\" }}\n",
            guest("router-script").display(),
            toml(&script),
            default.address(),
            green.address()
        ))
        .start();
        let mut client = Client::connect(proxy.address());
        client.send(b"hm");
        client.expect(format!("{upstream}hm").as_bytes());
    }
}

/// An inline table, as the configuration has it.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        // Strings, numbers and truth are written alike in both.
        other => other.to_string(),
    }
}

// ---- inspectors: shown bytes while they pass ----

/// An inspector that does what its script says.
fn inspecting(script: Value) -> (Proxy, Upstream) {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(guest("inspector-script"), script)
        .start();
    (proxy, upstream)
}

#[test]
fn an_inspector_that_forwards_sees_every_byte_and_changes_none() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(
            guest("inspector-script"),
            json!({ "interest": "both", "verdict": "forward" }),
        )
        .start();
    let client = Client::connect(proxy.address());
    let address = client.another();
    let sent = pattern(2, 4 * MIB);
    assert_eq!(digest(&echoed(client, &sent)), digest(&sent));
    let transfer = proxy.ended(&address);
    assert_eq!(
        (transfer.up_filtered, transfer.down_filtered),
        (4 * MIB as u64, 4 * MIB as u64),
        "{transfer:?}"
    );
    shown(&proxy, sent.len());
}

/// Waits until the inspector was shown so many bytes of the client's.
#[track_caller]
fn shown(proxy: &Proxy, bytes: usize) {
    proxy.wait_for_guest("inspector-script", |event| {
        let fields = event.field("fields");
        fields["direction"] == "shown-up" && fields["total"] == bytes
    });
}

#[test]
fn a_direction_without_interest_is_never_filtered() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(
            guest("inspector-script"),
            json!({ "interest": "up", "verdict": "forward" }),
        )
        .start();
    let client = Client::connect(proxy.address());
    let address = client.another();
    let sent = pattern(3, 4 * MIB);
    assert_eq!(digest(&echoed(client, &sent)), digest(&sent));
    let transfer = proxy.ended(&address);
    assert_eq!(
        (transfer.up_filtered, transfer.down_filtered),
        (4 * MIB as u64, 0),
        "{transfer:?}"
    );
    assert!(transfer.down_spliced > 3 * MIB as u64, "{transfer:?}");
}

#[test]
fn what_is_held_is_forwarded_only_when_enough_has_come() {
    let (proxy, upstream) = inspecting(json!({ "interest": "up", "verdict": "hold", "bytes": 4 }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"ab");
    server.expect_silence(Duration::from_millis(100));
    client.send(b"cdef");
    server.expect(b"abcdef");
}

#[test]
fn what_is_held_when_the_client_finishes_is_forwarded_before_the_end() {
    let (proxy, upstream) = inspecting(json!({ "interest": "up", "verdict": "hold", "bytes": 100 }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"the last words");
    client.half_close();
    assert_eq!(server.receive_all(), b"the last words");
}

#[test]
fn after_a_detach_the_bytes_are_spliced() {
    let _alone = alone();
    let (proxy, upstream) = inspecting(json!({ "interest": "up", "verdict": "detach", "after": 1 }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"look at this");
    server.expect(b"look at this");

    let sent = pattern(4, 8 * MIB);
    thread::scope(|scope| {
        let got = scope.spawn(|| server.receive_all());
        client.send(&sent);
        client.half_close();
        assert_eq!(digest(&got.join().expect("the reader does not panic")), digest(&sent));
    });
    drop(server);
    let transfer = proxy.ended(&client);
    assert_eq!(transfer.up_filtered, 12, "{transfer:?}");
    assert!(transfer.up_spliced > 7 * MIB as u64, "{transfer:?}");
}

#[test]
fn what_is_skipped_is_spliced_and_the_inspector_sees_what_follows() {
    let _alone = alone();
    let skipped = 8 * MIB;
    let (proxy, upstream) = inspecting(json!({
        "interest": "up", "verdict": "skip", "bytes": skipped, "then": { "verdict": "refuse", "pattern": "!" }
    }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"header");
    server.expect(b"header");

    let payload = pattern(5, skipped);
    thread::scope(|scope| {
        let got = scope.spawn(|| server.receive(skipped));
        client.send(&payload);
        assert_eq!(
            digest(&got.join().expect("the reader does not panic")),
            digest(&payload)
        );
    });
    // What follows the payload is shown again, and refused.
    client.send(b"!");
    assert_eq!(server.expect_closed(), b"");
    client.expect_closed();
    shown(&proxy, "header!".len());
    let transfer = proxy.ended(&client);
    assert!(transfer.up_spliced > 7 * MIB as u64, "{transfer:?}");
    assert_eq!(transfer.outcome, "relay.filter-refused.proxy");
}

#[test]
fn what_an_inspector_refuses_never_reaches_the_server() {
    let (proxy, upstream) =
        inspecting(json!({ "interest": "up", "verdict": "refuse", "pattern": "evil", "reset": true }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"good");
    server.expect(b"good");
    client.send(b"evil");
    client.expect_reset();
    assert_eq!(server.expect_closed(), b"");
    assert_eq!(proxy.ended(&client).outcome, "relay.filter-refused.proxy");
}

#[test]
fn an_inspector_that_holds_more_than_the_limit_has_failed() {
    let (proxy, upstream) = inspecting(json!({ "interest": "up", "verdict": "hold", "bytes": 1 << 20 }));
    let mut client = Client::connect(proxy.address());
    let _server = upstream.accept();
    client.send(b"x");
    client.expect_closed();
    assert_eq!(proxy.wait_for("filter failed", |_| true).text("kind"), "contract");
    assert_eq!(proxy.ended(&client).outcome, "relay.filter-failed.proxy");
}

#[test]
fn a_server_that_does_not_read_costs_no_memory_while_filtered() {
    let _alone = alone();
    let (proxy, upstream) = inspecting(json!({ "interest": "up", "verdict": "forward" }));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"x");
    server.expect(b"x");
    let before = proxy.memory_kib();

    let sent = pattern(6, 48 * MIB);
    let count = client.send_until_blocked(&sent);
    assert!(count < sent.len());
    let grown = proxy.memory_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "the proxy grew by {grown} KiB");
    thread::scope(|scope| {
        let got = scope.spawn(|| server.receive_all());
        client.send(&sent[count..]);
        client.half_close();
        assert_eq!(digest(&got.join().expect("the reader does not panic")), digest(&sent));
    });
}

#[test]
fn filters_of_a_chain_each_see_the_bytes() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(
            guest("inspector-script"),
            json!({ "interest": "up", "verdict": "detach", "after": 1 }),
        )
        .filter_with(filter("redis-guard"), r#"{"refuse": ["FLUSHALL"]}"#)
        .start();
    // The first lets go at once; the second still looks.
    let mut client = Client::connect(proxy.address());
    client.send(b"PING\r\n");
    client.expect(b"PING\r\n");
    client.send(b"FLUSHALL\r\n");
    assert_eq!(client.expect_closed(), b"");
}

// ---- observers ----

#[test]
fn an_observer_is_told_of_every_connection_afterwards() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).filter(filter("access-log")).start();
    let clients: Vec<Peer> = (0..20)
        .map(|number| {
            let mut client = Client::connect(proxy.address());
            let message = pattern(number, 100 + number as usize);
            client.send(&message);
            client.expect(&message);
            client.half_close();
            client.expect_eof();
            client
        })
        .collect();
    for (number, client) in clients.iter().enumerate() {
        let line = proxy.wait_for_guest("access-log", |event| event.field("fields")["client"] == client.local());
        assert_eq!(line.field("fields")["bytes-up"], 100 + number as u64, "{line}");
        assert_eq!(line.field("fields")["bytes-down"], 100 + number as u64, "{line}");
    }
    // It looked at no byte.
    assert!(
        proxy
            .all_ended(20)
            .iter()
            .all(|transfer| transfer.up_filtered + transfer.down_filtered == 0)
    );
}

#[test]
fn an_observer_is_told_how_the_bytes_went() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).filter(filter("access-log")).start();
    echoed(Client::connect(proxy.address()), &pattern(7, 4 * MIB));
    let line = proxy.wait_for_guest("access-log", |event| event.message() == "connection");
    let fields = line.field("fields");
    let number = |key: &str| fields[key].as_u64().unwrap_or(0);
    assert!(number("spliced-up") > 0, "{line}");
    for direction in ["up", "down"] {
        let ways = ["copied", "spliced", "filtered"].map(|way| number(&format!("{way}-{direction}")));
        assert_eq!(ways.iter().sum::<u64>(), 4 * MIB as u64, "{line}");
        assert_eq!(number(&format!("bytes-{direction}")), 4 * MIB as u64, "{line}");
    }
    assert!(fields.get("filtered-up").is_none(), "{line}");
}

#[test]
fn records_that_are_logged_at_once_have_each_key_once_and_no_field_without_a_value() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(guest("recorder"), json!({}))
        .start();
    drop(Client::connect(proxy.address()));
    for fields in [json!({ "one": 1, "other": 2 }), json!({ "one": 4 })] {
        proxy.wait_for_guest("recorder", |event| {
            event.message() == "batch" && *event.field("fields") == fields
        });
    }
}

#[test]
fn one_filter_can_be_a_router_and_an_observer() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(guest("two-roles"), json!({ "tag": "blue" }))
        .start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.expect_eof();
    // The observer finds what the router annotated, and both have the same configuration.
    let closed = proxy.wait_for_guest("two-roles", |event| event.message() == "closed");
    assert_eq!(closed.field("fields")["seen"], true, "{closed}");
    // It logs two fields of this name: a line is JSON in which each is there once.
    assert_eq!(closed.field("fields")["own"], true, "{closed}");
}

// ---- what is not loaded ----

/// Writes a component that is like another one but for one name of the same length.
fn renamed(component: PathBuf, from: &str, to: &str) -> (TempDir, PathBuf) {
    assert_eq!(from.len(), to.len(), "the lengths inside of the component stay right");
    let mut bytes = fs::read(component).expect("a filter can be read");
    let mut found = 0;
    let mut at = 0;
    while let Some(place) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        at += place;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        found += 1;
    }
    assert!(found > 0, "{from} is in the component");
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("odd.wasm");
    fs::write(&file, bytes).expect("a file in a temporary folder");
    (folder, file)
}

/// Starting with this filter fails with exit code 1, and one line says all of this.
#[track_caller]
fn not_loaded(file: &std::path::Path, config: Value, texts: &[&str]) {
    let finished = Proxy::forward("127.0.0.1:1").filter_with(file, config).fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked at src/"), "{}", finished.stderr);
    let told = finished
        .stderr
        .lines()
        .any(|line| texts.iter().all(|text| line.contains(text)));
    assert!(told, "{texts:?} in one line of\n{}", finished.stderr);
}

#[test]
fn a_component_without_a_role_is_not_loaded() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("empty.wasm");
    fs::write(&file, b"\0asm\x0d\0\x01\0").expect("a file in a temporary folder");
    not_loaded(&file, Value::Null, &["empty", "role"]);
}

#[test]
fn a_core_module_is_not_loaded_and_told_from_a_component() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("core.wasm");
    fs::write(&file, b"\0asm\x01\0\0\0").expect("a file in a temporary folder");
    not_loaded(&file, Value::Null, &["core", "component"]);
}

#[test]
fn an_unknown_import_is_not_loaded_and_named() {
    let (_folder, file) = renamed(
        filter("access-log"),
        "spliceway:filter/log@0.1.0",
        "spliceway:filter/fog@0.1.0",
    );
    not_loaded(&file, Value::Null, &["odd", "spliceway:filter/fog@0.1.0"]);
}

#[test]
fn a_configuration_that_init_refuses_keeps_the_proxy_from_starting_with_the_filters_own_message() {
    not_loaded(
        &filter("redis-guard"),
        json!({ "refuze": ["FLUSHALL"] }),
        &["redis-guard", "refuze"],
    );
    not_loaded(
        &filter("redis-guard"),
        json!({ "refuse": "FLUSHALL" }),
        &["redis-guard", "FLUSHALL"],
    );
}

#[test]
fn a_filter_that_fails_in_init_keeps_the_proxy_from_starting() {
    for (how, says) in [
        ("refuse", "misbehave refuses"),
        ("panic", "misbehave panics"),
        ("trap", "unreachable"),
        ("recurse", "out of bounds"),
        ("loop", "CPU time"),
        ("allocate", "memory"),
    ] {
        not_loaded(
            &guest("misbehave"),
            json!({ "how": how, "in-init": true }),
            &["misbehave", says],
        );
    }
}

#[test]
fn a_wasip2_component_serves_in_an_empty_world_and_its_stderr_is_in_the_log() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(guest("wasi-tagged"), json!({ "tag": "one" }))
        .start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    proxy.wait_for_guest("wasi-tagged", |event| event.message() == "tag is one");
    proxy.wait_for_guest("wasi-tagged", |event| event.message() == "files is none");
}

// ---- filters that fail ----

/// A filter that does this to a connection whose client says "misbehave", and nothing to the others.
fn misbehaving(how: &str, on_error: &str) -> (Proxy, Upstream) {
    misbehaving_as(&format!("how = \"{how}\", when = \"misbehave\""), on_error)
}

fn misbehaving_as(config: &str, on_error: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::echo();
    let config = format!(
        "[filters.wild]\nsource = \"{}\"\nconfig = {{ {config} }}\non-error = \"{on_error}\"\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n",
        guest("misbehave").display(),
        upstream.address()
    );
    (Proxy::run(&config).start(), upstream)
}

#[track_caller]
fn costs_one_connection(how: &str, kind: &str, says: &str) {
    let (mut proxy, _upstream) = misbehaving(how, "close");
    let mut bystander = Client::connect(proxy.address());
    bystander.send(b"well behaved");
    bystander.expect(b"well behaved");

    let mut client = Client::connect(proxy.address());
    client.send(b"misbehave");
    assert_eq!(
        client.expect_closed(),
        b"",
        "what a failed filter was shown is not forwarded"
    );

    let failed = proxy.wait_for("filter failed", |_| true);
    assert_eq!(failed.text("filter"), "wild", "{failed}");
    assert_eq!(failed.number("generation"), 1, "{failed}");
    assert_eq!(failed.text("kind"), kind, "{failed}");
    assert_eq!(failed.text("action"), "close", "{failed}");
    assert!(failed.text("error").contains(says), "{failed}");
    failed.number("connection");
    assert_eq!(proxy.ended(&client).outcome, "relay.filter-failed.proxy");

    // The one that was there goes on, and so does the next one.
    bystander.send(b"still here");
    bystander.expect(b"still here");
    let mut next = Client::connect(proxy.address());
    next.send(b"well behaved");
    next.expect(b"well behaved");
    assert!(proxy.is_running());
    assert_eq!(proxy.logged("filter failed").len(), 1);
}

#[test]
fn a_panic_costs_one_connection_and_its_message_is_in_the_log() {
    costs_one_connection("panic", "trap", "misbehave panics");
}

#[test]
fn a_trap_costs_one_connection() {
    costs_one_connection("trap", "trap", "unreachable");
}

#[test]
fn an_endless_loop_costs_one_connection() {
    costs_one_connection("loop", "deadline", "");
}

#[test]
fn a_memory_overrun_costs_one_connection() {
    costs_one_connection("allocate", "memory", "");
}

#[test]
fn an_endless_recursion_costs_one_connection() {
    // The stack of a program from Rust lies at the bottom of its memory, and ends where the memory does.
    costs_one_connection("recurse", "trap", "out of bounds");
}

#[test]
fn a_log_without_end_costs_one_connection() {
    costs_one_connection("log", "deadline", "");
}

#[test]
fn a_batch_of_records_that_are_not_whole_costs_one_connection() {
    costs_one_connection("log-parts", "trap", "3 values for 2 keys");
}

#[test]
fn annotations_without_end_cost_one_connection() {
    costs_one_connection("annotate", "deadline", "");
}

#[test]
fn a_filter_that_fails_before_it_saw_a_byte_costs_one_connection() {
    // Call 0 is the session's constructor.
    let (mut proxy, _upstream) = misbehaving_as("how = \"panic\", call = 0", "close");
    for count in 1..=3 {
        // The proxy's RST may come before connect(2) has returned.
        if let Ok(mut client) = Client::try_connect(proxy.address()) {
            assert_eq!(client.expect_closed(), b"");
        }
        let ended = proxy.all_ended(count);
        assert_eq!(ended[count - 1].outcome, "route.filter-failed.proxy");
        assert_eq!(proxy.logged("filter failed").len(), count);
    }
    assert!(proxy.is_running());

    let (proxy, _upstream) = misbehaving_as("how = \"panic\", call = 0", "pass");
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    assert_eq!(proxy.wait_for("filter failed", |_| true).text("action"), "pass");
}

#[test]
fn a_filter_that_is_to_be_passed_on_error_lets_its_connection_live() {
    for how in ["panic", "trap", "loop", "allocate"] {
        let (proxy, _upstream) = misbehaving(how, "pass");
        let mut client = Client::connect(proxy.address());
        client.send(b"misbehave");
        client.expect(b"misbehave");
        assert_eq!(
            proxy.wait_for("filter failed", |_| true).text("action"),
            "pass",
            "{how}"
        );
        client.send(b"and nobody looks any more");
        client.expect(b"and nobody looks any more");
        client.half_close();
        client.expect_eof();
        assert!(proxy.ended(&client).outcome.starts_with("relay.finished"), "{how}");
    }
}

#[test]
fn a_storm_of_failures_leaves_no_memory_and_no_descriptor_behind() {
    let _alone = alone();
    let (proxy, _upstream) = misbehaving("panic", "close");
    let storm = || {
        for _ in 0..200 {
            let mut client = Client::connect(proxy.address());
            client.send(b"misbehave");
            client.expect_closed();
        }
    };
    storm();
    proxy.all_ended(200);
    let (memory, descriptors) = (proxy.memory_kib(), proxy.descriptors().len());
    storm();
    proxy.all_ended(400);
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 4 * 1024, "the proxy grew by {grown} KiB over 200 failures");
    proxy.descriptors_back_to(descriptors);
}

// ---- the project's own filters, where the scene needs more than their unit tests have ----

#[test]
fn redis_guard_refuses_a_command_to_one_client_and_no_other_notices() {
    let redis = Redis::start();
    let proxy = Proxy::forward(redis.address())
        .filter_with(filter("redis-guard"), r#"{"refuse": ["FLUSHALL"]}"#)
        .start();
    let mut other = Client::connect(proxy.address());
    other.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
    other.expect(b"+OK\r\n");

    assert_eq!(Redis::cli(proxy.port(), &["get", "key"]).success(), "value\n");
    Redis::cli(proxy.port(), &["flushall"]);
    // As clients may write it: in any case, inline, behind another command, cut anywhere.
    for command in [
        &b"flushall\r\n"[..],
        b"PING\r\nFLUSHALL\r\n",
        b"*2\r\n$8\r\nFlushAll\r\n$5\r\nASYNC\r\n",
    ] {
        for cut in 1..command.len() {
            let mut client = Client::connect(proxy.address());
            client.send(&command[..cut]);
            client.try_send(&command[cut..]).ok();
            let got = client.expect_closed();
            assert!(!String::from_utf8_lossy(&got).contains("OK"), "cut at {cut}");
        }
    }

    other.send(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    other.expect(b"$5\r\nvalue\r\n");
    assert!(proxy.logged("filter failed").is_empty());
}

#[test]
fn redis_guard_lets_payloads_and_replies_be_spliced() {
    let _alone = alone();
    let redis = Redis::start();
    let proxy = Proxy::forward(redis.address())
        .filter_with(filter("redis-guard"), r#"{"refuse": ["FLUSHALL"]}"#)
        .start();
    let value = pattern(7, 16 * MIB);
    let mut client = Client::connect(proxy.address());
    client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n", value.len()).as_bytes());
    client.send(&value);
    client.send(b"\r\n");
    client.expect(b"+OK\r\n");
    client.send(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    client.expect(format!("${}\r\n", value.len()).as_bytes());
    assert_eq!(digest(&client.receive(value.len())), digest(&value));
    client.expect(b"\r\n");
    client.half_close();
    client.expect_eof();

    let transfer = proxy.ended(&client);
    assert!(transfer.up_spliced > 15 * MIB as u64, "{transfer:?}");
    assert!(transfer.down_spliced > 15 * MIB as u64, "{transfer:?}");
    assert_eq!(transfer.down_filtered, 0, "{transfer:?}");
}

/// Sends to an echo until its end and returns what came back.
fn echoed(mut client: Peer, bytes: &[u8]) -> Vec<u8> {
    let mut reader = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(move || reader.receive_all());
        client.send(bytes);
        client.half_close();
        got.join().expect("the reader does not panic")
    })
}

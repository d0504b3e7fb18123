//! Why a connection goes as it does: of one that lives, and of one that is only described.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use spliceway_tests::artifacts::guest;
use spliceway_tests::hello::Hello;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, eventually, spliceway};
use tempfile::TempDir;

// ---- of one that lives ----

#[test]
fn a_plain_connection_says_where_it_went_and_how_its_bytes_go() {
    let server = Upstream::listen();
    let scene = Scene::before(&[server.address()], "", "");
    let mut client = scene.connect();
    let mut peer = server.accept();
    client.send(b"hello");
    peer.expect(b"hello");

    let trace = scene.trace(&client);
    assert_eq!(
        results(&trace),
        ["accept done", "detect done", "upstream chosen", "server chosen"]
    );
    let steps = &trace["steps"];
    assert_eq!(
        (&steps[0]["name"], &steps[2]["name"], &steps[3]["name"]),
        (&json!("front"), &json!("only"), &json!(server.address()))
    );
    assert_eq!(steps[1]["why"], "nothing was waited for: the listener has no routes");
    assert_eq!(steps[2]["why"], "the listener's own");
    assert!(
        text(&steps[3]["why"]).ends_with("as the upstream balances (round-robin)"),
        "{trace}"
    );
    assert!(steps[3]["took_us"].is_u64());
    assert_eq!(trace["up"], way(false, "copied: transfers are small so far"));
    assert_eq!(trace["down"], way(false, "copied: nothing has come so far"));

    // More than all buffers on the way hold: it is under way when it is asked.
    client.send_until_blocked(&vec![b'x'; 64 << 20]);
    eventually("bulk is spliced", || {
        let trace = scene.trace(&client);
        (trace["up"] == way(true, "spliced")).then_some(())
    });
    peer.half_close();
    eventually("the server has finished", || {
        let trace = scene.trace(&client);
        (trace["down"] == way(false, "over: the server has finished")).then_some(())
    });
}

#[test]
fn who_is_subscribed_keeps_bytes_from_being_spliced_until_it_lets_go() {
    let server = Upstream::echo();
    let scene = Scene::filtered(
        &[server.address()],
        &[(
            "guard",
            "inspector-script",
            json!({ "interest": "up", "verdict": "detach", "after": 8 }),
        )],
    );
    let mut client = scene.connect();
    client.send(b"1234");
    client.expect(b"1234");
    let trace = scene.trace(&client);
    assert_eq!(trace["up"], way(false, "not spliced up: filter guard is subscribed"));
    assert_eq!(trace["down"], way(false, "copied: transfers are small so far"));
    let step = find(&trace, "filter", "watches");
    assert_eq!(
        (&step["name"], &step["why"]),
        (
            &json!("guard"),
            &json!("inspector: up it sees what goes, down it is done")
        )
    );

    client.send(b"5678");
    client.expect(b"5678");
    let trace = scene.trace(&client);
    assert_eq!(trace["up"], way(false, "copied: transfers are small so far"));
    assert_eq!(find(&trace, "filter", "passed")["why"], "wants to see nothing more");
}

#[test]
fn a_filter_that_skips_says_how_much() {
    let server = Upstream::echo();
    let skip = json!({ "interest": "up", "verdict": "skip", "bytes": 1 << 20 });
    let scene = Scene::filtered(&[server.address()], &[("guard", "inspector-script", skip)]);
    let mut client = scene.connect();
    client.send(b"head");
    client.expect(b"head");
    let trace = scene.trace(&client);
    assert_eq!(
        trace["up"],
        way(
            false,
            "copied: transfers are small so far, while filter guard is skipping 1048576 bytes"
        )
    );
    assert_eq!(
        find(&trace, "filter", "watches")["why"],
        "inspector: up it skips 1048576 bytes, down it is done"
    );
}

#[test]
fn what_a_router_has_answered_is_told() {
    let server = Upstream::echo();
    let scene = Scene::filtered(
        &[server.address()],
        &[
            ("first", "router-script", json!({ "decision": "pass" })),
            (
                "second",
                "router-script",
                json!({ "decision": "need", "bytes": 4, "then": { "decision": "route", "upstream": "only" } }),
            ),
        ],
    );
    let mut client = scene.connect();
    client.send(b"12");
    eventually("it waits for more", || {
        let trace = scene.trace(&client);
        let last = trace["steps"].as_array()?.last()?.clone();
        let why = "for what it wants to see of the client, 2 bytes seen";
        (last["result"] == "waits" && last["name"] == "second" && last["why"] == why).then_some(())
    });
    client.send(b"34");
    client.expect(b"1234");
    let trace = scene.trace(&client);
    let passed = find(&trace, "filter", "passed");
    assert_eq!(passed["name"], "first");
    assert!(text(&passed["why"]).starts_with("has no opinion, in "), "{trace}");
    assert_eq!(find(&trace, "filter", "chosen")["name"], "second");
    assert_eq!(find(&trace, "upstream", "chosen")["why"], "by the filter");
}

#[test]
fn a_server_that_refuses_is_told_beside_the_one_that_answered() {
    let (_port, refusing) = Upstream::refusing();
    let server = Upstream::echo();
    let scene = Scene::before(&[&refusing, server.address()], "", "");
    // They take turns: of two connections, one begins with the one that refuses.
    let trace = (0..2).find_map(|_| {
        let mut client = scene.connect();
        client.send(b"x");
        client.expect(b"x");
        let trace = scene.trace(&client);
        results(&trace).contains(&"server failed".to_owned()).then_some(trace)
    });
    let trace = trace.expect("one of them was refused first");
    let failed = find(&trace, "server", "failed");
    assert_eq!(failed["name"], *refusing);
    assert!(text(&failed["why"]).contains("refused"), "{trace}");
    assert_eq!(find(&trace, "server", "chosen")["name"], server.address());
}

#[test]
fn who_is_waited_for_is_told_and_then_which_routes_were_tried() {
    let server = Upstream::echo();
    let routes = r#"
        detection = { timeout = "1h" }
        routes = [
            { name = "other", sni = ["b.example"], upstream = "only" },
            { name = "ours", sni = ["a.example"], client = ["127.0.0.0/8"], upstream = "only" },
            { name = "rest", refuse = "rst" },
        ]
    "#;
    let scene = Scene::before(&[server.address()], "", routes);
    let mut client = scene.connect();
    let hello = Hello::of("a.example").bytes();
    client.send(&hello[..3]);
    eventually("three bytes are seen", || {
        let connection = scene.connection(&client);
        let last = connection["trace"]["steps"].as_array()?.last()?.clone();
        let why = "for the first bytes, 3 seen (at most 3600s)";
        (connection["stage"] == "detect" && last["step"] == "detect" && last["result"] == "waits" && last["why"] == why)
            .then_some(())
    });
    client.send(&hello[3..]);
    client.expect(&hello);
    let trace = scene.trace(&client);
    assert_eq!(
        results(&trace),
        [
            "accept done",
            "detect done",
            "route no-match",
            "route matched",
            "upstream chosen",
            "server chosen"
        ]
    );
    let steps = &trace["steps"];
    let seen = text(&steps[1]["why"]);
    assert!(
        seen.starts_with(&format!("{} bytes in ", hello.len())) && seen.contains("tls, asks for \"a.example\""),
        "{seen}"
    );
    assert_eq!(steps[2]["why"], "sni: \"a.example\" is none of \"b.example\"");
    assert_eq!(steps[3]["why"], "sni \"a.example\", client 127.0.0.0/8");
    assert_eq!(steps[4]["why"], "by the route \"ours\"");
}

#[test]
fn a_protocol_is_told_when_its_bytes_are_gone() {
    let server = Upstream::echo();
    let routes = r#"routes = [
        { name = "web", protocol = ["http1"], upstream = "only" },
        { name = "shell", protocol = ["ssh"], upstream = "only" },
    ]"#;
    let scene = Scene::before(&[server.address()], "", routes);
    let mut client = scene.connect();
    client.send(b"SSH-2.0-x\r\n");
    client.expect(b"SSH-2.0-x\r\n");
    let trace = scene.trace(&client);
    assert_eq!(
        find(&trace, "route", "no-match")["why"],
        "protocol: the first bytes are not of http1"
    );
    assert_eq!(find(&trace, "route", "matched")["why"], "protocol ssh");
}

#[test]
fn a_server_that_does_not_answer_is_the_one_that_is_tried() {
    let server = Upstream::unanswering();
    let scene = Scene::before(&[server.address()], "", "timeouts = { connect = \"1h\" }");
    let client = scene.connect();
    eventually("the server is tried", || {
        let connection = scene.connection(&client);
        let last = connection["trace"]["steps"].as_array()?.last()?.clone();
        let why = format!("trying {}, attempt 1", server.address());
        (connection["stage"] == "connect" && last["result"] == "waits" && last["why"] == *why).then_some(())
    });
}

#[test]
fn a_limit_that_was_waited_for_is_told() {
    let server = Upstream::echo();
    let scene = Scene::before(
        &[server.address()],
        "",
        "limits = { connections = 1, at-limit = \"queue(1h)\" }",
    );
    let mut first = scene.connect();
    first.send(b"x");
    first.expect(b"x");
    let mut second = scene.connect();
    eventually("the second one waits", || {
        let trace = scene.trace(&second);
        let last = trace["steps"].as_array()?.last()?.clone();
        (last["step"] == "limit" && last["result"] == "waits" && last["why"] == "for the limits of its listener")
            .then_some(())
    });
    first.half_close();
    first.expect_eof();
    second.send(b"x");
    second.expect(b"x");
    let trace = scene.trace(&second);
    let waited = find(&trace, "limit", "done");
    assert!(
        text(&waited["why"]).ends_with("for the limits of its listener"),
        "{trace}"
    );
    assert!(waited["took_us"].as_u64() >= Some(1_000), "{trace}");
}

#[test]
fn ctl_reads_like_an_explanation_and_a_page_of_connections_is_short() {
    let server = Upstream::echo();
    let scene = Scene::before(&[server.address()], "", "");
    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    let id = scene.connection(&client)["id"].to_string();
    let said = scene.ctl(&["connections", &id]).success();
    for line in [
        format!("accept    front            done    from {}", client.local()),
        "upstream  only             chosen  the listener's own".to_owned(),
        "up        copied: transfers are small so far".to_owned(),
        "down      copied: transfers are small so far".to_owned(),
    ] {
        // The width of the names is the server's.
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.lines().any(|said| squeezed(said) == squeezed(&line)),
            "{line}\n{said}"
        );
    }
    let page: Value = serde_json::from_str(&scene.ctl(&["connections", "--json"]).success()).expect("JSON");
    assert!(page["connections"][0]["trace"].is_null(), "{page}");
}

// ---- of one that was killed ----

#[test]
fn the_access_log_says_why_a_connection_was_killed() {
    let server = Upstream::echo();
    let scene = Scene::before(&[server.address()], "", "");
    let (mut killed, mut nameless, mut other) = (scene.connect(), scene.connect(), scene.connect());
    for client in [&mut killed, &mut nameless, &mut other] {
        client.send(b"x");
        client.expect(b"x");
    }
    let id = |client: &Peer| scene.connection(client)["id"].to_string();
    let (reason, without) = (id(&killed), id(&nameless));
    scene
        .ctl(&["kill", &reason, "--reason", "stuck \"since\" Monday"])
        .success();
    killed.expect_reset();
    scene.ctl(&["kill", &without]).success();
    nameless.expect_reset();
    other.half_close();
    other.expect_eof();
    for (client, told) in [
        (&killed, json!("stuck \"since\" Monday")),
        (&nameless, Value::Null),
        (&other, Value::Null),
    ] {
        let line = scene.logged(client);
        assert_eq!(line["kill_reason"], told, "{line}");
        assert_eq!(
            line["outcome"] == "relay.killed.proxy",
            client.local() != other.local(),
            "{line}"
        );
    }
}

// ---- of one that is only described ----

#[test]
fn explain_names_the_server_that_a_client_gets() {
    let servers = ["a", "b", "c"].map(Upstream::named);
    let addresses: Vec<_> = servers.iter().map(Upstream::address).collect();
    for balance in ["source-hash", "maglev"] {
        let scene = Scene::before(&addresses, &format!("balance = \"{balance}\""), "");
        for last in 1..=8 {
            let client = [127, 0, 0, last];
            let got = Client::connect_from(client, scene.proxy.address()).receive(1)[0];
            let wanted = addresses[usize::from(got - b'a')];
            let from = format!("127.0.0.{last}");
            let said = scene.explain(&["--client", &from]);
            let line = format!("server: {wanted}, by the hash of {from} ({balance}), while all servers are up");
            assert!(said.lines().any(|said| said == line), "{line}\n{said}");
        }
    }
}

#[test]
fn explain_says_what_a_connection_is_subject_to() {
    let server = Upstream::echo();
    let watch = json!({ "interest": "up", "verdict": "forward" });
    let route = json!({ "decision": "route", "upstream": "only" });
    let guests = [
        ("guard", "inspector-script", watch),
        ("chooser", "router-script", route),
    ];
    let scene = Scene::filtered(&[server.address()], &guests);
    let said = scene.explain(&["--client", "127.0.0.1"]);
    let address = server.address();
    for line in [
        "  filter  guard    sees what goes up",
        "  filter  chooser  chooses the upstream \"only\"",
        "upstream \"only\", chosen by the filter \"chooser\"",
        &format!("server: {address}"),
        "limits: none",
        "up: not spliced up: filter guard is subscribed",
        "down: spliced where it is bulk, copied where transfers are small",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
}

// ---- the scenes ----

/// A proxy that can be asked, in front of some servers, with an access log.
struct Scene {
    proxy: Proxy,
    admin: String,
    folder: TempDir,
}

impl Scene {
    /// `upstream` and `listener` are keys of theirs.
    fn before(servers: &[&str], upstream: &str, listener: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let admin = format!("unix:{}", folder.path().join("admin.sock").display());
        let log = folder.path().join("access.log");
        let config = format!(
            "[admin]\nlisten = \"{admin}\"\n[access-log]\nfile = \"{}\"\n\
             [upstreams.only]\nservers = {servers:?}\n{upstream}\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n{listener}\n",
            log.display()
        );
        Self {
            proxy: Proxy::run(&config).start(),
            admin,
            folder,
        }
    }

    /// With guests: names, components, configurations.
    fn filtered(servers: &[&str], guests: &[(&str, &str, Value)]) -> Self {
        let names: Vec<_> = guests.iter().map(|(name, ..)| name).collect();
        let filters = guests.iter().map(|(name, component, config)| {
            let source: PathBuf = guest(component);
            let config = inline(config);
            format!(
                "[filters.{name}]\nsource = \"{}\"\nconfig = {config}\n",
                source.display()
            )
        });
        let filters: String = filters.collect();
        Self::before(servers, "", &format!("filters = {names:?}\n{filters}"))
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    fn ctl(&self, arguments: &[&str]) -> spliceway_tests::command::Finished {
        spliceway(["ctl", "--admin", &self.admin].iter().chain(arguments), DEADLINE)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.ctl(&[&["--json"], arguments].concat()).success();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// As it is now.
    #[track_caller]
    fn connection(&self, client: &Peer) -> Value {
        let id = eventually("the connection is listed", || {
            let page = self.json(&["connections"]);
            let found = page["connections"]
                .as_array()?
                .iter()
                .find(|it| it["client"] == client.local())?;
            Some(found["id"].to_string())
        });
        self.json(&["connections", &id])
    }

    #[track_caller]
    fn trace(&self, client: &Peer) -> Value {
        self.connection(client)["trace"].clone()
    }

    /// Its line of the access log.
    #[track_caller]
    fn logged(&self, client: &Peer) -> Value {
        eventually("the access log tells of it", || {
            let log = fs::read_to_string(self.folder.path().join("access.log")).ok()?;
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["client"] == client.local())
        })
    }

    #[track_caller]
    fn explain(&self, of: &[&str]) -> String {
        let file = self.proxy.folder().join("spliceway.toml").display().to_string();
        spliceway([&["explain", "--config", &file], of].concat(), DEADLINE).success()
    }
}

/// JSON as TOML has it in a line.
fn inline(json: &Value) -> String {
    match json {
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn way(zero_copy: bool, why: &str) -> Value {
    json!({ "zero_copy": zero_copy, "why": why })
}

/// What was decided about, and how.
fn results(trace: &Value) -> Vec<String> {
    let steps = trace["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| format!("{} {}", text(&step["step"]), text(&step["result"])))
        .collect()
}

#[track_caller]
fn find(trace: &Value, step: &str, result: &str) -> Value {
    let mut steps = trace["steps"].as_array().expect("steps").iter();
    let found = steps.find(|it| it["step"] == step && it["result"] == result);
    found.unwrap_or_else(|| panic!("no {step} {result}: {trace:#}")).clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

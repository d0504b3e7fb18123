//! The admin interface: what it says is so, what it is told is done, and nobody does so who may not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spliceway_tests::artifacts::{self, guest};
use spliceway_tests::bytes::variant;
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, eventually, spliceway};
use tempfile::TempDir;

/// 64 digits, as `openssl rand -hex 32` makes them.
const TOKEN: &str = "5f1c0a8f4f3f6a2d9be07c81d4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d";

// ---- what it says ----

#[test]
fn it_says_how_the_process_is_and_what_is_in_force() {
    let scene = Scene::start();
    let status = scene.get("/v1/status");
    assert_eq!(status["pid"], scene.proxy.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["draining"], &status["connections"]),
        (&json!(false), &json!(0))
    );
    assert!(status["workers"].as_u64() >= Some(1));

    let config = scene.get("/v1/config");
    assert_eq!(config["listeners"][0]["name"], "front");
    assert_eq!(config["listeners"][0]["timeouts"]["connect"], "5s");
    assert_eq!(
        config["upstreams"]["only"]["servers"][0]["address"],
        scene.servers[0].address()
    );
    assert!(!config.to_string().contains(TOKEN));

    let mut client = scene.connect();
    client.send(b"hello");
    client.expect(b"hello");
    assert_eq!(scene.get("/v1/status")["connections"], 1);
    client.half_close();
    client.expect_eof();
    scene.proxy.ended(&client);
    eventually("the connection is counted", || {
        let listeners = scene.get("/v1/listeners");
        let front = &listeners["listeners"][0];
        let ended = front["outcomes"]["relay.finished.client"] == 1 && front["up"]["copied"] == 5;
        (ended && front["address"] == scene.proxy.address()).then_some(())
    });
    let upstreams = scene.get("/v1/upstreams");
    let server = &upstreams["upstreams"][0]["servers"][0];
    assert_eq!((&server["state"], &server["weight"]), (&json!("up"), &json!(1)));
    assert_eq!(scene.get("/v1/filters")["filters"], json!([]));
}

#[test]
fn a_connection_is_listed_with_what_it_has_moved_so_far() {
    let scene = Scene::start();
    let mut clients: Vec<Peer> = (0..5).map(|_| scene.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let bytes = vec![b'x'; number + 1];
        client.send(&bytes);
        client.expect(&bytes);
    }
    let page = scene.get("/v1/connections");
    let listed = page["connections"].as_array().unwrap();
    assert_eq!(listed.len(), 5);
    assert!(page["next"].is_null());
    for (number, client) in clients.iter().enumerate() {
        let is_it = |connection: &&Value| connection["client"] == client.local();
        let connection = listed.iter().find(is_it).expect("it is listed");
        let moved = json!({ "copied": number + 1, "spliced": 0, "filtered": 0 });
        assert_eq!((&connection["up"], &connection["down"]), (&moved, &moved));
        assert_eq!(connection["stage"], "relay");
        assert_eq!(
            (&connection["listener"], &connection["upstream"]),
            (&json!("front"), &json!("only"))
        );
        let one = scene.get(&format!("/v1/connections/{}", connection["id"]));
        assert_eq!(one["client"], client.local());
    }
    // It goes on, and so do the figures.
    clients[0].send(b"more");
    clients[0].expect(b"more");
    let again = scene.get("/v1/connections?client=127.0.0.0/8&listener=front&upstream=only&limit=1000");
    let total: u64 = again["connections"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|connection| connection["up"]["copied"].as_u64())
        .sum();
    assert_eq!(total, 1 + 2 + 3 + 4 + 5 + 4);
    for nobody in ["client=10.0.0.1", "listener=other", "upstream=other"] {
        let page = scene.get(&format!("/v1/connections?{nobody}"));
        assert_eq!(page["connections"], json!([]), "{nobody}");
    }
}

#[test]
fn pages_follow_one_another_without_gaps() {
    let scene = Scene::start();
    let clients: Vec<Peer> = (0..7)
        .map(|_| {
            let mut client = scene.connect();
            client.send(b"x");
            client.expect(b"x");
            client
        })
        .collect();
    let mut seen = Vec::new();
    let mut after = 0;
    let pages = loop {
        let page = scene.get(&format!("/v1/connections?limit=3&after={after}"));
        seen.extend(
            page["connections"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["id"].as_u64().unwrap()),
        );
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break seen.len().div_ceil(3),
        }
    };
    assert_eq!((seen.len(), pages), (clients.len(), 3));
    assert!(seen.is_sorted(), "{seen:?}");
}

// ---- connections that are ended ----

#[test]
fn a_connection_that_is_killed_ends_with_a_reset_on_both_sides() {
    let server = Upstream::listen();
    let scene = Scene::with(vec![server], "");
    let mut client = scene.connect();
    client.send(b"hello");
    let mut peer = scene.servers[0].accept();
    peer.expect(b"hello");
    let id = scene.get("/v1/connections")["connections"][0]["id"].as_u64().unwrap();

    let (status, killed) = scene.say("POST", &format!("/v1/connections/{id}/kill"), r#"{"reason": "test"}"#);
    assert_eq!((status, &killed["up"]["copied"]), (200, &json!(5)), "{killed}");
    client.expect_reset();
    peer.expect_reset();
    let ended = scene.proxy.wait_for("connection ended", |_| true);
    assert_eq!(ended.text("outcome"), "relay.killed.proxy");
    let told = scene
        .proxy
        .wait_for("connection killed", |event| event.number("connection") == id);
    assert_eq!(told.text("reason"), "test");
    let line = eventually("the access log tells of it", || {
        let log = fs::read_to_string(scene.folder.path().join("access.log")).ok()?;
        serde_json::from_str::<Value>(log.lines().next()?).ok()
    });
    assert_eq!(
        (&line["outcome"], &line["up"]),
        (&json!("relay.killed.proxy"), &json!(5))
    );

    let (status, gone) = scene.say("POST", &format!("/v1/connections/{id}/kill"), "");
    assert_eq!(status, 404, "{gone}");
    assert_eq!(scene.get("/v1/connections")["connections"], json!([]));
}

#[test]
fn a_connection_that_has_no_server_yet_can_be_killed() {
    let server = Upstream::listen();
    let scene = Scene::with(vec![server], "connect = \"first-byte\"");
    let mut client = scene.connect();
    let waiting = eventually("it is there", || {
        let page = scene.get("/v1/connections");
        page["connections"].get(0).cloned()
    });
    assert_ne!(waiting["stage"], "relay");
    let (status, _) = scene.say("POST", &format!("/v1/connections/{}/kill", waiting["id"]), "");
    assert_eq!(status, 200);
    client.expect_closed();
    let ended = scene.proxy.wait_for("connection ended", |_| true);
    assert!(ended.text("outcome").ends_with(".killed.proxy"), "{ended}");
}

// ---- what it is told ----

#[test]
fn servers_are_weighed_drained_disabled_and_enabled() {
    let scene = Scene::with(vec![Upstream::named("a"), Upstream::named("b")], "");
    let [first, second] = [0, 1].map(|number: usize| scene.servers[number].address().to_owned());
    assert_eq!(scene.proxy.visits(8), [4, 4]);

    assert_eq!(scene.change(&first, json!({ "weight": 3 }))["weight"], 3);
    assert_eq!(scene.proxy.visits(8), [6, 2]);
    for (mode, state) in [("draining", "draining"), ("disabled", "disabled")] {
        let changed = scene.change(&second, json!({ "mode": mode }));
        assert_eq!((&changed["state"], &changed["health"]), (&json!(state), &json!("up")));
        assert_eq!(scene.proxy.visits(4), [4, 0]);
    }
    assert_eq!(
        scene.change(&second, json!({ "mode": "enabled", "weight": 3 }))["state"],
        "up"
    );
    assert_eq!(scene.proxy.visits(8), [4, 4]);

    let path = format!("/v1/upstreams/only/servers/{first}");
    for (path, body, expected) in [
        (&*path, "{}", 422),
        (&*path, r#"{"weight": 0}"#, 422),
        (&*path, r#"{"weight": 257}"#, 422),
        (&*path, r#"{"mode": "off"}"#, 422),
        (&*path, r#"{"wieght": 1}"#, 422),
        (&*path, "{", 400),
        ("/v1/upstreams/only/servers/127.0.0.1:1", r#"{"weight": 1}"#, 404),
        ("/v1/upstreams/other/servers/127.0.0.1:1", r#"{"weight": 1}"#, 404),
    ] {
        let (status, said) = scene.say("POST", path, body);
        assert_eq!(status, expected, "{body}: {said}");
        assert!(said["error"].is_string() && said["hint"].is_string(), "{said}");
    }
}

#[test]
fn idle_connections_of_a_server_that_is_drained_end_and_a_busy_one_does_not() {
    let server = Upstream::listen();
    let scene = Scene::with(vec![server], "");
    let talk = || {
        let mut client = scene.connect();
        client.send(b"x");
        let mut peer = scene.servers[0].accept();
        peer.expect(b"x");
        (client, peer)
    };
    let (mut idle, _idle_peer) = talk();
    let (mut busy, mut busy_peer) = talk();
    let changed = Instant::now();
    scene.change(scene.servers[0].address(), json!({ "mode": "draining" }));
    // Longer than the ends of idle ones are spread over.
    while changed.elapsed() < Duration::from_secs(7) {
        busy.send(b"still");
        busy_peer.expect(b"still");
        busy_peer.send(b"here");
        busy.expect(b"here");
    }
    idle.expect_eof();
    assert_eq!(scene.proxy.ended(&idle).outcome, "relay.server-down.upstream");
    let left = scene.get("/v1/connections")["connections"].clone();
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["client"]),
        (1, &json!(busy.local()))
    );
    // And it is not for ever, but for as long as it is busy.
    busy.expect_eof();
}

#[test]
fn generations_are_promoted_and_rolled_back() {
    let scene = Filtered::start("canary = { clients = [\"127.0.0.9\"], for = \"1h\" }");
    let (status, said) = scene.say("promote");
    assert_eq!(status, 409, "{said}");
    let (status, said) = scene.say("rollback");
    assert_eq!(status, 409, "{said}");

    scene.next(1);
    scene.scene.proxy.wait_for("canary began", |_| true);
    let (status, promoted) = scene.say("promote");
    assert_eq!(
        (status, &promoted["filter"]["generation"]),
        (200, &json!(2)),
        "{promoted}"
    );
    let (status, back) = scene.say("rollback");
    assert_eq!((status, &back["filter"]["generation"]), (200, &json!(1)), "{back}");
    // Nothing returns by itself; on request it is tried again.
    let (status, again) = scene.say("reload");
    assert_eq!((status, &again["changed"]), (200, &json!(true)), "{again}");
    scene
        .scene
        .proxy
        .wait_for("canary began", |event| event.number("generation") == 3);
    let (status, back) = scene.say("rollback");
    assert_eq!((status, &back["filter"]["generation"]), (200, &json!(1)), "{back}");
    let rolled_back = scene.scene.proxy.wait_for("canary rolled back", |_| true);
    assert_eq!(rolled_back.text("why"), "an operator asked for it");
    assert_eq!(scene.scene.get("/v1/status")["generations"]["wild"], 1);
}

#[test]
fn a_filter_that_does_not_load_is_said_to_whoever_asked() {
    let scene = Filtered::start("");
    fs::write(&scene.file, b"no component").expect("a file can be written");
    let (status, said) = scene.say("reload");
    assert_eq!(status, 422, "{said}");
    assert!(said["error"].as_str().unwrap().contains("wild.wasm"), "{said}");
    let (status, _) = scene.scene.say("POST", "/v1/filters/other/reload", "");
    assert_eq!(status, 404);
}

#[test]
fn the_log_is_as_talkative_as_it_is_told_to_be() {
    let scene = Scene::start();
    let (status, said) = scene.say("PUT", "/v1/log-level", r#"{"level": "info"}"#);
    assert_eq!(status, 200, "{said}");
    scene.echoed();
    let (status, _) = scene.say("PUT", "/v1/log-level", r#"{"level": "debug"}"#);
    assert_eq!(status, 200);
    let client = scene.echoed();
    scene.proxy.ended(&client);
    assert_eq!(scene.proxy.logged("connection ended").len(), 1);
    assert_eq!(scene.get("/v1/log-level")["level"], "debug");
    let (status, said) = scene.say("PUT", "/v1/log-level", r#"{"level": "loud"}"#);
    assert_eq!(status, 422, "{said}");
}

#[test]
fn a_drain_ends_the_process_with_its_last_connection() {
    let mut scene = Scene::start();
    assert_eq!(scene.say("POST", "/v1/reload", "").0, 200);
    let mut client = scene.connect();
    client.send(b"x");
    client.expect(b"x");
    let (status, said) = scene.say("POST", "/v1/drain", "");
    assert_eq!((status, &said["draining"]), (202, &json!(true)), "{said}");
    for path in ["/v1/drain", "/v1/reload"] {
        assert_eq!(scene.say("POST", path, "").0, 409);
    }
    assert_eq!(scene.get("/v1/connections")["connections"][0]["client"], client.local());
    client.half_close();
    client.expect_eof();
    assert!(scene.proxy.wait().success());
}

// ---- who may ----

#[test]
fn nothing_is_answered_without_the_token_and_it_is_never_logged() {
    let scene = Scene::start();
    let wrong = format!("{}0", &TOKEN[..63]);
    for header in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Bearer {TOKEN} {TOKEN}\r\n"),
    ] {
        for path in ["/v1/status", "/v1/openapi.json", "/nowhere"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
            let answer = scene.raw(request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 401"), "{header}: {answer}");
            assert!(answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
        }
    }
    let scheme =
        format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: bEARER {TOKEN}\r\n\r\n");
    assert!(scene.raw(scheme.as_bytes()).starts_with("HTTP/1.1 200"));
    let log = scene.proxy.log_text();
    assert!(!log.contains(TOKEN) && !log.contains(&wrong));
}

#[test]
fn an_address_without_a_token_and_a_token_that_is_none_are_refused_at_the_start() {
    let folder = TempDir::new().expect("a temporary folder");
    let refused = |admin: &str| {
        let file = folder.path().join("spliceway.toml");
        fs::write(&file, config(admin, &["127.0.0.1:1"], "")).expect("a file in a temporary folder");
        let ended = spliceway(["run", "--config", &file.display().to_string()], DEADLINE);
        assert_ne!(ended.code(), Some(0), "it started");
        ended.stderr
    };
    let said = refused("listen = \"127.0.0.1:0\"");
    assert!(
        said.contains("spliceway.toml:2:10") && said.contains("token-file"),
        "{said}"
    );
    fs::write(folder.path().join("token"), "short\n").expect("a file in a temporary folder");
    let said = refused("listen = \"127.0.0.1:0\"\ntoken-file = \"token\"");
    assert!(said.contains("16 to 1024") && !said.contains("short"), "{said}");
    let said = refused("listen = \"unix:/nowhere/at/all.sock\"");
    assert!(
        said.contains("/nowhere/at is not there") && said.contains("RuntimeDirectory"),
        "{said}"
    );
}

#[test]
fn the_socket_is_its_owner_s_unless_the_file_says_more() {
    for (keys, mode) in [("", 0o600), ("socket-file = { mode = \"0660\" }", 0o660)] {
        let scene = Local::start(keys);
        let permissions = fs::metadata(&scene.socket).expect("a socket").permissions();
        assert_eq!(permissions.mode() & 0o777, mode);
    }
}

// ---- hostile requests ----

#[test]
fn whatever_is_sent_it_goes_on_answering() {
    let scene = Scene::start();
    let with = |rest: &str| {
        format!(
            "POST /v1/log-level HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n{rest}"
        )
    };
    for (request, expected) in [
        (
            with(&format!("Content-Length: {}\r\n\r\n", 1 << 30)).replace("POST", "PUT"),
            "413",
        ),
        (with("Content-Length: x\r\n\r\n"), "400"),
        (with("\r\n"), "405"),
        (with(&format!("X: {}\r\n\r\n", "x".repeat(60_000))), "431"),
        (with("\r\n").replace("/v1/log-level", "/v1/connections/x/kill"), "400"),
        (
            with("\r\n").replace("/v1/log-level", "/v1/connections/99999999999999999999/kill"),
            "400",
        ),
        (
            with("\r\n").replace("POST /v1/log-level", "GET /v1/connections?limit=0"),
            "400",
        ),
        (
            with("\r\n").replace("POST /v1/log-level", "GET /v1/connections?limit=1001"),
            "400",
        ),
        (
            with("\r\n").replace("POST /v1/log-level", "GET /v1/connections?client=x"),
            "400",
        ),
        (
            with("\r\n").replace("POST /v1/log-level", "GET /v1/connections?x=1"),
            "400",
        ),
        (
            with("\r\n").replace("POST /v1/log-level", "GET /v1/../../etc/passwd"),
            "404",
        ),
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}".to_owned(), "400"),
    ] {
        let mut client = Client::connect(&scene.admin);
        // It may be closed before all of it was taken.
        let _ = client.try_send(request.as_bytes());
        let answer = String::from_utf8_lossy(&client.expect_closed()).into_owned();
        let shown = &request[..request.len().min(200)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{shown:?}: {answer}"
        );
    }
    // Longer than it says, and never at an end.
    let chunked = with("Transfer-Encoding: chunked\r\n\r\n").replace("POST", "PUT");
    let mut client = Client::connect(&scene.admin);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let _ = client.try_send((chunked + &chunk.repeat(4)).as_bytes());
    // What it says may be lost in a reset, since not all was taken.
    let answer = client.expect_closed();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"));
    // Deeper than anything means; the first bracket is too much already.
    let (status, _) = scene.say("PUT", "/v1/log-level", &"[".repeat(60_000));
    assert_eq!(status, 422);

    // A crowd that asks slowly.
    let slow: Vec<Peer> = (0..150)
        .map(|_| {
            let mut client = Client::connect(&scene.admin);
            client.send(b"GET /v1/status HTTP/1.1\r\nHost: ");
            client
        })
        .collect();
    assert_eq!(scene.get("/v1/status")["draining"], false);
    drop(slow);
}

#[test]
fn a_connection_may_ask_again() {
    let scene = Scene::start();
    let mut client = Client::connect(&scene.admin);
    for _ in 0..3 {
        let request = format!("GET /v1/log-level HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        client.send(request.as_bytes());
        client.expect(b"HTTP/1.1 200 OK\r\n");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            answer.extend(client.receive(1));
        }
    }
}

// ---- the command line ----

#[test]
fn ctl_asks_and_tells() {
    let scene = Local::start("");
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"hello");
    client.expect(b"hello");

    let status = scene.ctl(&["status"]).success();
    assert!(
        status.contains("state        serving") && status.contains("connections  1"),
        "{status}"
    );
    let raw: Value = serde_json::from_str(&scene.ctl(&["status", "--json"]).success()).expect("JSON");
    assert_eq!(raw["pid"], scene.proxy.pid());
    let config = scene.ctl(&["config"]).success();
    assert!(config.contains("\"front\""), "{config}");
    let listeners = scene.ctl(&["listeners"]).success();
    assert!(
        listeners.starts_with("LISTENER") && listeners.contains(scene.proxy.address()),
        "{listeners}"
    );
    assert!(scene.ctl(&["filters"]).success().starts_with("FILTER"));

    let connections = scene.ctl(&["connections", "--upstream", "only"]).success();
    let row = connections.lines().nth(1).expect("a connection");
    assert!(row.contains(client.local()) && row.contains("5 B"), "{connections}");
    let id = row.split_whitespace().next().expect("a number");
    let one = scene.ctl(&["connections", id]).success();
    assert!(
        one.contains("up          5 bytes (5 copied, 0 spliced, 0 filtered)"),
        "{one}"
    );

    let server = scene.server.address();
    for (arguments, expected) in [
        (&["server", "weight", "only", server, "7"][..], "7 (configured: 1)"),
        (&["server", "disable", "only", server], "disabled"),
        (&["server", "enable", "only", server], "up"),
        (&["upstreams"], "7 (configured: 1)"),
        (&["log-level"], "debug"),
        (&["log-level", "info,filter=debug"], "info,filter=debug"),
        (&["reload"], "reloaded"),
        (&["kill", id, "--reason", "test"], "is killed"),
    ] {
        let said = scene.ctl(arguments).success();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    client.expect_reset();

    for (arguments, expected) in [
        (&["kill", "77"][..], "there is no connection `77`"),
        (&["server", "drain", "other", server], "there is no upstream `other`"),
        (&["filter", "promote", "other"], "there is no filter `other`"),
        (&["log-level", "loud"], "is no level"),
    ] {
        let ended = scene.ctl(arguments);
        assert_eq!(ended.code(), Some(1), "{arguments:?}");
        assert!(
            ended.stderr.contains(expected) && ended.stderr.contains("hint: "),
            "{}",
            ended.stderr
        );
    }
    assert!(scene.ctl(&["drain"]).success().contains("draining"));
}

#[test]
fn ctl_says_what_is_missing() {
    let folder = TempDir::new().expect("a temporary folder");
    let nobody = format!("unix:{}", folder.path().join("none.sock").display());
    let ended = spliceway(["ctl", "--admin", &nobody, "status"], DEADLINE);
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended
            .stderr
            .contains("is it running, and is `[admin]` in its configuration?"),
        "{}",
        ended.stderr
    );

    let scene = Scene::start();
    let ended = spliceway(["ctl", "--admin", &scene.admin, "status"], DEADLINE);
    assert!(
        ended.stderr.contains("the token is missing or wrong") && ended.stderr.contains("--token-file"),
        "{}",
        ended.stderr
    );
    let token = scene.folder.path().join("token").display().to_string();
    let said = spliceway(
        ["ctl", "--admin", &scene.admin, "--token-file", &token, "status"],
        DEADLINE,
    );
    assert!(said.success().contains("serving"));
    let ended = spliceway(["ctl", "--admin", scene.proxy.address(), "status"], DEADLINE);
    assert!(
        ended.stderr.contains("is no proxy's admin interface"),
        "{}",
        ended.stderr
    );
}

// ---- its description ----

/// Requests are made up from the description, and answers compared with it.
#[test]
fn the_description_is_true() {
    let program = artifacts::tool("schemathesis/bin/schemathesis");
    let config = artifacts::workspace().join("tests/schemathesis/schemathesis.toml");
    let scene = Filtered::start("");
    let keep = |_: usize| {
        let mut client = scene.scene.connect();
        client.send(b"x");
        client.expect(b"x");
        client
    };
    let _clients: Vec<Peer> = (0..20).map(keep).collect();
    let ended = run(
        lasting(&program)
            .current_dir(scene.scene.folder.path())
            .arg("--config-file")
            .arg(config)
            .args(["run", &format!("http://{}/v1/openapi.json", scene.scene.admin)])
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            // It would end what is asked; and events have no end.
            .args(["--exclude-path", "/v1/drain", "--exclude-path", "/v1/overview/events"])
            .args(["--max-examples", "30", "--seed", "1"])
            .args(["--phases", "examples,coverage,fuzzing", "--checks", "all"])
            .args(["--no-color", "--continue-on-failure"]),
        DEADLINE * 5,
    );
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(scene.scene.get("/v1/status")["draining"], false);
}

// ---- the scenes ----

/// A proxy whose admin interface is on a port, with a token, in front of some servers.
struct Scene {
    proxy: Proxy,
    admin: String,
    folder: TempDir,
    servers: Vec<Upstream>,
}

impl Scene {
    fn start() -> Self {
        Self::with(vec![Upstream::echo()], "")
    }

    /// `keys` are the upstream's.
    fn with(servers: Vec<Upstream>, keys: &str) -> Self {
        Self::behind(servers, keys, "")
    }

    /// `rest` is added to the listener, and behind it.
    fn behind(servers: Vec<Upstream>, keys: &str, rest: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let token = folder.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).expect("a file in a temporary folder");
        let admin = format!("listen = \"127.0.0.1:0\"\ntoken-file = \"{}\"", token.display());
        let log = format!(
            "[access-log]\nfile = \"{}\"\n",
            folder.path().join("access.log").display()
        );
        let addresses: Vec<_> = servers.iter().map(Upstream::address).collect();
        let proxy = Proxy::run(&(log + &config(&admin, &addresses, keys) + rest)).start();
        let served = proxy.wait_for("admin interface is served", |_| true);
        Self {
            admin: served.text("address").to_owned(),
            proxy,
            folder,
            servers,
        }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    /// A connection from its beginning to its end.
    fn echoed(&self) -> Peer {
        let mut client = self.connect();
        client.send(b"hello");
        client.expect(b"hello");
        client.half_close();
        client.expect_eof();
        client
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, said) = self.say("GET", path, "");
        assert_eq!(status, 200, "{path}: {said}");
        said
    }

    #[track_caller]
    fn change(&self, server: &str, change: Value) -> Value {
        let path = format!("/v1/upstreams/only/servers/{server}");
        let (status, said) = self.say("POST", &path, &change.to_string());
        assert_eq!(status, 200, "{said}");
        said
    }

    #[track_caller]
    fn say(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let said = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        (status.expect("a status"), said)
    }

    fn raw(&self, request: &[u8]) -> String {
        let mut client = Client::connect(&self.admin);
        client.send(request);
        String::from_utf8(client.receive_all()).expect("an answer in UTF-8")
    }
}

/// The same with a filter named `wild`, from a file of its own.
struct Filtered {
    scene: Scene,
    file: PathBuf,
    component: Vec<u8>,
}

impl Filtered {
    fn start(keys: &str) -> Self {
        let component = fs::read(guest("inspector-pass")).expect("a guest can be read");
        let folder = TempDir::new().expect("a temporary folder").keep();
        let file = folder.join("wild.wasm");
        fs::write(&file, &component).expect("a file in a temporary folder");
        let filter = format!(
            "filters = [\"wild\"]\n[filters.wild]\nsource = \"{}\"\n{keys}\n",
            file.display()
        );
        Self {
            scene: Scene::behind(vec![Upstream::echo()], "", &filter),
            file,
            component,
        }
    }

    /// The same component with another digest.
    fn next(&self, number: u32) {
        let next = self.file.with_extension("next");
        fs::write(&next, variant(&self.component, number)).expect("a file beside the filter's");
        fs::rename(&next, &self.file).expect("a file can be renamed over another");
    }

    fn say(&self, what: &str) -> (u16, Value) {
        self.scene.say("POST", &format!("/v1/filters/wild/{what}"), "")
    }
}

impl Drop for Filtered {
    fn drop(&mut self) {
        if let Some(folder) = self.file.parent() {
            fs::remove_dir_all(folder).ok();
        }
    }
}

/// A proxy whose admin interface is a unix socket, in front of an echo.
struct Local {
    proxy: Proxy,
    socket: PathBuf,
    server: Upstream,
    _folder: TempDir,
}

impl Local {
    fn start(keys: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let socket = folder.path().join("admin.sock");
        let server = Upstream::echo();
        let admin = format!("listen = \"unix:{}\"\n{keys}", socket.display());
        Self {
            proxy: Proxy::run(&config(&admin, &[server.address()], "")).start(),
            socket,
            server,
            _folder: folder,
        }
    }

    fn ctl(&self, arguments: &[&str]) -> Finished {
        let admin = format!("unix:{}", self.socket.display());
        spliceway(["ctl", "--admin", &admin].iter().chain(arguments), DEADLINE)
    }
}

fn config(admin: &str, servers: &[&str], keys: &str) -> String {
    format!(
        "[admin]\n{admin}\n[upstreams.only]\nservers = {servers:?}\n{keys}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n"
    )
}

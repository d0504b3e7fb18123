//! What operators change while the proxy runs, beside its file: servers, limits, filters, and where they are listened to. And what
//! they are told before they do.

use std::fmt::Write as _;
use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use spliceway_tests::admin::Operator;
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::variant;
use spliceway_tests::ports::Port;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, eventually, spliceway};
use tempfile::TempDir;

// ---- before it is done ----

#[test]
fn a_reload_can_be_rehearsed_and_changes_nothing_then() {
    let (one, other) = (Upstream::named("a"), Upstream::named("b"));
    let scene = Scene::start(&one, "");
    let port = Port::reserve();
    let back = format!(
        "[[listeners]]\nname = \"back\"\naddress = \"127.0.0.1:{}\"\nupstream = \"only\"\n",
        port.number()
    );
    scene.write(&[&one, &other], "", &back);
    let lines = json!([
        format!("~ upstream \"only\": +{}", other.address()),
        "+ listener \"back\""
    ]);
    let rehearsed = scene.operator.done("POST", "/v1/reload?dry-run=true", "");
    assert_eq!(rehearsed["changed"], lines);
    assert_eq!(
        rehearsed["unchanged"],
        json!({ "filters": 0, "upstreams": 0, "listeners": 1 })
    );
    assert_eq!(scene.proxy.visits(4), [4, 0]);
    assert!(Client::try_connect(format!("127.0.0.1:{}", port.number())).is_err());
    let said = scene.operator.ctl(&["reload", "--dry-run"]).success();
    assert!(
        said.contains("+ listener \"back\"\n= as they are: filters: 0, upstreams: 0, listeners: 1"),
        "{said}"
    );

    // What is done is what was said.
    assert_eq!(scene.operator.done("POST", "/v1/reload", "")["changed"], lines);
    assert_eq!(scene.proxy.visits(4), [2, 2]);
    let nothing = scene.operator.ctl(&["reload", "--dry-run"]).success();
    assert_eq!(nothing.trim_end(), "= nothing changes");
}

#[test]
fn a_rehearsal_says_all_that_is_wrong() {
    let server = Upstream::named("a");
    let scene = Scene::start(&server, "");
    scene.write(&[&server], "", "workres = 2\n[limits]\nrate = -1\n");
    let said = scene.operator.refused(422, "POST", "/v1/reload?dry-run=true", "");
    assert!(
        said.contains("workres") && said.contains("-1 is out of range"),
        "{said}"
    );

    // Right as a file, and wrong in the world.
    fs::write(scene.proxy.folder().join("text.wasm"), "secret-in-a-file").unwrap();
    let more = "[filters.none]\nsource = \"none.wasm\"\n[filters.text]\nsource = \"text.wasm\"\n\
                [upstreams.tls]\nservers = [\"127.0.0.1:1\"]\ntls = { authorities = \"none.pem\" }\n\
                [[listeners]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\nupstream = \"tls\"\n\
                tls = { certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }] }\n";
    scene.write(&[&server], "", more);
    let said = scene.operator.refused(422, "POST", "/v1/reload?dry-run=true", "");
    for what in ["none.wasm", "text.wasm", "none.pem", "chain.pem"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
    scene.operator.refused(400, "POST", "/v1/reload?dry-run=maybe", "");
    scene.operator.refused(400, "POST", "/v1/reload?dryrun=true", "");
    assert_eq!(scene.proxy.visits(2), [2, 0]);
    // Nothing of it was counted as a reload.
    assert!(
        scene
            .proxy
            .logged("configuration rejected: the one before serves on")
            .is_empty()
    );
}

#[test]
fn a_filter_is_examined_without_a_trace() {
    let server = Upstream::echo();
    let scene = Filtered::start(&server, "");
    scene.next("other.wasm", 1);
    let text = fs::read_to_string(scene.scene.file()).unwrap();
    fs::write(scene.scene.file(), text.replace("wild.wasm", "other.wasm")).unwrap();
    let operator = &scene.scene.operator;
    assert_eq!(
        operator.done("POST", "/v1/reload?dry-run=true", "")["changed"],
        json!(["~ filter \"wild\": source"])
    );
    assert_eq!(scene.generations(), [1]);
    operator.done("POST", "/v1/reload", "");
    scene.scene.proxy.published("wild", 2);
}

#[test]
fn a_file_is_compared_with_the_process_that_runs() {
    let (one, other) = (Upstream::named("a"), Upstream::named("b"));
    let scene = Scene::start(&one, "");
    let new = scene.proxy.folder().join("new.toml");
    let text = |servers: &[&Upstream], rest: &str| scene.config(servers, "", rest);
    fs::write(&new, text(&[&one, &other], "")).unwrap();
    let token = scene.operator.token_file().display().to_string();
    let file = new.display().to_string();
    let against = |address: &str| {
        let arguments = ["check", "--config", &file, "--against", address, "--token-file", &token];
        spliceway(arguments, DEADLINE)
    };
    let said = against(scene.operator.address()).success();
    let line = format!("~ upstream \"only\": +{}\n", other.address());
    assert!(said.starts_with(&line) && said.contains("is valid"), "{said}");

    // What operators have changed is in force, too.
    scene.add(other.address(), "");
    let said = against(scene.operator.address()).success();
    assert!(said.starts_with("= nothing changes"), "{said}");
    fs::write(&new, text(&[&one], "")).unwrap();
    let said = against(scene.operator.address()).success();
    let kept = format!("= upstream \"only\": +{} (an operator's)\n", other.address());
    assert!(said.starts_with(&kept), "{said}");

    let nobody = against("127.0.0.1:1");
    assert_eq!(nobody.code(), Some(1));
    assert!(nobody.stderr.contains("is it running"), "{}", nobody.stderr);
    // `running` is what the file itself says.
    let at = scene.operator.table_at(scene.operator.address());
    fs::write(&new, text(&[&one], "").replace(&scene.operator.table(), &at)).unwrap();
    let said = spliceway(["check", "--config", &file, "--against", "running"], DEADLINE).success();
    assert!(said.starts_with("~ admin\n"), "{said}");
}

#[test]
fn a_plan_is_made_of_what_is_sent_and_of_nothing_else() {
    let server = Upstream::named("a");
    let scene = Scene::start(&server, "");
    let plan = |path: &str, text: &str| json!({ "path": path, "text": text }).to_string();
    let operator = &scene.operator;
    let text = scene.config(&[&server], "", "");
    let same = operator.done("POST", "/v1/plan", &plan("/nowhere/new.toml", &text));
    assert_eq!(same["changed"], json!([]));
    for (path, text) in [("new.toml", &*text), ("/", &text), ("", &text)] {
        operator.refused(422, "POST", "/v1/plan", &plan(path, text));
    }
    let said = operator.refused(422, "POST", "/v1/plan", &plan("/nowhere/new.toml", "workres = 1"));
    assert!(said.contains("/nowhere/new.toml:1:1"), "{said}");
    // Ten thousand servers.
    let mut many = text.clone();
    for upstream in 0..1_000 {
        let servers: Vec<_> = (0..10)
            .map(|server| format!("127.1.1.{server}:{}", upstream + 1))
            .collect();
        write!(many, "[upstreams.u{upstream}]\nservers = {servers:?}\n").unwrap();
    }
    let added = operator.done("POST", "/v1/plan", &plan("/nowhere/new.toml", &many));
    assert_eq!(added["changed"].as_array().unwrap().len(), 1_000);
    let endless = plan("/nowhere/new.toml", &"# endless\n".repeat(500_000));
    let mut client = operator.asking("POST", "/v1/plan", "");
    client.expect_closed();
    let mut client = Client::connect(operator.address());
    let head = format!(
        "POST /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        fs::read_to_string(operator.token_file()).unwrap().trim_end(),
        endless.len()
    );
    client.send(head.as_bytes());
    let answer = client.expect_closed();
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

// ---- servers ----

#[test]
fn a_server_that_is_added_gets_connections_and_one_that_is_removed_none() {
    let (one, other) = (Upstream::named("a"), Upstream::named("b"));
    let scene = Scene::start(&one, "");
    let upstream = scene.add(other.address(), r#", "weight": 3, "max_connections": 7"#);
    let added = &upstream["servers"][1];
    assert_eq!(
        (&added["origin"], &added["weight"], &added["max_connections"]),
        (&json!("operator"), &json!(3), &json!(7))
    );
    assert_eq!(upstream["servers"][0]["origin"], "file");
    assert_eq!(scene.proxy.visits(8), [2, 6]);
    scene.remove(one.address(), "");
    assert_eq!(scene.proxy.visits(4), [0, 4]);
    scene.operator.refused(409, "DELETE", &scene.path(other.address()), "");
    scene.add(one.address(), "");
    scene.remove(other.address(), "");
    assert_eq!(scene.proxy.visits(4), [4, 0]);
    assert_eq!(scene.server(one.address())["origin"], "file");

    let servers = "/v1/upstreams/only/servers";
    let address = one.address();
    for (status, method, path, body, said) in [
        (
            409,
            "POST",
            servers,
            format!(r#"{{"address": "{address}"}}"#),
            "already",
        ),
        (
            422,
            "POST",
            servers,
            r#"{"address": "10.0.0.1"}"#.to_owned(),
            "the port is missing",
        ),
        (
            422,
            "POST",
            servers,
            r#"{"address": "10.0.0.1:1", "weight": 0}"#.to_owned(),
            "expected 1 to 256",
        ),
        (
            422,
            "POST",
            servers,
            r#"{"address": "10.0.0.1:1", "wieght": 1}"#.to_owned(),
            "wieght",
        ),
        (
            422,
            "POST",
            servers,
            r#"{"address": "\" }\nx = 1"}"#.to_owned(),
            "out of",
        ),
        (422, "POST", servers, "{}".to_owned(), "address"),
        (
            404,
            "POST",
            "/v1/upstreams/other/servers",
            r#"{"address": "10.0.0.1:1"}"#.to_owned(),
            "other",
        ),
        (
            404,
            "DELETE",
            "/v1/upstreams/only/servers/10.0.0.1:1",
            String::new(),
            "10.0.0.1:1",
        ),
        (
            422,
            "DELETE",
            "/v1/upstreams/only/servers/10.0.0.1:1?on-change=stop",
            String::new(),
            "stop",
        ),
        (
            400,
            "DELETE",
            "/v1/upstreams/only/servers/10.0.0.1:1?onchange=keep",
            String::new(),
            "onchange",
        ),
    ] {
        let error = scene.operator.refused(status, method, path, &body);
        assert!(error.contains(said) || said == "out of", "{body}: {error}");
    }
}

#[test]
fn connections_of_a_server_that_is_removed_end_as_whoever_removes_it_says() {
    for (keys, fate, outcome) in [
        ("", "", None),
        ("", "?on-change=kill", Some("relay.server-down.upstream")),
        ("on-change = \"kill\"", "", Some("relay.server-down.upstream")),
        ("on-change = \"kill\"", "?on-change=keep", None),
        ("", "?on-change=drain:1s", Some("relay.server-down.upstream")),
    ] {
        let (one, other) = (Upstream::listen(), Upstream::listen());
        let scene = Scene::start(&one, keys);
        let mut live = scene.talk(&one);
        scene.add(other.address(), "");
        scene.remove(one.address(), fate);
        scene.talk(&other);
        match outcome {
            None => {
                live.0.send(b"still");
                live.1.expect(b"still");
            }
            Some(outcome) => {
                live.0.expect_eof();
                assert_eq!(scene.proxy.ended(&live.0).outcome, outcome, "{keys} {fate}");
            }
        }
    }
}

#[test]
fn a_server_that_is_added_is_asked_whether_it_lives() {
    let one = Upstream::named("a");
    let (_port, dead) = Upstream::refusing();
    let health = "health = { interval = \"1h\", fast-interval = \"50ms\", timeout = \"10ms\", fall = 1, rise = 1 }";
    let scene = Scene::start(&one, health);
    scene.proxy.wait_for("server up", |_| true);
    scene.add(&dead, "");
    let down = scene
        .proxy
        .wait_for("server down", |event| event.text("server") == dead);
    assert_eq!(down.text("upstream"), "only");
    assert_eq!(scene.server(&dead)["health"], "down");
    assert_eq!(scene.proxy.visits(10), [10, 0]);
}

#[test]
fn what_operators_did_to_servers_stays_across_reloads_until_the_file_says_something_else_of_them() {
    let (one, other) = (Upstream::named("a"), Upstream::named("b"));
    let third = Upstream::named("a");
    let scene = Scene::start(&one, "");
    scene.add(other.address(), "");
    scene.remove(one.address(), "");
    // Nothing of servers: all stays.
    scene.write(&[&one], "balance = \"random\"", "");
    let reloaded = scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(reloaded["changed"], json!(["~ upstream \"only\": balance"]));
    let kept = format!(
        "upstream \"only\": +{}, -{} (an operator's)",
        other.address(),
        one.address()
    );
    assert_eq!(reloaded["kept"], json!([kept]));
    assert_eq!(scene.proxy.visits(4), [0, 4]);

    // Other servers: what was removed is back, what was added stays.
    scene.write(&[&one, &third], "", "");
    scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(scene.proxy.visits(6), [4, 2]);
    assert_eq!(scene.server(other.address())["origin"], "operator");
    // It is named: from now on it is the file's, and goes with it.
    scene.write(&[&one, &third, &other], "", "");
    let reloaded = scene.operator.done("POST", "/v1/reload", "");
    assert_eq!((&reloaded["changed"], &reloaded["kept"]), (&json!([]), &json!([])));
    assert_eq!(scene.server(other.address())["origin"], "file");
    scene.write(&[&one, &third], "", "");
    scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(scene.proxy.visits(4), [4, 0]);
}

#[test]
fn an_address_of_a_name_cannot_be_removed_and_the_name_can() {
    let one = Upstream::named("a");
    let other = Upstream::named("b");
    let scene = Scene::start(&one, "");
    let name = format!("localhost:{}", other.port());
    scene.add(&name, "");
    let found = scene.server(other.address());
    assert_eq!((&found["origin"], &found["host"]), (&json!("dns"), &json!("localhost")));
    let said = scene.operator.refused(409, "DELETE", &scene.path(other.address()), "");
    assert!(said.contains("an address of a name"), "{said}");
    scene.remove(&name, "");
    assert_eq!(scene.proxy.visits(4), [4, 0]);
}

#[test]
fn ctl_adds_and_removes_servers() {
    let (one, other) = (Upstream::named("a"), Upstream::named("b"));
    let scene = Scene::start(&one, "");
    let added = scene.operator.ctl(&[
        "server",
        "add",
        "only",
        other.address(),
        "--weight",
        "2",
        "--backup",
        "--max-connections",
        "5",
    ]);
    let added = added.success();
    assert!(
        added.contains(&format!("{} (backup) (operator)", other.address())),
        "{added}"
    );
    assert!(added.contains("0/5"), "{added}");
    let removed = scene
        .operator
        .ctl(&["server", "remove", "only", other.address(), "--on-change", "drain:5m"]);
    assert!(!removed.success().contains(other.address()));
    let wrong = scene.operator.ctl(&["server", "add", "only", "10.0.0.1"]);
    assert!(wrong.stderr.contains("the port is missing"), "{}", wrong.stderr);
}

// ---- limits ----

#[test]
fn limits_are_changed_and_those_who_are_there_still_count() {
    for path in ["/v1/limits", "/v1/listeners/front/limits"] {
        let server = Upstream::listen();
        let scene = Scene::start(&server, "");
        let operator = &scene.operator;
        let unlimited = operator.get(path);
        assert_eq!(unlimited["limits"], unlimited["configured"]);
        assert!(unlimited["limits"]["connections"].is_null());

        let limit = |most: u32| {
            let body = json!({ "connections": most, "at_limit": "rst" }).to_string();
            let said = operator.done("PUT", path, &body);
            assert_eq!(said["limits"]["connections"], most);
            assert!(said["configured"]["connections"].is_null());
        };
        limit(3);
        let mut live: Vec<_> = (0..3).map(|_| scene.talk(&server)).collect();
        scene.connect().expect_reset();
        limit(4);
        live.push(scene.talk(&server));
        scene.connect().expect_reset();
        // Four are there, and two may be.
        limit(2);
        let mut leave = || {
            let (mut client, peer) = live.pop().unwrap();
            drop(peer);
            client.expect_eof();
            drop(client);
            eventually("it has ended", || {
                (operator.get("/v1/status")["connections"] == live.len()).then_some(())
            });
        };
        for _ in 0..2 {
            leave();
            scene.connect().expect_reset();
        }
        leave();
        operator.done("PUT", path, r#"{"connections": 2, "at_limit": "queue(30s)"}"#);
        live.push(scene.talk(&server));
        limit(2);
        scene.connect().expect_reset();
        let lifted = operator.done("PUT", path, "{}");
        assert_eq!(lifted["limits"], lifted["configured"]);
        scene.talk(&server);
    }
}

#[test]
fn a_reload_that_changes_a_limit_counts_those_who_are_there() {
    let server = Upstream::listen();
    let with = |most: u32| format!("limits = {{ connections = {most}, at-limit = \"rst\" }}\n");
    let scene = Scene::of(Operator::new(), &[&server], "", &with(2));
    let mut live: Vec<_> = (0..2).map(|_| scene.talk(&server)).collect();
    scene.connect().expect_reset();
    scene.write(&[&server], "", &with(3));
    scene.operator.done("POST", "/v1/reload", "");
    live.push(scene.talk(&server));
    scene.connect().expect_reset();
    drop(live);
}

#[test]
fn limits_stay_until_a_reload_changes_them() {
    let server = Upstream::listen();
    let scene = Scene::start(&server, "");
    scene.operator.done("PUT", "/v1/limits", r#"{"connections": 5}"#);
    scene.operator.done(
        "PUT",
        "/v1/listeners/front/limits",
        r#"{"rate_per_client": 9, "at_limit": "queue(2s)"}"#,
    );
    let now = || {
        let all = scene.operator.get("/v1/limits")["limits"]["connections"].clone();
        let front = scene.operator.get("/v1/listeners/front/limits")["limits"].clone();
        (all, front["rate_per_client"].clone(), front["at_limit"].clone())
    };
    assert_eq!(now(), (json!(5), json!(9), json!("queue(2s)")));
    scene.write(&[&server], "balance = \"random\"", "");
    let reloaded = scene.operator.done("POST", "/v1/reload", "");
    let kept = json!(["limits (an operator's)", "listener \"front\": limits (an operator's)"]);
    assert_eq!(reloaded["kept"], kept);
    assert_eq!(now(), (json!(5), json!(9), json!("queue(2s)")));
    scene.write(&[&server], "", "[limits]\nconnections = 7\n");
    scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(now(), (json!(7), json!(9), json!("queue(2s)")));

    for (path, body, status) in [
        ("/v1/limits", r#"{"connections": 0}"#, 422),
        ("/v1/limits", r#"{"at_limit": "delya"}"#, 422),
        ("/v1/limits", r#"{"conections": 1}"#, 422),
        ("/v1/limits", r#"{"ipv6_prefix": 129}"#, 422),
        ("/v1/listeners/back/limits", "{}", 404),
    ] {
        scene.operator.refused(status, "PUT", path, body);
    }
    scene.operator.refused(404, "GET", "/v1/listeners/back/limits", "");
    let rows = |arguments: &[&str]| {
        let said = scene.operator.ctl(arguments).success();
        let row = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        said.lines().map(row).collect::<Vec<_>>()
    };
    assert!(rows(&["limits"]).contains(&"connections 7 7".to_owned()));
    let set = rows(&[
        "limits",
        "set",
        "--listener",
        "front",
        "--rate",
        "8",
        "--at-limit",
        "fin",
    ]);
    for row in ["rate 8 -", "rate-per-client - -", "at-limit fin queue(5s)"] {
        assert!(set.contains(&row.to_owned()), "{set:?}");
    }
}

// ---- filters ----

#[test]
fn another_component_is_loaded_until_a_reload_changes_the_filter() {
    let server = Upstream::echo();
    let scene = Filtered::start(&server, "");
    let operator = &scene.scene.operator;
    let other = scene.next("other.wasm", 1);
    let load = |body: Value| operator.done("POST", "/v1/filters/wild/load", &body.to_string());
    let loaded = load(json!({ "source": other }));
    assert_eq!(
        (&loaded["changed"], &loaded["filter"]["generation"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(loaded["filter"]["source"], *other);
    // Another reload leaves it alone, and one of this filter does not.
    operator.done("POST", "/v1/reload", "");
    assert_eq!(operator.get("/v1/filters")["filters"][0]["source"], *other);
    let text = fs::read_to_string(scene.scene.file()).unwrap();
    fs::write(scene.scene.file(), format!("{text}sessions-per-instance = 7\n")).unwrap();
    operator.done("POST", "/v1/reload", "");
    let filter = operator.get("/v1/filters")["filters"][0].clone();
    assert!(filter["source"].as_str().unwrap().ends_with("wild.wasm"), "{filter}");
    assert_eq!(filter["generation"], 3);

    let said = operator.ctl(&["filter", "load", "wild", &other]).success();
    assert!(said.contains("changed: generation 4 of `wild` serves"), "{said}");
    let said = operator.ctl(&["filter", "load", "wild", &other]).success();
    assert!(said.contains("unchanged: generation 4"), "{said}");
}

#[test]
fn what_is_loaded_by_an_operator_is_a_canary_where_there_is_one_and_has_the_digest_that_he_says() {
    let server = Upstream::echo();
    let scene = Filtered::start(&server, "canary = { clients = [\"127.0.0.9\"], for = \"1h\" }");
    let operator = &scene.scene.operator;
    let other = scene.next("other.wasm", 1);
    let digest = format!("sha256:{}", "0".repeat(64));
    let body = json!({ "source": other, "digest": digest }).to_string();
    let said = operator.refused(422, "POST", "/v1/filters/wild/load", &body);
    let actual = said
        .split("it has the digest ")
        .nth(1)
        .and_then(|rest| rest.split(':').nth(1));
    let actual = format!("sha256:{}", actual.expect("the digest"));
    assert_eq!(scene.generations(), [1]);

    let body = json!({ "source": other, "digest": actual }).to_string();
    operator.done("POST", "/v1/filters/wild/load", &body);
    scene
        .scene
        .proxy
        .wait_for("canary began", |event| event.number("generation") == 2);
    let promoted = operator.done("POST", "/v1/filters/wild/promote", "");
    assert_eq!(promoted["filter"]["generation"], 2);
    // Nothing else is loaded from there.
    scene.next("other.wasm", 2);
    scene.scene.proxy.wait_for("filter rejected", |event| {
        event.text("error").contains("it has the digest")
    });
    assert_eq!(operator.get("/v1/status")["generations"]["wild"], 2);
}

#[test]
fn whoever_may_load_filters_reads_no_files_by_it() {
    let server = Upstream::echo();
    let scene = Filtered::start(&server, "");
    let folder = scene.folder.path();
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(folder.join("text"), "root:secret:0:0").unwrap();
    fs::write(folder.join("almost"), b"\0asm\x0d\0\x01\0secret").unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(folder.join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    for (source, expected) in [
        (at("text"), "no valid WebAssembly"),
        (at("almost"), "no valid WebAssembly"),
        (at("none"), "No such file"),
        (folder.display().to_string(), "directory"),
        (at("fifo"), "is no file"),
        ("/dev/zero".to_owned(), "is no file"),
        ("wild.wasm".to_owned(), "expected an absolute path"),
        ("https://localhost/x.wasm".to_owned(), "from a file or from a registry"),
        (String::new(), "no path"),
    ] {
        let body = json!({ "source": source }).to_string();
        let said = scene
            .scene
            .operator
            .refused(422, "POST", "/v1/filters/wild/load", &body);
        assert!(said.contains(expected) && !said.contains("secret"), "{source}: {said}");
    }
    let body = json!({ "source": at("wild.wasm"), "digest": "sha256:0" }).to_string();
    scene
        .scene
        .operator
        .refused(422, "POST", "/v1/filters/wild/load", &body);
    let body = json!({ "source": at("wild.wasm") }).to_string();
    scene
        .scene
        .operator
        .refused(404, "POST", "/v1/filters/other/load", &body);
    assert_eq!(scene.generations(), [1]);
    assert!(!scene.scene.proxy.log_text().contains("secret"));
}

// ---- where operators are listened to ----

#[test]
fn the_admin_interface_moves_and_answers_whoever_has_moved_it() {
    let server = Upstream::named("a");
    let mut scene = Scene::start(&server, "");
    let before = scene.operator.address().to_owned();
    let socket = scene.proxy.folder().join("admin.sock");
    let unix = format!("[admin]\nlisten = \"unix:{}\"\n", socket.display());
    let text = scene.config(&[&server], "", "").replace(&scene.operator.table(), &unix);
    fs::write(scene.file(), &text).unwrap();
    let reloaded = scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(reloaded["changed"], json!(["~ admin"]));
    eventually("nobody answers there any more", || Client::try_connect(&before).err());
    let admin = format!("unix:{}", socket.display());
    let said = spliceway(["ctl", "--admin", &admin, "reload"], DEADLINE).success();
    assert!(said.contains("reloaded"), "{said}");

    // And away, and back at a port.
    fs::write(scene.file(), text.replace(&unix, "")).unwrap();
    spliceway(["ctl", "--admin", &admin, "reload"], DEADLINE).success();
    eventually("nobody answers there any more", || {
        spliceway(["ctl", "--admin", &admin, "status"], DEADLINE)
            .stderr
            .contains("cannot ask")
            .then_some(())
    });
    fs::write(scene.file(), scene.config(&[&server], "", "")).unwrap();
    let seen = scene.proxy.logged("admin interface is served").len();
    scene.proxy.signal(Signal::HUP);
    let address = eventually("it is served", || {
        let served = scene.proxy.logged("admin interface is served");
        served.get(seen).map(|event| event.text("address").to_owned())
    });
    scene.operator = scene.operator.at(&address);
    assert_eq!(scene.proxy.visits(2), [2, 0]);
    assert_eq!(scene.operator.get("/v1/status")["draining"], false);
}

#[test]
fn a_proxy_that_had_no_admin_interface_gets_one_and_its_connections_from_then_on_are_known() {
    let server = Upstream::listen();
    let operator = Operator::new();
    let table = operator.table();
    let config = config("", &[&server], "", "");
    let proxy = Proxy::run(&config).start();
    let (before, _peer) = talk(&proxy, &server);
    fs::write(proxy.folder().join("spliceway.toml"), format!("{table}{config}")).unwrap();
    proxy.signal(Signal::HUP);
    let operator = operator.of(&proxy);
    proxy.wait_for("configuration reloaded", |_| true);
    // Workers hear of it in their turn.
    eventually("a connection is known", || {
        let (client, _peer) = talk(&proxy, &server);
        let connections = operator.get("/v1/connections")["connections"].clone();
        let is_it = |connection: &Value| connection["client"] == client.local();
        connections.as_array()?.iter().any(is_it).then_some(())
    });
    let connections = operator.get("/v1/connections")["connections"].clone();
    let is_before = |connection: &Value| connection["client"] == before.local();
    assert!(!connections.as_array().unwrap().iter().any(is_before), "{connections}");
}

#[test]
fn another_token_is_asked_for_at_the_socket_that_stays() {
    let server = Upstream::named("a");
    let mut scene = Scene::start(&server, "");
    let old = "5f1c0a8f4f3f6a2d9be07c81d4e5a6b7";
    let new = "00000000000000000000000000000000";
    // Whoever has begun to ask is still answered.
    let mut early = Client::connect(scene.operator.address());
    early.send(format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {old}\r\n").as_bytes());
    let address = scene.operator.address().to_owned();
    fs::write(scene.operator.token_file(), format!("{new}\n")).unwrap();
    let reloaded = scene.operator.done("POST", "/v1/reload", "");
    assert_eq!(reloaded["changed"], json!([]));
    scene
        .proxy
        .wait_for("the token of [admin] is another one from now on", |_| true);
    let with = |token: &str| {
        let mut client = Client::connect(&address);
        let head =
            format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        client.send(head.as_bytes());
        String::from_utf8(client.receive_all()).unwrap()
    };
    eventually("the old one is refused", || {
        with(old).starts_with("HTTP/1.1 401").then_some(())
    });
    assert!(with(new).starts_with("HTTP/1.1 200"));
    // One that is none changes nothing.
    fs::write(scene.operator.token_file(), "short\n").unwrap();
    scene.proxy.signal(Signal::HUP);
    scene
        .proxy
        .wait_for("the token of [admin] is rejected: the one before is asked for", |_| {
            true
        });
    assert!(with(new).starts_with("HTTP/1.1 200"));
    let log = scene.proxy.log_text();
    assert!(!log.contains(old) && !log.contains(new) && !log.contains("short"));
    scene.operator = scene.operator.with_token(new);
    assert_eq!(scene.operator.get("/v1/status")["draining"], false);
}

#[test]
fn an_admin_interface_that_cannot_be_moved_stays_where_it_is() {
    let server = Upstream::named("a");
    let scene = Scene::start(&server, "");
    let occupied = Upstream::listen();
    let text = scene.config(&[&server], "", "");
    let there = scene.operator.table_at(occupied.address());
    fs::write(scene.file(), text.replace(&scene.operator.table(), &there)).unwrap();
    let said = scene.operator.refused(422, "POST", "/v1/reload", "");
    assert!(said.contains("in use") && said.contains("admin"), "{said}");
    assert_eq!(scene.operator.get("/v1/status")["draining"], false);
}

// ---- the scenes ----

/// A proxy that an operator may tell what to do, in front of servers.
struct Scene {
    proxy: Proxy,
    operator: Operator,
}

impl Scene {
    /// `keys` are the upstream's.
    fn start(server: &Upstream, keys: &str) -> Self {
        Self::of(Operator::new(), &[server], keys, "")
    }

    /// `rest` is added to the listener, and behind it.
    fn of(operator: Operator, servers: &[&Upstream], keys: &str, rest: &str) -> Self {
        let proxy = Proxy::run(&config(&operator.table(), servers, keys, rest)).start();
        let operator = operator.of(&proxy);
        Self { proxy, operator }
    }

    fn config(&self, servers: &[&Upstream], keys: &str, rest: &str) -> String {
        config(&self.operator.table(), servers, keys, rest)
    }

    fn file(&self) -> std::path::PathBuf {
        self.proxy.folder().join("spliceway.toml")
    }

    fn write(&self, servers: &[&Upstream], keys: &str, rest: &str) {
        fs::write(self.file(), self.config(servers, keys, rest)).expect("a file can be written");
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    fn talk(&self, server: &Upstream) -> (Peer, Peer) {
        talk(&self.proxy, server)
    }

    #[track_caller]
    fn add(&self, address: &str, more: &str) -> Value {
        let body = format!("{{\"address\": \"{address}\"{more}}}");
        let (status, said) = self.operator.say("POST", "/v1/upstreams/only/servers", &body);
        assert_eq!(status, 201, "{said}");
        said
    }

    fn path(&self, address: &str) -> String {
        format!("/v1/upstreams/only/servers/{address}")
    }

    #[track_caller]
    fn remove(&self, address: &str, query: &str) -> Value {
        self.operator
            .done("DELETE", &format!("{}{query}", self.path(address)), "")
    }

    #[track_caller]
    fn server(&self, address: &str) -> Value {
        let upstreams = self.operator.get("/v1/upstreams");
        let servers = upstreams["upstreams"][0]["servers"].as_array().expect("servers");
        let found = servers.iter().find(|server| server["address"] == *address);
        found.unwrap_or_else(|| panic!("no {address}: {upstreams}")).clone()
    }
}

/// The same with a filter named `wild`, from a file of its own.
struct Filtered {
    scene: Scene,
    folder: TempDir,
}

impl Filtered {
    fn start(server: &Upstream, keys: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("wild.wasm");
        fs::copy(guest("inspector-pass"), &file).expect("a guest can be copied");
        let filter = format!(
            "filters = [\"wild\"]\n[filters.wild]\nsource = \"{}\"\n{keys}\n",
            file.display()
        );
        let scene = Scene::of(Operator::new(), &[server], "", &filter);
        Self { scene, folder }
    }

    /// The same component with another digest, in a file of that name: its path.
    fn next(&self, name: &str, number: u32) -> String {
        let component = fs::read(guest("inspector-pass")).expect("a guest can be read");
        let file = self.folder.path().join(name);
        let new = file.with_extension("next");
        fs::write(&new, variant(&component, number)).expect("a file in a temporary folder");
        fs::rename(&new, &file).expect("a file can be renamed over another");
        file.display().to_string()
    }

    fn generations(&self) -> Vec<u64> {
        let filters = self.scene.operator.get("/v1/filters");
        let generations = filters["filters"][0]["generations"].as_array().expect("generations");
        generations
            .iter()
            .filter_map(|generation| generation["number"].as_u64())
            .collect()
    }
}

/// A client and its server, connected through the proxy, of whom each has heard the other.
fn talk(proxy: &Proxy, server: &Upstream) -> (Peer, Peer) {
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    let mut peer = server.accept();
    peer.expect(b"hello");
    peer.send(b"welcome");
    client.expect(b"welcome");
    (client, peer)
}

fn config(admin: &str, servers: &[&Upstream], keys: &str, rest: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| server.address()).collect();
    // Tables first: what stands behind a listener's keys is the listener's.
    format!(
        "{admin}[upstreams.only]\nservers = {servers:?}\n{keys}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n{rest}"
    )
}

//! A configuration takes the place of another one while the proxy serves: connections go on, and what has not changed does
//! not notice.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spliceway_tests::ports::Port;
use spliceway_tests::{Client, Event, Peer, Proxy, Upstream, artifacts, eventually};

/// Writes the configuration anew, and has it read. Says what came of it: the event of its end.
#[track_caller]
fn reload(proxy: &Proxy, config: &str) -> Event {
    let ends = |proxy: &Proxy| {
        let mut ends = proxy.logged("configuration reloaded");
        ends.extend(proxy.logged("configuration rejected: the one before serves on"));
        ends
    };
    let before = ends(proxy);
    write(proxy, config);
    proxy.signal(Signal::HUP);
    eventually("the configuration was read", || {
        ends(proxy).into_iter().find(|event| !before.contains(event))
    })
}

/// As an editor does it: all at once.
fn write(proxy: &Proxy, config: &str) {
    let file = proxy.folder().join("spliceway.toml");
    let new = file.with_extension("new");
    fs::write(&new, config).unwrap();
    fs::rename(new, file).unwrap();
}

#[track_caller]
fn reloaded(proxy: &Proxy, config: &str) {
    let event = reload(proxy, config);
    assert_eq!(event.message(), "configuration reloaded", "{event}");
}

fn listener(name: &str, keys: &str) -> String {
    format!("[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n{keys}\n")
}

fn upstream(name: &str, keys: &str) -> String {
    format!("[upstreams.{name}]\n{keys}\n")
}

fn servers(upstreams: &[&Upstream]) -> String {
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address()).collect();
    format!("servers = {addresses:?}")
}

/// A client and its server, connected through the proxy, of whom each has heard the other.
fn talk(address: &str, upstream: &Upstream) -> (Peer, Peer) {
    let mut client = Client::connect(address);
    client.send(b"hello");
    let mut server = upstream.accept();
    server.expect(b"hello");
    server.send(b"welcome");
    client.expect(b"welcome");
    (client, server)
}

#[track_caller]
fn go_on((client, server): &mut (Peer, Peer)) {
    client.send(b"still");
    server.expect(b"still");
    server.send(b"here");
    client.expect(b"here");
}

#[test]
fn listeners_come_and_go_and_connections_stay() {
    let (blue, green) = (Upstream::listen(), Upstream::listen());
    let base = format!(
        "{}{}",
        upstream("blue", &servers(&[&blue])),
        upstream("green", &servers(&[&green]))
    );
    let front = listener("front", "upstream = \"blue\"");
    let proxy = Proxy::run(&format!("{base}{front}")).start();
    let mut live = talk(proxy.listener("front"), &blue);

    // In front of the other one: where the kernel chooses ports, the places in the file mean nothing.
    reloaded(
        &proxy,
        &format!("{base}{}{front}", listener("back", "upstream = \"green\"")),
    );
    let back = proxy.wait_for("listening", |event| event.text("listener") == "back");
    let mut later = talk(back.text("address"), &green);
    go_on(&mut live);

    reloaded(&proxy, &format!("{base}{front}"));
    // Those that are still accepted meet the green server.
    let gone = || Client::try_connect(back.text("address")).err();
    eventually("nobody listens there any more", gone);
    go_on(&mut live);
    go_on(&mut later);
    talk(proxy.listener("front"), &blue);
}

#[test]
fn servers_are_replaced_under_connections_that_go_on() {
    let (one, other) = (Upstream::listen(), Upstream::listen());
    let front = listener("front", "upstream = \"blue\"");
    let with = |server: &Upstream| format!("{}{front}", upstream("blue", &servers(&[server])));
    let proxy = Proxy::run(&with(&one)).start();
    let mut live = talk(proxy.address(), &one);
    reloaded(&proxy, &with(&other));
    let mut later = talk(proxy.address(), &other);
    go_on(&mut live);
    reloaded(&proxy, &with(&one));
    talk(proxy.address(), &one);
    go_on(&mut live);
    go_on(&mut later);
}

#[test]
fn a_wrong_file_changes_nothing_and_all_that_is_wrong_is_said() {
    let server = Upstream::listen();
    let base = format!(
        "{}{}",
        upstream("blue", &servers(&[&server])),
        listener("front", "upstream = \"blue\"")
    );
    let proxy = Proxy::run(&base).start();
    let mut live = talk(proxy.address(), &server);

    let event = reload(&proxy, &format!("{base}\nworkres = 2\n[limits]\nrate = -1\n"));
    assert_eq!(event.message(), "configuration rejected: the one before serves on");
    let error = event.text("error");
    assert!(
        error.contains("workres") && error.contains("rate") && error.contains("spliceway.toml:"),
        "{error}"
    );
    go_on(&mut live);

    // Right as a file, and wrong in the world: two things at once.
    let taken = Port::reserve();
    let occupied = Upstream::listen();
    let more = format!(
        "{base}[[listeners]]\nname = \"taken\"\naddress = \"{}\"\nupstream = \"blue\"\n[filters.none]\nsource = \"none.wasm\"\n",
        occupied.address()
    );
    drop(taken);
    reload(&proxy, &more);
    let told = eventually("both are told", || {
        let told = proxy.logged("configuration rejected: the one before serves on");
        let told: Vec<_> = told.iter().map(|event| event.text("error").to_owned()).collect();
        let has = |what: &str| told.iter().any(|error| error.contains(what));
        (has("the address is in use") && has("none.wasm")).then_some(told)
    });
    assert!(
        told.iter().any(|error| error.contains("listener \"taken\"")),
        "{told:?}"
    );
    go_on(&mut live);
    talk(proxy.address(), &server);

    // And the next good one is taken as ever.
    reloaded(&proxy, &format!("{base}{}", listener("back", "upstream = \"blue\"")));
}

#[test]
fn what_the_operator_wants_becomes_of_connections() {
    let (blue, green) = (Upstream::listen(), Upstream::listen());
    let base = format!(
        "{}{}",
        upstream("blue", &servers(&[&blue])),
        upstream("green", &servers(&[&green]))
    );
    let front = |keys: &str| listener("front", &format!("upstream = \"blue\"\n{keys}"));
    let back = listener("back", "upstream = \"green\"\non-change = { drain = \"2s\" }");
    let proxy = Proxy::run(&format!("{base}{}{back}", front("on-change = \"kill\""))).start();

    let mut killed = talk(proxy.listener("front"), &blue);
    let mut drained = talk(proxy.listener("back"), &green);
    // Another timeout for new connections; the one that was there is not to stay.
    let other = front("on-change = \"kill\"\ntimeouts = { idle = \"5m\" }");
    reloaded(&proxy, &format!("{base}{other}{back}"));
    killed.0.expect_eof();
    killed.1.expect_eof();
    assert_eq!(proxy.ended(&killed.0).outcome, "relay.reconfigured.proxy");
    go_on(&mut drained);

    // The listener is removed: its connection has its time, and then none.
    let removed = Instant::now();
    reloaded(&proxy, &format!("{base}{other}"));
    go_on(&mut drained);
    drained.0.expect_eof();
    assert!(
        removed.elapsed() >= Duration::from_millis(900),
        "{:?}",
        removed.elapsed()
    );
    talk(proxy.listener("front"), &blue);
}

#[test]
fn the_route_that_was_changed_is_all_that_is_ended() {
    let (blue, green) = (Upstream::listen(), Upstream::listen());
    let base = format!(
        "{}{}",
        upstream("blue", &servers(&[&blue])),
        upstream("green", &servers(&[&green]))
    );
    let routes = |protocol: &str| {
        let route = format!(
            "[[listeners.routes]]\nname = \"special\"\nprotocol = [\"{protocol}\"]\nupstream = \"green\"\non-change = \"kill\"\n"
        );
        format!("{base}{}{route}", listener("front", "upstream = \"blue\""))
    };
    let proxy = Proxy::run(&routes("ssh")).start();
    let mut plain = Client::connect(proxy.address());
    plain.send(b"hello there, this is nothing known\r\n");
    let mut plain = (plain, blue.accept());
    plain.1.expect(b"hello there, this is nothing known\r\n");
    let mut special = Client::connect(proxy.address());
    special.send(b"SSH-2.0-test\r\n");
    let mut server = green.accept();
    server.expect(b"SSH-2.0-test\r\n");

    reloaded(&proxy, &routes("redis"));
    special.expect_eof();
    server.expect_eof();
    go_on(&mut plain);
}

#[test]
fn an_upstream_that_is_removed_may_keep_or_lose_its_connections() {
    let (blue, green, red) = (Upstream::listen(), Upstream::listen(), Upstream::listen());
    let red_alone = format!(
        "{}{}",
        upstream("red", &servers(&[&red])),
        listener("front", "upstream = \"red\"")
    );
    for (keys, stays) in [("", true), ("on-change = \"kill\"", false)] {
        let config = format!(
            "{}{}{}",
            upstream("blue", &format!("{}\n{keys}", servers(&[&blue]))),
            upstream("green", &servers(&[&green])),
            listener("front", "upstream = \"blue\"")
        );
        let proxy = Proxy::run(&config).start();
        let mut live = talk(proxy.address(), &blue);
        reloaded(&proxy, &red_alone);
        talk(proxy.address(), &red);
        if stays {
            go_on(&mut live);
        } else {
            live.0.expect_eof();
        }
    }
}

#[test]
fn two_listeners_change_places_and_no_client_is_refused() {
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let base = format!(
        "{}{}",
        upstream("blue", &servers(&[&blue])),
        upstream("green", &servers(&[&green]))
    );
    let (one, other) = (Port::reserve(), Port::reserve());
    let (one, other) = (one.number(), other.number());
    let at = |name: &str, port: u16, upstream: &str| {
        format!("[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nupstream = \"{upstream}\"\n")
    };
    let proxy = Proxy::run(&format!("{base}{}{}", at("a", one, "blue"), at("b", other, "green"))).start();
    Client::connect(format!("127.0.0.1:{one}")).expect(b"blue");
    reloaded(
        &proxy,
        &format!("{base}{}{}", at("a", other, "blue"), at("b", one, "green")),
    );
    Client::connect(format!("127.0.0.1:{one}")).expect(b"green");
    Client::connect(format!("127.0.0.1:{other}")).expect(b"blue");
}

#[test]
fn a_file_that_is_watched_is_read_when_it_changes() {
    let (one, other) = (Upstream::named("one"), Upstream::named("other"));
    let with = |server: &Upstream| {
        format!(
            "[reload]\nwatch = true\n{}{}",
            upstream("blue", &servers(&[server])),
            listener("front", "upstream = \"blue\"")
        )
    };
    let proxy = Proxy::run(&with(&one)).start();
    Client::connect(proxy.address()).expect(b"one");
    for server in [&other, &one] {
        let before = proxy.logged("configuration reloaded").len();
        write(&proxy, &with(server));
        eventually("it was read", || {
            (proxy.logged("configuration reloaded").len() > before).then_some(())
        });
    }
    Client::connect(proxy.address()).expect(b"one");
}

#[test]
fn health_is_known_across_a_reload() {
    let alive = Upstream::named("alive");
    let (_port, dead) = Upstream::refusing();
    let with = |keys: &str| {
        let health = "health = { interval = \"1h\", fast-interval = \"50ms\", timeout = \"10ms\", fall = 1, rise = 1 }";
        let keys = format!("servers = [\"{}\", \"{dead}\"]\n{health}\n{keys}", alive.address());
        format!(
            "{}{}",
            upstream("blue", &keys),
            listener("front", "upstream = \"blue\"")
        )
    };
    let proxy = Proxy::run(&with("")).start();
    proxy.wait_for("server down", |event| event.text("server") == dead);
    reloaded(&proxy, &with("balance = \"random\"\nretries = 0"));
    for _ in 0..20 {
        Client::connect(proxy.address()).expect(b"alive");
    }
}

#[test]
fn another_configuration_is_another_generation_of_a_filter() {
    let server = Upstream::listen();
    let with = |refuse: &str| {
        format!(
            "[filters.guard]\nsource = \"{}\"\nconfig = {{ refuse = [\"{refuse}\"] }}\n{}{}",
            artifacts::filter("redis-guard").display(),
            upstream("redis", &servers(&[&server])),
            listener("front", "upstream = \"redis\"\nfilters = [\"guard\"]")
        )
    };
    let proxy = Proxy::run(&with("flushall")).start();
    let mut old = Client::connect(proxy.address());
    let mut old_server = server.accept();
    reloaded(&proxy, &with("keys"));
    proxy.published("guard", 2);
    let mut new = Client::connect(proxy.address());
    let mut new_server = server.accept();
    // Whoever was there goes on by what was true then.
    old.send(b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n");
    old_server.expect(b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n");
    new.send(b"*1\r\n$8\r\nFLUSHALL\r\n");
    new_server.expect(b"*1\r\n$8\r\nFLUSHALL\r\n");

    // A configuration that the filter refuses changes nothing.
    let event = reload(&proxy, &with("keys").replace("refuse", "refused"));
    assert!(event.text("error").contains("refused"), "{event}");
    new.send(b"*1\r\n$4\r\nPING\r\n");
    new_server.expect(b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_thousand_listeners_and_ten_thousand_servers_are_reloaded_within_a_second() {
    let server = Upstream::echo();
    let mut config = upstream("echo", &servers(&[&server]));
    config.push_str(&listener("front", "upstream = \"echo\""));
    for number in 0..1_000 {
        let addresses: Vec<_> = (0..10)
            .map(|server| format!("127.1.{}.{}:{}", number / 250, number % 250 + 1, 2_000 + server))
            .collect();
        write!(
            config,
            "{}",
            upstream(&format!("u{number}"), &format!("servers = {addresses:?}"))
        )
        .unwrap();
        config.push_str(&listener(&format!("l{number}"), &format!("upstream = \"u{number}\"")));
    }
    let proxy = Proxy::run(&config).descriptors(20_000).start();
    let mut client = Client::connect(proxy.listener("front"));
    let mut slowest = Duration::ZERO;
    let mut ask = |slowest: &mut Duration| {
        let began = Instant::now();
        client.send(b"ping");
        client.expect(b"ping");
        *slowest = began.elapsed().max(*slowest);
    };
    ask(&mut slowest);
    // Nothing, one server of each, and one listener.
    let changed = config.replace(":2000\"", ":3000\"").replace("\"l999\"", "\"last\"");
    for (config, changes) in [(&config, 0), (&changed, 1_002)] {
        let before = proxy.logged("configuration reloaded").len();
        write(&proxy, config);
        proxy.signal(Signal::HUP);
        let event = loop {
            ask(&mut slowest);
            if let Some(event) = proxy.logged("configuration reloaded").get(before) {
                break event.clone();
            }
        };
        assert_eq!(event.number("changes"), changes);
        let elapsed = event.number("elapsed_ms");
        eprintln!("{changes} changes took {elapsed} ms; a client waited {slowest:?} at the most");
        assert!(elapsed < 1_000, "{elapsed} ms");
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

//! Names: what they stand for is what their servers are, also when that changes, and when nobody can say.

use std::net::{Ipv4Addr, TcpListener};

use spliceway_tests::ports::Port;
use spliceway_tests::{Client, Event, NameServer, Peer, Proxy, Upstream};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const SERVERS_CHANGED: &str = "servers changed";
const UNRESOLVED: &str = "name does not resolve: its servers stay as they were";

#[test]
fn an_address_that_is_added_gets_connections_and_one_that_goes_keeps_those_that_it_has() {
    let (one, two) = on_one_port();
    let mut names = NameServer::start("db A 127.0.0.1");
    let proxy = proxy(&names, &format!(r#"servers = ["db.example.test:{}"]"#, one.port())).start();
    let mut early = connected(&proxy, &one);

    names.change("db A 127.0.0.1\ndb A 127.0.0.2");
    let change = proxy.wait_for(SERVERS_CHANGED, |_| true);
    assert_eq!(change.text("added"), two.address());
    assert_eq!((change.text("removed"), change.number("servers")), ("", 2));
    let clients = [Client::connect(proxy.address()), Client::connect(proxy.address())];
    let servers = [one.accept(), two.accept()];

    names.change("db A 127.0.0.2");
    let change = proxy.wait_for(SERVERS_CHANGED, |event| !event.text("removed").is_empty());
    assert_eq!((change.text("added"), change.text("removed")), ("", one.address()));
    for _ in 0..4 {
        connected(&proxy, &two).speak();
    }
    early.speak();
    drop((clients, servers));
}

#[test]
fn an_address_that_goes_takes_its_connections_along_where_that_is_wanted() {
    let (one, two) = on_one_port();
    let mut names = NameServer::start("db A 127.0.0.1");
    let upstream = format!("servers = [\"db.example.test:{}\"]\non-down = \"kill\"", one.port());
    let proxy = proxy(&names, &upstream).start();
    let mut early = connected(&proxy, &one);
    early.speak();

    names.change("db A 127.0.0.2");
    early.client.expect_closed();
    early.server.expect_closed();
    connected(&proxy, &two).speak();
}

#[test]
fn while_no_name_server_answers_the_servers_stay_and_it_is_said_once() {
    let (one, two) = on_one_port();
    let mut names = NameServer::start("db A 127.0.0.1");
    let proxy = proxy(&names, &format!(r#"servers = ["db.example.test:{}"]"#, one.port())).start();
    connected(&proxy, &one).speak();

    names.stop();
    let trouble = proxy.wait_for(UNRESOLVED, |_| true);
    assert_eq!(trouble.text("name"), format!("db.example.test:{}", one.port()));
    assert!(!trouble.text("error").is_empty());
    connected(&proxy, &one).speak();

    names.change("db A 127.0.0.2");
    names.run();
    proxy.wait_for("name resolves again", |_| true);
    proxy.wait_for(SERVERS_CHANGED, |event| event.text("added") == two.address());
    connected(&proxy, &two).speak();
    assert_eq!(proxy.logged(UNRESOLVED).len(), 1);
}

#[test]
fn a_record_that_is_deleted_ends_nothing() {
    let one = Upstream::listen();
    let mut names = NameServer::start("db A 127.0.0.1");
    let proxy = proxy(&names, &format!(r#"servers = ["db.example.test:{}"]"#, one.port())).start();

    names.change("");
    let trouble = proxy.wait_for(UNRESOLVED, |_| true);
    assert_eq!(trouble.text("error"), "there is no such name");
    connected(&proxy, &one).speak();

    names.change("db A 127.0.0.1");
    proxy.wait_for("name resolves again", |_| true);
    connected(&proxy, &one).speak();
    assert!(proxy.logged(SERVERS_CHANGED).is_empty());
}

#[test]
fn a_name_that_nobody_knows_is_an_error_at_the_start() {
    let names = NameServer::start("db A 127.0.0.1\ntext TXT only-this");
    for (name, why) in [
        ("nobody.example.test", "there is no such name"),
        ("text.example.test", "the name has no A record"),
        ("elsewhere.test", "the name server says: Query Refused"),
    ] {
        let failed = proxy(&names, &format!(r#"servers = ["db.example.test:1", "{name}:5"]"#)).fail();
        assert_ne!(failed.code(), Some(0));
        let expected = format!("cannot resolve {name}:5: {why}");
        assert!(failed.stderr.contains(&expected), "{expected}\n{}", failed.stderr);
        assert!(failed.stderr.contains("db"), "{}", failed.stderr);
    }
}

#[test]
fn so_is_one_that_nobody_answers_for() {
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let nameservers = silent.local_addr().expect("a socket has an address").to_string();
    let failed = Proxy::run(&config(
        &format!("nameservers = [\"{nameservers}\"]\ntimeout = \"200ms\""),
        r#"servers = ["db.example.test:5"]"#,
    ))
    .fail();
    let expected = "cannot resolve db.example.test:5: no name server has answered in time";
    assert!(failed.stderr.contains(expected), "{}", failed.stderr);
}

#[test]
fn the_next_name_server_is_asked_where_one_is_not_there() {
    let one = Upstream::listen();
    let missing = NameServer::stopped("");
    let other = NameServer::start("unrelated A 127.0.0.9");
    let names = NameServer::start("db A 127.0.0.1");
    let resolver = |first: &NameServer| format!("nameservers = [\"{}\", \"{}\"]", first.address(), names.address());
    let upstream = format!(r#"servers = ["db.example.test:{}"]"#, one.port());
    let proxy = Proxy::run(&config(&resolver(&missing), &upstream)).start();
    connected(&proxy, &one).speak();

    // But the first that knows is believed: it says that there is no such name.
    let failed = Proxy::run(&config(&resolver(&other), &upstream)).fail();
    assert!(failed.stderr.contains("there is no such name"), "{}", failed.stderr);
}

#[test]
fn the_machine_itself_needs_no_name_server() {
    let one = Upstream::listen();
    let missing = NameServer::stopped("");
    let proxy = proxy(&missing, &format!(r#"servers = ["localhost:{}"]"#, one.port())).start();
    connected(&proxy, &one).speak();
}

#[test]
fn an_alias_is_what_it_stands_for() {
    let one = Upstream::listen();
    let names = NameServer::start("db CNAME real\nreal A 127.0.0.1");
    let proxy = proxy(&names, &format!(r#"servers = ["db.example.test:{}"]"#, one.port())).start();
    connected(&proxy, &one).speak();
}

#[test]
fn a_name_may_come_later() {
    let one = Upstream::listen();
    let mut names = NameServer::start("");
    let upstream = format!(
        "servers = [\"db.example.test:{}\"]\ndns = {{ at-start = \"later\", shortest = \"1s\", longest = \"1h\" }}",
        one.port()
    );
    let proxy = proxy(&names, &upstream).start();
    proxy.wait_for("name does not resolve: it has no servers yet", |_| true);
    Client::connect(proxy.address()).expect_closed();

    names.change("db A 127.0.0.1");
    proxy.wait_for(SERVERS_CHANGED, |event| event.text("added") == one.address());
    connected(&proxy, &one).speak();
}

#[test]
fn srv_records_have_ports_weights_and_priorities() {
    let servers = [Upstream::listen(), Upstream::listen(), Upstream::listen()];
    let ports = servers.each_ref().map(Upstream::port);
    let [heavy, light, backup] = ports;
    let mut names = NameServer::start(&format!(
        "_redis._tcp SRV 10 30 {heavy} one\n_redis._tcp SRV 10 10 {light} one\n_redis._tcp SRV 20 0 {backup} one\n\
         one A 127.0.0.1"
    ));
    let proxy = proxy(&names, r#"servers = [{ srv = "_redis._tcp.example.test" }]"#).start();
    let clients: Vec<_> = (0..8).map(|_| Client::connect(proxy.address())).collect();
    for (server, count) in servers.iter().zip([6, 2, 0]) {
        let accepted: Vec<_> = (0..count).map(|_| server.accept()).collect();
        assert_eq!(accepted.len(), count);
    }
    drop(clients);

    // Who was a backup is all that is left, and then has a port of its own no more.
    names.change(&format!("_redis._tcp SRV 20 0 {backup} one\none A 127.0.0.1"));
    proxy.wait_for(SERVERS_CHANGED, |event| removes(event, &servers[..2]));
    connected(&proxy, &servers[2]).speak();
    names.change(&format!("_redis._tcp SRV 5 0 {light} one\none A 127.0.0.1"));
    proxy.wait_for(SERVERS_CHANGED, |event| removes(event, &servers[2..]));
    connected(&proxy, &servers[1]).speak();
}

#[test]
fn a_service_that_says_it_is_not_there_is_an_error_at_the_start() {
    let names = NameServer::start("_none._tcp SRV 0 0 0 .\n_lost._tcp SRV 0 0 5 nobody");
    for (service, why) in [
        ("_none", "the name has no SRV record that names a server"),
        ("_lost", "nobody.example.test: there is no such name"),
        ("_never", "there is no such name"),
    ] {
        let failed = proxy(
            &names,
            &format!(r#"servers = [{{ srv = "{service}._tcp.example.test" }}]"#),
        )
        .fail();
        let expected = format!("cannot resolve {service}._tcp.example.test: {why}");
        assert!(failed.stderr.contains(&expected), "{expected}\n{}", failed.stderr);
    }
}

/// A client and the server that it was led to.
struct Pair {
    client: Peer,
    server: Peer,
}

impl Pair {
    fn speak(&mut self) {
        self.client.send(b"ping");
        self.server.expect(b"ping");
        self.server.send(b"pong");
        self.client.expect(b"pong");
    }
}

#[track_caller]
fn connected(proxy: &Proxy, server: &Upstream) -> Pair {
    Pair {
        client: Client::connect(proxy.address()),
        server: server.accept(),
    }
}

fn proxy(names: &NameServer, upstream: &str) -> spliceway_tests::Builder {
    Proxy::run(&config(&format!("nameservers = [\"{}\"]", names.address()), upstream))
}

fn config(resolver: &str, upstream: &str) -> String {
    format!(
        "[resolver]\n{resolver}\n[upstreams.db]\n{upstream}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"db\"\n"
    )
}

/// Two servers that differ in their addresses alone, as those of one name do.
fn on_one_port() -> (Upstream, Upstream) {
    let port = Port::reserve();
    let at = |address: Ipv4Addr| {
        let listener = TcpListener::bind((address, port.number())).expect("a reserved port is free");
        Upstream::of(listener)
    };
    (at(ONE), at(TWO))
}

fn removes(event: &Event, servers: &[Upstream]) -> bool {
    servers
        .iter()
        .all(|server| event.text("removed").contains(server.address()))
}

//! Upstreams: which server a connection goes to, and what becomes of it where that one does not answer or has no room.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use spliceway_tests::{Client, Peer, Proxy, Upstream, artifacts};

// ---- balancing ----

#[test]
fn weights_are_the_servers_parts() {
    let servers = [Upstream::named("one"), Upstream::named("two")];
    let proxy = upstream(&format!(
        "servers = [{{ address = \"{}\", weight = 3 }}, \"{}\"]",
        servers[0].address(),
        servers[1].address()
    ));
    let parts = parts(40, || Client::connect(proxy.address()));
    assert_eq!(parts, BTreeMap::from([("one".to_owned(), 30), ("two".to_owned(), 10)]));
}

#[test]
fn who_has_fewer_connections_gets_the_next_one() {
    let servers = [Upstream::named("one"), Upstream::named("two")];
    let proxy = of(&servers, "balance = \"least-connections\"");
    let mut live: Vec<(String, Peer)> = (0..6).map(|_| named(Client::connect(proxy.address()))).collect();
    assert_eq!(live.iter().filter(|(name, _)| name == "one").count(), 3);
    // Those of one server end: it gets the next ones.
    live.retain_mut(|(name, client)| {
        if name == "one" {
            client.half_close();
            client.expect_eof();
            proxy.ended(client);
        }
        name == "two"
    });
    for _ in 0..3 {
        let (name, client) = named(Client::connect(proxy.address()));
        assert_eq!(name, "one");
        live.push((name, client));
    }
}

#[test]
fn a_client_comes_back_to_its_server() {
    for balance in ["source-hash", "maglev"] {
        let servers = ["a", "b", "c", "d"].map(Upstream::named);
        let proxy = of(&servers, &format!("balance = \"{balance}\""));
        let server_of = |client: u8| named(Client::connect_from(Ipv4Addr::new(127, 0, 0, client), proxy.address())).0;
        let first: Vec<String> = (1..=40).map(server_of).collect();
        let again: Vec<String> = (1..=40).map(server_of).collect();
        assert_eq!(first, again, "{balance}");
        let used: BTreeSet<_> = first.into_iter().collect();
        assert_eq!(used.len(), 4, "{balance}: forty clients have all four servers");
    }
}

#[test]
fn a_router_can_say_which_clients_belong_together_and_which_server_is_theirs() {
    let servers = ["a", "b", "c", "d"].map(Upstream::named);
    let addresses: Vec<_> = servers.iter().map(Upstream::address).collect();
    let routed = |options: &str| {
        let guest = artifacts::guest("router-script").display().to_string();
        Proxy::run(&format!(
            "[filters.script]\nsource = {guest:?}\nconfig = {{ decision = \"route\", upstream = \"only\", options = {{ {options} }} }}\n\
             [upstreams.only]\nbalance = \"maglev\"\nservers = {addresses:?}\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nfilters = [\"script\"]\n"
        ))
        .start()
    };
    let used_by = |proxy: &Proxy| -> BTreeSet<String> {
        let clients = (1..=12).map(|client| Ipv4Addr::new(127, 0, 0, client));
        clients
            .map(|client| named(Client::connect_from(client, proxy.address())).0)
            .collect()
    };
    assert_eq!(used_by(&routed("hash-key = \"tenant 7\"")).len(), 1);
    assert!(used_by(&routed("")).len() > 1);
    let third = used_by(&routed(&format!("server = {:?}", addresses[2])));
    assert_eq!(third.into_iter().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn every_way_to_balance_uses_every_server() {
    for balance in ["round-robin", "least-connections", "two-choices", "random"] {
        let servers = ["a", "b", "c"].map(Upstream::named);
        let proxy = of(&servers, &format!("balance = \"{balance}\""));
        let live: Vec<_> = (0..60).map(|_| named(Client::connect(proxy.address()))).collect();
        let used: BTreeSet<_> = live.iter().map(|(name, _)| name).collect();
        assert_eq!(used.len(), 3, "{balance}");
    }
}

// ---- another one, where a server does not answer ----

#[test]
fn a_server_that_refuses_is_passed_over() {
    let (_reserved, refusing) = Upstream::refusing();
    let server = Upstream::named("alive");
    let proxy = upstream(&format!("servers = [\"{refusing}\", \"{}\"]", server.address()));
    for _ in 0..10 {
        assert_eq!(named(Client::connect(proxy.address())).0, "alive");
    }
}

#[test]
fn a_server_that_does_not_answer_leaves_time_for_another_one() {
    let silent = Upstream::unanswering();
    let server = Upstream::named("alive");
    let proxy = upstream(&format!(
        "servers = [\"{}\", \"{}\"]\ntimeouts = {{ connect = \"2s\" }}",
        silent.address(),
        server.address()
    ));
    for _ in 0..4 {
        let begun = Instant::now();
        assert_eq!(named(Client::connect(proxy.address())).0, "alive");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[test]
fn where_nobody_answers_the_timeout_is_one_for_all() {
    let silent = [
        Upstream::unanswering(),
        Upstream::unanswering(),
        Upstream::unanswering(),
    ];
    let proxy = of(&silent, "timeouts = { connect = \"1s\" }");
    let begun = Instant::now();
    let mut client = Client::connect(proxy.address());
    client.expect_eof();
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
    assert_eq!(proxy.ended(&client).outcome, "connect.timeout.upstream");
    assert!(begun.elapsed() < Duration::from_secs(10), "not three times as long");
}

#[test]
fn there_are_no_more_retries_than_may_be() {
    let (_first, one) = Upstream::refusing();
    let (_second, two) = Upstream::refusing();
    let server = Upstream::named("alive");
    for (retries, served) in [("retries = 2", true), ("retries = 1", false), ("retries = 0", false)] {
        // The client's own server comes last, in the order of the table.
        let proxy = upstream(&format!(
            "servers = [\"{one}\", \"{two}\", \"{}\"]\n{retries}",
            server.address()
        ));
        let outcomes: Vec<bool> = (0..6)
            .map(|_| Client::connect(proxy.address()).try_receive(5).is_some())
            .collect();
        // In turn, so a third of them begins with the one that answers, and a third comes to it after one.
        let all = outcomes.iter().all(|served| *served);
        assert_eq!(all, served, "{retries}: {outcomes:?}");
        assert!(outcomes.contains(&true), "{retries}: {outcomes:?}");
    }
}

#[test]
fn retries_have_a_budget() {
    let (_reserved, refusing) = Upstream::refusing();
    let server = Upstream::named("alive");
    let proxy = upstream(&format!(
        "servers = [\"{refusing}\", \"{}\"]\nretries = {{ count = 3, budget = \"0%\" }}",
        server.address()
    ));
    let served = (0..10).filter(|_| Client::connect(proxy.address()).try_receive(5).is_some());
    assert_eq!(served.count(), 5, "those whose turn it was to be refused are");
}

#[test]
fn what_was_read_from_the_client_is_sent_again_to_the_next_server() {
    let (_reserved, refusing) = Upstream::refusing();
    let server = Upstream::echo();
    let proxy = upstream(&format!(
        "servers = [\"{refusing}\", \"{}\"]\nconnect = \"first-byte\"",
        server.address()
    ));
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address());
        client.send(b"a question");
        client.half_close();
        assert_eq!(client.receive_all(), b"a question");
    }
}

// ---- a server's connections ----

#[test]
fn a_server_that_is_full_lets_connections_wait_in_turn() {
    let server = Upstream::listen();
    let proxy = upstream(&format!(
        "servers = [{{ address = \"{}\", max-connections = 1 }}]",
        server.address()
    ));
    let mut clients: Vec<Peer> = (0..3)
        .map(|number| {
            let mut client = Client::connect(proxy.address());
            client.send(&[number]);
            client
        })
        .collect();
    let mut order = Vec::new();
    for _ in 0..3 {
        let mut served = server.accept();
        assert!(!server.waiting(Duration::from_millis(100)), "one at a time");
        let number = served.receive(1)[0];
        order.push(number);
        drop(served);
        clients[usize::from(number)].expect_eof();
        clients[usize::from(number)].half_close();
    }
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn who_waits_too_long_or_behind_too_many_is_told_so() {
    let server = Upstream::named("busy");
    let proxy = upstream(&format!(
        "servers = [{{ address = \"{}\", max-connections = 1 }}]\nqueue = {{ length = 1, timeout = \"500ms\" }}",
        server.address()
    ));
    let _first = named(Client::connect(proxy.address()));
    let begun = Instant::now();
    let mut others = [Client::connect(proxy.address()), Client::connect(proxy.address())];
    for client in &mut others {
        client.expect_eof();
    }
    assert!(begun.elapsed() >= Duration::from_millis(490), "{:?}", begun.elapsed());
    for client in &mut others {
        client.half_close();
        assert_eq!(proxy.ended(client).outcome, "connect.limited.upstream");
    }
}

#[test]
fn a_client_that_leaves_the_queue_takes_nobody_s_place() {
    let server = Upstream::named("busy");
    let proxy = upstream(&format!(
        "servers = [{{ address = \"{}\", max-connections = 1 }}]",
        server.address()
    ));
    let (_, mut first) = named(Client::connect(proxy.address()));
    let leaving = Client::connect(proxy.address());
    let waiting = Client::connect(proxy.address());
    leaving.reset();
    first.half_close();
    assert_eq!(named(waiting).0, "busy");
}

#[test]
fn a_client_that_says_nothing_costs_the_server_nothing() {
    let server = Upstream::listen();
    let proxy = upstream(&format!(
        "servers = [\"{}\"]\nconnect = \"first-byte\"",
        server.address()
    ));
    let mut client = Client::connect(proxy.address());
    assert!(!server.waiting(Duration::from_millis(200)));
    client.send(b"hello");
    let mut served = server.accept();
    served.expect(b"hello");
    served.send(b"welcome");
    client.expect(b"welcome");
}

#[test]
fn connections_come_from_the_address_that_is_wanted() {
    let server = Upstream::listen();
    let proxy = upstream(&format!(
        "servers = [\"{}\"]\nsource = [\"127.0.0.7\", \"127.0.0.8\"]",
        server.address()
    ));
    let mut sources = BTreeSet::new();
    for _ in 0..4 {
        let _client = Client::connect(proxy.address());
        let remote = server.accept().remote().to_owned();
        sources.insert(remote.rsplit_once(':').expect("a port").0.to_owned());
    }
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["127.0.0.7", "127.0.0.8"]);
}

// ---- spare connections ----

#[test]
fn a_spare_connection_is_used_once_and_replaced() {
    let server = Upstream::listen();
    let proxy = Proxy::run(&format!(
        "workers = 1\n[upstreams.only]\nservers = [\"{}\"]\npreconnect = 2\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n",
        server.address()
    ))
    .start();
    // Before anybody has asked.
    let mut spares = vec![server.accept(), server.accept()];
    assert!(!server.waiting(Duration::from_millis(200)), "two are enough");
    let mut client = Client::connect(proxy.address());
    client.send(b"one");
    let mut replacement = server.accept();
    // The oldest one is taken.
    spares[0].expect(b"one");
    spares[0].send(b"two");
    client.expect(b"two");

    // One that the server has closed is not given to anybody, and one that it has spoken on is not, either.
    spares.remove(1).reset();
    replacement.send(b"too early");
    let mut fresh = [server.accept(), server.accept()];
    let mut another = Client::connect(proxy.address());
    another.send(b"three");
    let got = fresh
        .iter_mut()
        .position(|spare| spare.try_receive(5).is_some_and(|bytes| bytes == b"three"));
    assert!(got.is_some(), "a good spare is used");
}

// ---- the scenes ----

/// A proxy before one upstream with these keys.
fn upstream(keys: &str) -> Proxy {
    Proxy::run(&format!(
        "[upstreams.only]\n{keys}\n[[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n"
    ))
    .start()
}

fn of(servers: &[Upstream], keys: &str) -> Proxy {
    let addresses: Vec<_> = servers.iter().map(Upstream::address).collect();
    upstream(&format!("servers = {addresses:?}\n{keys}"))
}

/// Who has answered. Names have three or five letters, or one.
fn named(mut client: Peer) -> (String, Peer) {
    let mut name = client.receive(1);
    client.send(b"\n");
    while name.last() != Some(&b'\n') {
        name.extend(client.receive(1));
    }
    name.pop();
    (String::from_utf8(name).expect("a name"), client)
}

fn parts(count: usize, mut connect: impl FnMut() -> Peer) -> BTreeMap<String, usize> {
    let mut parts = BTreeMap::new();
    for _ in 0..count {
        *parts.entry(named(connect()).0).or_default() += 1;
    }
    parts
}

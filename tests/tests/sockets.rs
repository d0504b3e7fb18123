//! Options of sockets: each is on the living socket, clients' or servers', or shows by what it does; and what cannot be had is
//! said before anybody is served.

use std::fs;

use rustix::process::Signal;
use spliceway_tests::bytes::pattern;
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::network::{Network, PROXY, Place, UPSTREAM};
use spliceway_tests::service::EndOf;
use spliceway_tests::{Client, DEADLINE, Event, Peer, Proxy, Upstream, eventually, is_root, skip, spliceway};

fn config(listener: &str, upstream: &str, server: &str) -> String {
    format!(
        "workers = 1\n[[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"back\"\n{listener}\n\
         [upstreams.back]\nservers = [\"{server}\"]\n{upstream}\n"
    )
}

/// The proxy's ends of its connections at such addresses, as ss(8) tells of them.
#[track_caller]
fn ss(filter: &str) -> String {
    let words = [
        "-H",
        "-t",
        "-n",
        "-e",
        "-m",
        "-o",
        "-i",
        "--tos",
        "state",
        "established",
    ];
    let filter: Vec<_> = filter.split(' ').collect();
    run(lasting("ss").args(words).args(filter), DEADLINE).success()
}

/// The end that a client has come to.
#[track_caller]
fn clients_end(proxy: &Proxy, client: &Peer) -> String {
    ss(&format!(
        "sport = :{} and dport = :{}",
        proxy.port(),
        port(client.local())
    ))
}

/// The end that leads to a server.
#[track_caller]
fn servers_end(server: &Peer) -> String {
    ss(&format!(
        "dport = :{} and sport = :{}",
        port(server.local()),
        port(server.remote())
    ))
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

/// A client and its server, of whom each has heard the other.
#[track_caller]
fn talk(proxy: &Proxy, upstream: &Upstream) -> (Peer, Peer) {
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    let mut server = upstream.accept();
    server.expect(b"hello");
    server.send(b"welcome");
    client.expect(b"welcome");
    (client, server)
}

#[track_caller]
fn says(said: &str, all: &[&str]) {
    for one in all {
        assert!(said.contains(one), "{one:?} is not in {said}");
    }
}

#[track_caller]
fn says_nothing_of(said: &str, all: &[&str]) {
    for one in all {
        assert!(!said.contains(one), "{one:?} is in {said}");
    }
}

/// What a configuration that cannot be served is met with.
#[track_caller]
fn refused(proxy: Finished, all: &[&str]) {
    assert_eq!(proxy.code(), Some(1), "{}", proxy.stderr);
    says(&proxy.stderr.replace("\\\"", "\""), all);
}

#[test]
fn the_sockets_of_clients_have_what_their_listener_says() {
    let upstream = Upstream::listen();
    let socket = "socket = { receive-buffer = \"96KiB\", send-buffer = \"48KiB\", congestion-control = \"reno\", dscp = \"af41\", \
                  device = \"lo\", mss = 1000 }";
    let proxy = Proxy::run(&config(socket, "", upstream.address())).start();
    let (client, server) = talk(&proxy, &upstream);
    let said = clients_end(&proxy, &client);
    // The kernel doubles sizes; a class is the six upper bits of a byte; a timestamp takes twelve bytes of a segment.
    says(
        &said,
        &["rb196608", "tb98304", " reno ", "tos:0x88", "127.0.0.1%lo:", "mss:988"],
    );
    says_nothing_of(
        &servers_end(&server),
        &["rb196608", "tb98304", " reno ", "tos:0x88", "%lo", "mss:988"],
    );
}

#[test]
fn the_sockets_of_servers_have_what_their_upstream_says() {
    let upstream = Upstream::listen();
    let socket = "socket = { receive-buffer = \"96KiB\", send-buffer = \"48KiB\", congestion-control = \"reno\", dscp = 1, \
                  device = \"lo\", mss = 1000 }";
    let proxy = Proxy::run(&config("", socket, upstream.address())).start();
    let (client, server) = talk(&proxy, &upstream);
    let said = servers_end(&server);
    says(
        &said,
        &["rb196608", "tb98304", " reno ", "tos:0x4", "127.0.0.1%lo:", "mss:988"],
    );
    says_nothing_of(
        &clients_end(&proxy, &client),
        &["rb196608", "tb98304", " reno ", "tos:0x4", "%lo", "mss:988"],
    );
}

#[test]
fn packets_are_marked_on_each_leg() {
    if !is_root() {
        skip!("only root may mark packets");
    }
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("socket.mark = 0x17", "socket.mark = 24", upstream.address())).start();
    let (client, server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["fwmark:0x17"]);
    says(&servers_end(&server), &["fwmark:0x18"]);
}

/// A peer that reads nothing: what the kernel took and could not send yet is no more than was said.
#[test]
fn what_waits_to_be_sent_stays_small_where_that_is_said() {
    let unsent = |keys: &str| {
        let upstream = Upstream::listen();
        let proxy = Proxy::run(&config(keys, "", upstream.address())).start();
        let (client, server) = talk(&proxy, &upstream);
        let mut writing = server.another();
        let sent = pattern(1, 16 << 20);
        std::thread::spawn(move || writing.try_send(&sent).ok());
        // It has stopped: the same twice in a row, and not nothing.
        let mut before = 0;
        eventually("the client's end takes no more", || {
            let said = clients_end(&proxy, &client);
            let now = number(&said, "notsent:");
            let stopped = now > 0 && now == before;
            before = now;
            stopped.then_some(now)
        })
    };
    let (few, many) = (unsent("socket.notsent-lowat = \"16KiB\""), unsent(""));
    assert!(few <= 192 << 10, "{few}");
    assert!(many > 512 << 10, "{many}");
}

fn number(said: &str, key: &str) -> u64 {
    let digits = said.split(key).nth(1).unwrap_or_default();
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// The one that comes first says nothing, and is not there yet.
#[test]
fn clients_that_say_nothing_are_left_to_the_kernel() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("socket.defer-accept = \"60s\"", "", upstream.address())).start();
    let mut silent = Client::connect(proxy.address());
    let (_client, _server) = talk(&proxy, &upstream);
    silent.send(b"here");
    upstream.accept().expect(b"here");
}

#[test]
fn an_address_that_is_not_there_yet_can_be_listened_on() {
    let upstream = Upstream::listen();
    let at = |keys: &str| config(keys, "", upstream.address()).replace("127.0.0.1:0", "192.0.2.55:0");
    refused(Proxy::run(&at("")).fail(), &["cannot listen on 192.0.2.55:0"]);
    let proxy = Proxy::run(&at("socket.freebind = true")).start();
    assert!(proxy.address().starts_with("192.0.2.55:"), "{}", proxy.address());
}

#[test]
fn a_unix_socket_has_the_buffer_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::listen_unix(&folder.path().join("server.sock"));
    let config = config("", "socket.send-buffer = \"20KiB\"", upstream.address());
    let proxy = Proxy::run(&config).start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    upstream.accept().expect(b"hello");
    let sizes: Vec<_> = run(lasting("ss").args(["-H", "-x", "-m", "state", "established"]), DEADLINE)
        .success()
        .split_whitespace()
        .filter(|word| word.contains("tb40960,"))
        .map(str::to_owned)
        .collect();
    assert!(!sizes.is_empty());
}

#[test]
fn the_first_bytes_go_with_the_syn() {
    let network = match Network::lay() {
        Ok(network) => network,
        Err(reason) => skip!("{reason}"),
    };
    for place in [Place::Client, Place::Proxy, Place::Upstream] {
        network
            .at(place, || fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3"))
            .expect("a setting of this network");
    }
    // Two proxies on the way: the first one sends what the second one takes.
    let second = network.at(Place::Upstream, || {
        let upstream = Upstream::echo();
        let config = config("socket.fast-open = 16", "", upstream.address());
        (
            Proxy::run(&config.replace("127.0.0.1:0", &format!("{UPSTREAM}:0"))),
            upstream,
        )
    });
    network.enter(Place::Upstream);
    let (second, _upstream) = (second.0.start(), second.1);
    network.enter(Place::Proxy);
    let keys = "connect = \"first-byte\"\nsocket.fast-open = true";
    let config = config("", keys, second.address()).replace("127.0.0.1:0", &format!("{PROXY}:0"));
    let first = Proxy::run(&config).start();
    let talk = |message: &[u8]| {
        network.at(Place::Client, || {
            let mut client = Client::connect(first.address());
            client.send(message);
            client.expect(message);
            client.half_close();
            client.expect_eof();
        });
    };
    // The first connection is given the cookie that those after it show.
    talk(b"hello");
    assert_eq!(counted(&network, Place::Proxy, "TCPFastOpenActive"), 0);
    for _ in 0..3 {
        talk(b"hello again");
    }
    assert_eq!(counted(&network, Place::Proxy, "TCPFastOpenActive"), 3);
    assert_eq!(counted(&network, Place::Upstream, "TCPFastOpenPassive"), 3);
    // More than a SYN can take with it, and no byte at all.
    talk(&pattern(7, 3 << 20));
    network.at(Place::Client, || {
        let mut client = Client::connect(first.address());
        client.half_close();
        client.expect_closed();
    });
    talk(b"and again");
}

/// A counter of the kernel's at that place (netstat(8)).
fn counted(network: &Network, place: Place, name: &str) -> u64 {
    let text = network.at(place, || fs::read_to_string("/proc/thread-self/net/netstat"));
    let text = text.expect("the counters of this network");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let found = pairs.find(|(key, _)| *key == name);
    found
        .and_then(|(_, value)| value.parse().ok())
        .expect("a counter of this name")
}

// ---- reload ----

#[track_caller]
fn reload(proxy: &Proxy, config: &str) -> Event {
    let ends = |proxy: &Proxy| {
        let mut ends = proxy.logged("configuration reloaded");
        ends.extend(proxy.logged("configuration rejected: the one before serves on"));
        ends
    };
    let before = ends(proxy);
    let file = proxy.folder().join("spliceway.toml");
    fs::write(file.with_extension("new"), config).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the configuration was read", || {
        ends(proxy).into_iter().find(|event| !before.contains(event))
    })
}

#[test]
fn new_connections_have_what_a_reload_says_and_old_ones_what_they_had() {
    let upstream = Upstream::listen();
    let with = |socket: &str| config(socket, socket, upstream.address());
    let first = with("socket = { receive-buffer = \"96KiB\", congestion-control = \"reno\", dscp = 10 }");
    let proxy = Proxy::run(&first).start();
    let (old_client, old_server) = talk(&proxy, &upstream);
    let before = clients_end(&proxy, &old_client);
    says(&before, &["rb196608", " reno ", "tos:0x28"]);

    let event = reload(&proxy, &with("socket = { send-buffer = \"48KiB\", dscp = 11 }"));
    assert_eq!(event.message(), "configuration reloaded", "{event}");
    let (client, server) = talk(&proxy, &upstream);
    for said in [clients_end(&proxy, &client), servers_end(&server)] {
        says(&said, &["tb98304", "tos:0x2c"]);
        says_nothing_of(&said, &["rb196608", " reno "]);
    }
    for said in [clients_end(&proxy, &old_client), servers_end(&old_server)] {
        says(&said, &["rb196608", " reno ", "tos:0x28"]);
    }

    // As if nothing had ever been said: the kernel finds the size of the buffers again.
    let event = reload(&proxy, &with(""));
    assert_eq!(event.message(), "configuration reloaded", "{event}");
    let (client, _server) = talk(&proxy, &upstream);
    let said = clients_end(&proxy, &client);
    says_nothing_of(&said, &["tb98304", "tos:0x2c"]);
    let fresh = Proxy::run(&with("")).start();
    let (client, _server) = talk(&fresh, &upstream);
    let usual = clients_end(&fresh, &client);
    assert_eq!(number(&said, ",rb"), number(&usual, ",rb"));
}

#[test]
fn what_cannot_be_had_is_an_error_of_a_reload_and_disturbs_nothing() {
    let upstream = Upstream::listen();
    let with = |listener: &str, socket: &str| config(listener, socket, upstream.address());
    let proxy = Proxy::run(&with("socket.dscp = 10", "socket.dscp = 10")).start();
    let (mut client, mut server) = talk(&proxy, &upstream);
    for (listener, socket, why) in [
        (
            "socket.congestion-control = \"vagas\"",
            "",
            "listener \"front\": `socket.congestion-control = \"vagas\"`",
        ),
        (
            "",
            "socket.device = \"eth99\"",
            "upstream \"back\": `socket.device = \"eth99\"`",
        ),
        ("socket.dscp = 64", "", "64 is out of range"),
    ] {
        let event = reload(&proxy, &with(listener, socket));
        assert_eq!(
            event.message(),
            "configuration rejected: the one before serves on",
            "{event}"
        );
        says(event.text("error"), &[why]);
    }
    client.send(b"still here");
    server.expect(b"still here");
    let (client, server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["tos:0x28"]);
    says(&servers_end(&server), &["tos:0x28"]);
}

// ---- what is wrong ----

#[test]
fn what_the_kernel_has_not_is_an_error_at_the_start_that_says_what_it_has() {
    let upstream = Upstream::listen();
    let start = |listener: &str, socket: &str| Proxy::run(&config(listener, socket, upstream.address())).fail();
    let known = "the kernel has reno";
    for proxy in [
        start("socket.congestion-control = \"vagas\"", ""),
        start("", "socket.congestion-control = \"vagas\""),
    ] {
        refused(
            proxy,
            &[
                "`socket.congestion-control = \"vagas\"`: No such file",
                known,
                "modprobe",
            ],
        );
    }
    let proxy = start("", "socket = { device = \"eth99\", receive-buffer = \"1GiB\" }");
    refused(
        proxy,
        &[
            "upstream \"back\": `socket.device = \"eth99\"`: No such device",
            "the interfaces are",
            "lo",
            "`socket.receive-buffer = 1073741824`: the kernel gives",
            "raise net.core.rmem_max",
        ],
    );
    let proxy = start("socket.send-buffer = \"1GiB\"", "");
    refused(
        proxy,
        &[
            "listener \"front\"",
            "`socket.send-buffer = 1073741824`",
            "raise net.core.wmem_max",
        ],
    );
}

#[test]
fn check_says_what_cannot_be_had_and_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("spliceway.toml");
    let wrong = config(
        "socket.congestion-control = \"vagas\"",
        "socket.device = \"eth99\"",
        "127.0.0.1:1",
    );
    fs::write(&file, wrong).unwrap();
    let checked = spliceway(
        [&*"check".to_owned(), "--config", &file.display().to_string()],
        DEADLINE,
    );
    assert_eq!(checked.code(), Some(1));
    let listener = "error: listener \"front\": `socket.congestion-control = \"vagas\"`";
    let upstream = "error: upstream \"back\": `socket.device = \"eth99\"`";
    says(&checked.stderr, &[listener, upstream, "2 problems with what"]);
}

#[test]
fn who_may_not_mark_packets_is_told_so_before_anybody_is_served() {
    if !is_root() {
        skip!("only root can become somebody who may not");
    }
    let upstream = Upstream::listen();
    for (listener, socket, whose) in [
        ("socket.mark = 7", "", "listener \"front\""),
        ("", "socket.mark = 7", "upstream \"back\""),
    ] {
        let config = config(listener, socket, upstream.address());
        let folder = tempfile::Builder::new()
            .permissions(open())
            .tempdir()
            .expect("a folder");
        let file = folder.path().join("spliceway.toml");
        fs::write(&file, config).unwrap();
        let arguments = ["run".to_owned(), "--config".to_owned(), file.display().to_string()];
        let binary = spliceway_tests::artifacts::binary();
        let nobody = run(
            spliceway_tests::command::lasting_as("nobody", binary).args(arguments),
            DEADLINE,
        );
        refused(nobody, &[whose, "`socket.mark = 7`", "CAP_NET_ADMIN"]);
    }
}

fn open() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

/// The sockets of listeners are made before privileges are given away, those of connections to servers after that.
#[test]
fn a_process_that_gives_its_privileges_away_marks_at_its_listeners_alone() {
    if !is_root() {
        skip!("only root has privileges to give away");
    }
    let upstream = Upstream::listen();
    let with = |listener: &str, socket: &str| {
        format!(
            "{}[process]\nuser = \"nobody\"\n",
            config(listener, socket, upstream.address())
        )
    };
    refused(
        Proxy::run(&with("", "socket.mark = 7")).fail(),
        &["upstream \"back\": `socket.mark = 7`", "`[process] user` gives it away"],
    );
    let proxy = Proxy::run(&with("socket = { mark = 7, dscp = 1 }", "")).start();
    let (client, _server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["fwmark:0x7", "tos:0x4"]);
    // What it has it may keep, and what it has not it cannot have.
    let event = reload(&proxy, &with("socket = { mark = 7, dscp = 2 }", ""));
    assert_eq!(event.message(), "configuration reloaded", "{event}");
    let (client, _server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["fwmark:0x7", "tos:0x8"]);
    let event = reload(&proxy, &with("socket = { mark = 8, dscp = 2 }", ""));
    says(event.text("error"), &["`socket.mark = 8`", "CAP_NET_ADMIN"]);
}

/// A process that takes the place of another one has its sockets, and says anew what they are to have.
#[test]
fn sockets_that_are_handed_over_have_what_the_new_process_says() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("socket.dscp = 10", "", upstream.address())).start();
    let (client, _server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["tos:0x28"]);
    let file = proxy.folder().join("spliceway.toml");
    fs::write(&file, config("socket.dscp = 12", "", upstream.address())).unwrap();
    proxy.signal(Signal::USR2);
    let process = proxy
        .wait_for("upgraded: another process serves", |_| true)
        .number("process");
    let _end = EndOf(vec![process]);
    let (client, _server) = talk(&proxy, &upstream);
    says(&clients_end(&proxy, &client), &["tos:0x30"]);
}

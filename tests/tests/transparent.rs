//! Connections that were on their way to somebody else and are led to the proxy by netfilter: they go on, seen as what they
//! are, and none goes round in circles. In network namespaces, with the proxy on a router between client and upstream.

use std::fs;
use std::net::IpAddr;

use serde_json::Value;
use spliceway_tests::bytes::pattern;
use spliceway_tests::command::{lasting_as, run};
use spliceway_tests::network::{CLIENT, CLIENT_V6, Network, PROXY, PROXY_V6, Place, UPSTREAM, UPSTREAM_V6};
use spliceway_tests::ports::Port;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, artifacts, eventually, is_root, skip};

/// How clients are led to the proxy.
const HOW: [&str; 2] = ["redirect", "tproxy"];

/// The client's address, and the upstream's, of each family.
const FAMILIES: [(&str, &str); 2] = [(CLIENT, UPSTREAM), (CLIENT_V6, UPSTREAM_V6)];

/// A router between client and upstream, on whose way this thread stands.
macro_rules! router {
    () => {
        match Network::lay() {
            Ok(network) => {
                network.route();
                network.enter(Place::Proxy);
                network
            }
            Err(reason) => skip!("{reason}"),
        }
    };
}

const ONWARDS: &str = "[upstreams.on]\noriginal-destination = true\n";

fn config(listener: &str, rest: &str) -> String {
    format!("[[listeners]]\nname = \"front\"\naddress = \":0\"\n{listener}\n{rest}\n")
}

fn onwards(how: &str) -> String {
    config(&format!("transparent = \"{how}\"\nupstream = \"on\""), ONWARDS)
}

/// With a line for each connection.
fn logging(config: &str) -> String {
    format!("[access-log]\nfile = \"access.log\"\n{config}")
}

/// From now on, whoever wants to go to that port gets to the proxy.
fn lead(network: &Network, how: &str, to: u16, proxy: &Proxy) {
    let nft = |command: &str| _ = network.nft(Place::Proxy, command);
    nft("add table inet way");
    if how == "redirect" {
        nft("add chain inet way in { type nat hook prerouting priority dstnat; }");
        nft(&format!(
            "add rule inet way in tcp dport {to} redirect to :{}",
            proxy.port()
        ));
        return;
    }
    returns(network);
    for (family, ip) in [("ipv4", "ip"), ("ipv6", "ip6")] {
        let given = format!("tproxy {ip} to :{} meta mark set 1 accept", proxy.port());
        nft(&format!(
            "add rule inet way back meta nfproto {family} tcp dport {to} {given}"
        ));
    }
}

/// What is sent to an address of somebody else's that a socket of the proxy's has is the proxy's.
fn returns(network: &Network) {
    let nft = |command: &str| _ = network.nft(Place::Proxy, command);
    nft("add table inet way");
    nft("add chain inet way back { type filter hook prerouting priority mangle; }");
    nft("add rule inet way back meta l4proto tcp socket transparent 1 meta mark set 1 accept");
    for (family, all) in [("", "0.0.0.0/0"), ("-6 ", "::/0")] {
        network.ip(Place::Proxy, &format!("{family}rule add fwmark 1 lookup 100"));
        network.ip(Place::Proxy, &format!("{family}route add local {all} dev lo table 100"));
    }
}

fn upstream(network: &Network, address: &str) -> Upstream {
    let address: IpAddr = address.parse().expect("an address");
    network.at(Place::Upstream, || Upstream::listen_at(address))
}

fn client(network: &Network, address: &str) -> Peer {
    network.at(Place::Client, || Client::connect(address))
}

/// Each says something; and then more than a buffer, so that it is spliced.
#[track_caller]
fn talk(client: &mut Peer, server: &mut Peer) {
    client.send(b"hello");
    server.expect(b"hello");
    server.send(b"welcome");
    client.expect(b"welcome");
    let bulk = pattern(3, 4 << 20);
    std::thread::scope(|scope| {
        let mut sending = client.another();
        let sent = bulk.clone();
        scope.spawn(move || sending.send(&sent));
        assert!(server.receive(bulk.len()) == bulk, "other bytes than were sent");
    });
}

/// The lines of the access log.
fn lines(proxy: &Proxy) -> Vec<Value> {
    let text = fs::read_to_string(proxy.folder().join("access.log")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

/// The one about that client.
#[track_caller]
fn logged(proxy: &Proxy, client: &str) -> Value {
    eventually("the access log has a line of it", || {
        lines(proxy).into_iter().find(|line| line["client"] == client)
    })
}

/// What is told of a client that goes there and is reset, maybe before it knows that it is connected.
#[track_caller]
fn turned_away(network: &Network, proxy: &Proxy, address: &str) -> Value {
    let before = lines(proxy).len();
    network.at(Place::Client, || {
        if let Ok(mut client) = Client::try_connect(address) {
            client.expect_reset();
        }
    });
    eventually("the access log has a line of it", || {
        lines(proxy).into_iter().nth(before)
    })
}

// ---- to where they were to go ----

#[test]
fn connections_go_on_to_where_they_were_to_go() {
    for how in HOW {
        let network = router!();
        let upstreams = FAMILIES.map(|(_, to)| upstream(&network, to));
        let proxy = Proxy::run(&logging(&onwards(how))).start();
        for (upstream, (from, _)) in upstreams.iter().zip(FAMILIES) {
            lead_once(&network, how, upstream, &proxy);
            let mut client = client(&network, upstream.address());
            let mut server = upstream.accept();
            assert!(!server.remote().contains(from), "{how}: from {}", server.remote());
            talk(&mut client, &mut server);
            client.half_close();
            server.expect_eof();
            drop(server);
            client.expect_eof();
            let transfer = proxy.ended(&client);
            assert_eq!(transfer.outcome, "relay.finished.client", "{how}");
            assert!(transfer.up_spliced > 1 << 20, "{how}: {transfer:?}");
            let line = logged(&proxy, client.local());
            assert_eq!(line["original_destination"], upstream.address(), "{how}");
            assert_eq!(line["server"], upstream.address(), "{how}");
        }
    }
}

/// Each upstream has a port of its own; what is the same for all is said with the first.
fn lead_once(network: &Network, how: &str, upstream: &Upstream, proxy: &Proxy) {
    let is_first = !network.nft(Place::Proxy, "list tables").contains("way");
    if is_first {
        return lead(network, how, upstream.port(), proxy);
    }
    let to = upstream.port();
    let rules = match how {
        "redirect" => vec![format!("in tcp dport {to} redirect to :{}", proxy.port())],
        _ => [("ipv4", "ip"), ("ipv6", "ip6")]
            .map(|(family, ip)| {
                let given = format!("tproxy {ip} to :{} meta mark set 1 accept", proxy.port());
                format!("back meta nfproto {family} tcp dport {to} {given}")
            })
            .to_vec(),
    };
    for rule in rules {
        network.nft(Place::Proxy, &format!("add rule inet way {rule}"));
    }
}

/// An address of IPv4 alone: no socket of IPv6 stands in between.
#[test]
fn a_listener_of_one_family_is_as_good() {
    for how in HOW {
        let network = router!();
        let upstream = upstream(&network, UPSTREAM);
        let proxy = Proxy::run(&onwards(how).replace("\":0\"", "\"0.0.0.0:0\"")).start();
        lead(&network, how, upstream.port(), &proxy);
        let mut client = client(&network, upstream.address());
        talk(&mut client, &mut upstream.accept());
    }
}

#[test]
fn servers_see_the_clients_address_where_that_is_wanted() {
    for how in HOW {
        let network = router!();
        let upstreams = FAMILIES.map(|(_, to)| upstream(&network, to));
        let as_client = format!("{}source = \"client\"\n", onwards(how));
        let proxy = Proxy::run(&as_client).start();
        for (upstream, (from, _)) in upstreams.iter().zip(FAMILIES) {
            lead_once(&network, how, upstream, &proxy);
            if how == "redirect" && from == CLIENT {
                returns(&network);
            }
            let mut client = client(&network, upstream.address());
            let mut server = upstream.accept();
            assert!(server.remote().contains(&format!("{from}]:")) || server.remote().contains(&format!("{from}:")));
            assert_ne!(server.remote(), client.local(), "{how}: the port is the proxy's");
            talk(&mut client, &mut server);
            drop(server);
            drop(client);
        }
        let transfers = proxy.all_ended(2);
        assert!(
            transfers.iter().all(|transfer| transfer.up_spliced > 1 << 20),
            "{how}: {transfers:?}"
        );
    }
}

/// Nobody was on another way: the proxy is where clients go, and its servers are those that it has.
#[test]
fn servers_of_ones_own_see_the_clients_address_as_well() {
    let network = router!();
    let upstream = upstream(&network, UPSTREAM);
    let back = format!(
        "[upstreams.back]\nservers = [\"{}\"]\nsource = \"client\"\n",
        upstream.address()
    );
    let proxy = Proxy::run(&config("upstream = \"back\"", &back)).start();
    returns(&network);
    let mut client = client(&network, &format!("{PROXY}:{}", proxy.port()));
    let mut server = upstream.accept();
    assert!(
        server.remote().starts_with(&format!("{CLIENT}:")),
        "{}",
        server.remote()
    );
    talk(&mut client, &mut server);
}

// ---- who is told of it ----

#[test]
fn routes_and_filters_know_where_a_connection_was_to_go() {
    let network = router!();
    let (blue, green) = (upstream(&network, UPSTREAM), upstream(&network, UPSTREAM));
    let script = "{ decision = \"tell\", keys = [\"original-destination\"], then = { decision = \"pass\" } }";
    let routes = format!(
        "[[listeners.routes]]\nname = \"green\"\ndestination = [\"198.51.100.0/24:{}\"]\nupstream = \"on\"\n\
         [[listeners.routes]]\nname = \"none\"\ndestination = [\":1-65535\"]\nrefuse = \"fin\"\n",
        green.port()
    );
    let filter = format!(
        "[filters.script]\nsource = \"{}\"\nconfig = {script}\n",
        artifacts::guest("router-script").display()
    );
    let listener = format!("transparent = \"redirect\"\nfilters = [\"script\"]\n{routes}");
    let proxy = Proxy::run(&logging(&format!("{}{ONWARDS}{filter}", config(&listener, "")))).start();
    lead_once(&network, "redirect", &blue, &proxy);
    lead_once(&network, "redirect", &green, &proxy);

    let mut to_green = client(&network, green.address());
    talk(&mut to_green, &mut green.accept());
    drop(to_green);
    let told = proxy.wait_for_guest("script", |_| true);
    assert!(told.to_string().contains(green.address()), "{told}");
    let transfers = proxy.all_ended(1);
    assert!(transfers[0].outcome.starts_with("relay."), "{transfers:?}");

    let mut to_blue = client(&network, blue.address());
    to_blue.expect_eof();
    let line = logged(&proxy, to_blue.local());
    assert_eq!(
        (&line["route"], &line["outcome"]),
        (&"none".into(), &"route.route-refused.proxy".into())
    );
    assert_eq!(line["original_destination"], blue.address());
}

// ---- what is refused ----

#[test]
fn nobody_goes_where_it_is_not_allowed() {
    let network = router!();
    let (open, closed) = (upstream(&network, UPSTREAM), upstream(&network, UPSTREAM));
    let allowed = format!("[\"203.0.113.0/24\", \"198.51.100.0/24:{}\"]", open.port());
    let proxy = Proxy::run(&logging(&onwards("redirect").replace("true", &allowed))).start();
    lead_once(&network, "redirect", &open, &proxy);
    lead_once(&network, "redirect", &closed, &proxy);
    let mut allowed = client(&network, open.address());
    talk(&mut allowed, &mut open.accept());
    let line = turned_away(&network, &proxy, closed.address());
    assert_eq!(line["outcome"], "route.not-allowed.proxy");
    assert_eq!(line["original_destination"], closed.address());
}

#[test]
fn who_was_not_led_here_goes_nowhere() {
    for how in HOW {
        let network = router!();
        let upstream = upstream(&network, UPSTREAM);
        let proxy = Proxy::run(&logging(&onwards(how))).start();
        let direct = [
            format!("{PROXY}:{}", proxy.port()),
            format!("[{PROXY_V6}]:{}", proxy.port()),
        ];
        // Without a rule the kernel keeps track of nothing.
        let early = turned_away(&network, &proxy, &direct[0]);
        let expected = match how {
            "redirect" => "route.no-destination.proxy",
            _ => "route.loop.proxy",
        };
        assert_eq!(early["outcome"], expected, "{how}");
        lead(&network, how, upstream.port(), &proxy);
        for address in direct {
            let late = turned_away(&network, &proxy, &address);
            assert_eq!(late["outcome"], "route.loop.proxy", "{how}: {address}");
        }
        let said = proxy.logged("a connection was turned away");
        assert!(
            said.iter().any(|event| event.text("why").contains("not redirected")),
            "{said:?}"
        );
        // And whoever was led here does.
        let mut client = client(&network, upstream.address());
        talk(&mut client, &mut upstream.accept());
    }
}

/// What the proxy sends is led to the proxy, too: a rule that forgets to leave it alone.
#[test]
fn what_comes_back_to_us_is_noticed_at_once() {
    let network = router!();
    let upstream = upstream(&network, UPSTREAM);
    let proxy = Proxy::run(&logging(&onwards("redirect"))).start();
    lead(&network, "redirect", upstream.port(), &proxy);
    network.nft(
        Place::Proxy,
        "add chain inet way out { type nat hook output priority -100; }",
    );
    let back = format!("tcp dport {} redirect to :{}", upstream.port(), proxy.port());
    network.nft(Place::Proxy, &format!("add rule inet way out {back}"));
    network.at(Place::Client, || {
        if let Ok(mut client) = Client::try_connect(upstream.address()) {
            client.expect_closed();
        }
    });
    let mut outcomes: Vec<_> = proxy.all_ended(2).into_iter().map(|ended| ended.outcome).collect();
    outcomes.sort();
    assert_eq!(outcomes[0], "accept.loop.client");
    assert!(
        outcomes[1].ends_with(".reset.upstream") || outcomes[1].ends_with(".reset.client"),
        "{outcomes:?}"
    );
    let said = "a connection of our own has come back to us: it goes round in circles";
    proxy.wait_for(said, |_| true);
    // Two, and no more: whoever comes next is the third.
    turned_away(&network, &proxy, &format!("{PROXY}:{}", proxy.port()));
    proxy.all_ended(3);
    assert_eq!(proxy.logged("connection ended").len(), 3);
}

#[test]
fn nobody_connects_to_us_as_its_client() {
    let network = router!();
    let port = Port::reserve();
    let us = format!("{PROXY}:{}", port.number());
    let back = format!("[upstreams.back]\nservers = [\"{us}\"]\nsource = \"client\"\n");
    let config = config("upstream = \"back\"", &back).replace("\":0\"", &format!("\":{}\"", port.number()));
    let proxy = Proxy::run(&config).start();
    let mut client = client(&network, &us);
    client.expect_closed();
    assert_eq!(proxy.ended(&client).outcome, "connect.loop.proxy");
}

#[test]
fn who_has_no_address_that_a_server_could_see_is_refused() {
    let network = router!();
    let upstream = upstream(&network, UPSTREAM);
    let back = format!(
        "[upstreams.back]\nservers = [\"{}\"]\nsource = \"client\"\n",
        upstream.address()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let unix = format!("unix:{}", folder.path().join("front.sock").display());
    let listener =
        format!("upstream = \"back\"\n[[listeners]]\nname = \"unix\"\naddress = \"{unix}\"\nupstream = \"back\"");
    let proxy = Proxy::run(&config(&listener, &back)).start();
    let mut of_ipv6 = client(&network, &format!("[{PROXY_V6}]:{}", proxy.port()));
    of_ipv6.expect_closed();
    assert_eq!(proxy.ended(&of_ipv6).outcome, "connect.no-source.proxy");
    let mut local = Client::connect(&unix);
    local.expect_closed();
    let outcomes: Vec<_> = proxy.all_ended(2).into_iter().map(|ended| ended.outcome).collect();
    assert!(outcomes.contains(&"route.no-source.proxy".to_owned()), "{outcomes:?}");
}

#[test]
fn who_may_not_is_told_so_before_anybody_is_served() {
    if !is_root() {
        skip!("only root can become somebody who may not");
    }
    let open: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(open).tempdir().expect("a folder");
    let file = folder.path().join("spliceway.toml");
    let as_client = config(
        "upstream = \"back\"",
        "[upstreams.back]\nservers = [\"127.0.0.1:1\"]\nsource = \"client\"",
    );
    for (config, said) in [
        (onwards("tproxy"), "`transparent = \"tproxy\"`"),
        (as_client, "upstream \"back\": `source = \"client\"`"),
    ] {
        fs::write(&file, &config).unwrap();
        for command in ["run", "check"] {
            let mut nobody = lasting_as("nobody", artifacts::binary());
            nobody.arg(command).arg("--config").arg(&file);
            let ended = run(&mut nobody, DEADLINE);
            let text = ended.stderr.replace("\\\"", "\"");
            assert_eq!(ended.code(), Some(1), "{command}: {text}");
            assert!(
                text.contains(said) && text.contains("CAP_NET_ADMIN"),
                "{command}: {text}"
            );
        }
    }
}

/// Started as root, it gives that away before it connects to anybody.
#[test]
fn a_process_that_gives_its_privileges_away_connects_as_nobody_else() {
    if !is_root() {
        skip!("only root has privileges to give away");
    }
    let process = "[process]\nuser = \"nobody\"\n";
    let back = format!("[upstreams.back]\nservers = [\"127.0.0.1:1\"]\nsource = \"client\"\n{process}");
    let ended = Proxy::run(&config("upstream = \"back\"", &back)).fail();
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.stderr.contains("`[process] user` gives it away"),
        "{}",
        ended.stderr
    );
    // Its listening sockets are made before.
    Proxy::run(&format!("{}{process}", onwards("tproxy"))).start();
}

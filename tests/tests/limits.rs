//! Limits: how many connections there may be, how often new ones, and what becomes of the one too many.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use spliceway_tests::{Client, End, Peer, Proxy, Upstream, alone, skip};
use tempfile::TempDir;

/// A client of its own: all of 127.0.0.0/8 is this machine, and where nothing is said the kernel takes 127.0.0.1.
const SOMEBODY_ELSE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Long enough to see that nothing happens.
const A_WHILE: Duration = Duration::from_millis(150);

const NOT_LIMITED: &str = "";

/// What the upstream of a [`Scene`] says first.
const SERVED: &str = "served";

// ---- how many at once ----

#[test]
fn a_listener_serves_as_many_at_once_as_it_may() {
    let scene = Scene::with(r#"connections = 2, at-limit = "fin""#);
    let first = scene.served();
    let _second = scene.served();
    scene.refuses(|| scene.connect(), End::Fin);

    scene.ends(first);
    let _third = scene.served();
    scene.refuses(|| scene.connect(), End::Fin);
}

#[test]
fn all_listeners_together_serve_as_many_as_they_may() {
    let scene = Scene::of_two(r#"connections = 2, at-limit = "rst""#, NOT_LIMITED);
    let on_front = served(scene.connect_to("front"));
    let _on_back = served(scene.connect_to("back"));
    for listener in ["front", "back"] {
        scene.refuses(|| scene.connect_to(listener), End::Reset);
    }

    // What one listener gives back, the other may have.
    scene.ends(on_front);
    let _another = served(scene.connect_to("back"));
}

#[test]
fn one_listener_s_limit_is_none_of_the_other_s() {
    let scene = Scene::of_two(NOT_LIMITED, r#"connections = 1, at-limit = "rst""#);
    let _on_front = served(scene.connect_to("front"));
    scene.refuses(|| scene.connect_to("front"), End::Reset);
    let _on_back: Vec<Peer> = (0..3).map(|_| served(scene.connect_to("back"))).collect();
}

#[test]
fn a_listener_s_own_limit_and_that_of_all_hold_together_and_who_is_refused_keeps_no_place() {
    // RST says that it was the limit of all, FIN that it was the listener's.
    let all = r#"connections = 2, at-limit = "rst""#;
    let scene = Scene::of_two(all, r#"connections = 1, at-limit = "fin""#);
    let _on_back = served(scene.connect_to("back"));
    let on_front = served(scene.connect_to("front"));
    scene.refuses(|| scene.connect_to("front"), End::Fin);

    scene.ends(on_front);
    let instead = served(scene.connect_to("back"));
    // These have the listener's place while they ask for that of all. The second one finds it free again.
    scene.refuses(|| scene.connect_to("front"), End::Reset);
    scene.refuses(|| scene.connect_to("front"), End::Reset);
    scene.ends(instead);
    let _at_last = served(scene.connect_to("front"));
}

#[test]
fn a_client_that_has_its_share_does_not_keep_others_out() {
    let scene = Scene::with(r#"connections-per-client = 2, at-limit = "rst""#);
    let first = scene.served();
    let _second = scene.served();
    scene.refuses(|| scene.connect(), End::Reset);
    let _others: Vec<Peer> = (0..2).map(|_| served(scene.connect_from(SOMEBODY_ELSE))).collect();
    scene.refuses(|| scene.connect_from(SOMEBODY_ELSE), End::Reset);

    scene.ends(first);
    let _third = scene.served();
}

#[test]
fn a_client_s_share_is_counted_over_all_listeners_where_the_limit_is_theirs() {
    let scene = Scene::of_two(r#"connections-per-client = 1, at-limit = "fin""#, NOT_LIMITED);
    let _on_front = served(scene.connect_to("front"));
    scene.refuses(|| scene.connect_to("back"), End::Fin);
    let _others = served(Client::connect_from(SOMEBODY_ELSE, scene.proxy.listener("back")));
}

#[test]
fn clients_of_ipv4_are_told_apart_where_the_listener_is_one_of_ipv6() {
    // They come as ::ffff:127.0.0.1 and ::ffff:127.0.0.2, whose first 64 bits are the same.
    if !has_ipv6() {
        skip!("no IPv6 here");
    }
    let limits = r#"connections-per-client = 1, at-limit = "fin", ipv6-prefix = 64"#;
    let scene = Scene::at("[::]:0", limits);
    let address = format!("127.0.0.1:{}", scene.proxy.port());
    let _one = served(Client::connect(&address));
    scene.refuses(|| Client::connect(&address), End::Fin);
    let _other = served(Client::connect_from(SOMEBODY_ELSE, &address));
}

#[test]
fn a_client_of_ipv6_has_its_share_whatever_the_prefix() {
    // There is one address of IPv6 to come from, ::1; which addresses are one client, a unit test says.
    if !has_ipv6() {
        skip!("no IPv6 here");
    }
    for prefix in [1, 64, 128] {
        let limits = format!(r#"connections-per-client = 1, at-limit = "rst", ipv6-prefix = {prefix}"#);
        let scene = Scene::at("[::1]:0", &limits);
        let first = scene.served();
        scene.refuses(|| scene.connect(), End::Reset);
        scene.ends(first);
        let _second = scene.served();
    }
}

#[test]
fn clients_of_a_unix_socket_have_no_address_and_no_share() {
    let folder = TempDir::new().expect("a temporary folder");
    let address = format!("unix:{}", folder.path().join("proxy").display());
    let limits = r#"connections = 3, connections-per-client = 1, rate-per-client = 1, at-limit = "fin""#;
    let scene = Scene::at(&address, limits);
    let _served: Vec<Peer> = (0..3).map(|_| scene.served()).collect();
    scene.connect().hears_fin();
}

// ---- what becomes of one too many ----

#[test]
fn in_a_queue_a_connection_is_served_when_a_place_is_free() {
    let scene = Scene::with(r#"connections = 1, at-limit = "queue(30s)""#);
    let first = scene.served();
    let mut waiting = scene.connect();
    waiting.send(b"early");
    waiting.expect_silence(A_WHILE);

    scene.ends(first);
    // What it said while it waited was kept for the upstream.
    waiting.expect(b"servedearly");
}

#[test]
fn in_a_queue_a_connection_is_closed_when_its_time_is_over() {
    let scene = Scene::with(r#"connections = 1, at-limit = "queue(200ms)""#);
    let _first = scene.served();
    let begun = Instant::now();
    scene.refuses(|| scene.connect(), End::Fin);
    // The proxy's clock may be one tick of 10 ms behind.
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(180), "closed after {waited:?}");
    // Far from the 5 s that are the default.
    assert!(waited < Duration::from_secs(4), "closed after {waited:?}");
}

#[test]
fn a_share_can_be_waited_for_as_well() {
    let scene = Scene::with(r#"connections-per-client = 1, at-limit = "queue(30s)""#);
    let first = scene.served();
    let mut waiting = scene.connect();
    waiting.expect_silence(A_WHILE);
    scene.ends(first);
    waiting.expect(b"served");

    let scene = Scene::with(r#"connections-per-client = 1, at-limit = "queue(200ms)""#);
    let _first = scene.served();
    scene.refuses(|| scene.connect(), End::Fin);
}

#[test]
fn delayed_connections_are_served_in_the_order_in_which_they_came() {
    let scene = Scene::in_order(r#"connections = 1, at-limit = "delay""#);
    let mut served = scene.served();
    let mut waiting: Vec<Peer> = (0..4).map(|_| scene.connect()).collect();
    for turn in 0..waiting.len() {
        for peer in &mut waiting[turn..] {
            peer.expect_silence(A_WHILE / 10);
        }
        scene.ends(served);
        let next = &mut waiting[turn];
        next.expect(b"served");
        served = next.another();
    }
}

#[test]
fn one_that_waits_and_leaves_keeps_nobody_waiting() {
    let scene = Scene::in_order(r#"connections = 1, at-limit = "delay""#);
    let first = scene.served();
    let leaving: Vec<Peer> = (0..3).map(|_| scene.connect()).collect();
    let mut waiting = scene.connect();
    waiting.expect_silence(A_WHILE);
    for (number, peer) in leaving.into_iter().enumerate() {
        // Neither way of leaving is better than the other.
        if number == 1 {
            peer.reset();
        }
    }
    scene.ends(first);
    waiting.expect(b"served");
}

#[test]
fn fin_is_fin_though_the_client_has_spoken_and_rst_is_rst() {
    for (word, end) in [("fin", End::Fin), ("rst", End::Reset)] {
        let scene = Scene::with(&format!(r#"connections = 1, at-limit = "{word}""#));
        let _first = scene.served();
        let outspoken = || {
            let mut client = scene.connect();
            client.send(b"hello");
            client
        };
        scene.refuses(outspoken, end);
    }
}

// ---- how often ----

#[test]
fn a_second_s_worth_is_served_at_once_and_the_others_evenly() {
    const RATE: usize = 20;
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config(
        NOT_LIMITED,
        r#"rate = 20, at-limit = "delay""#,
        "127.0.0.1:0",
        &upstream,
    ))
    .start();
    let begun = Instant::now();
    let _clients: Vec<Peer> = (0..RATE + 10).map(|_| Client::connect(proxy.address())).collect();
    let mut servers = Vec::new();
    let served: Vec<Duration> = (0..RATE + 10)
        .map(|_| {
            servers.push(upstream.accept());
            begun.elapsed()
        })
        .collect();
    // Nothing keeps the first of them back, so the twentieth is there long before a second is over.
    assert!(served[RATE - 1] < Duration::from_secs(1), "{served:?}");
    for (number, at) in served.iter().enumerate().skip(RATE) {
        let due = Duration::from_millis(50 * (number - RATE + 1) as u64);
        // The proxy's clock may be one tick of 10 ms behind.
        assert!(
            *at + Duration::from_millis(10) >= due,
            "number {number} is due at {due:?}: {served:?}"
        );
    }
}

#[test]
fn more_than_a_second_s_worth_is_refused() {
    let scene = Scene::with(r#"rate = 5, at-limit = "rst""#);
    let outcomes = scene.attempts(12, || scene.connect());
    outcomes.keep_to(5);
}

#[test]
fn a_rate_of_all_is_counted_over_all_listeners() {
    let scene = Scene::of_two(r#"rate = 4, at-limit = "fin""#, NOT_LIMITED);
    let mut turn = ["front", "back"].into_iter().cycle();
    let outcomes = scene.attempts(12, || scene.connect_to(turn.next().expect("a cycle has no end")));
    outcomes.keep_to(4);
}

#[test]
fn a_client_that_comes_too_often_does_not_keep_others_out() {
    let scene = Scene::with(r#"rate-per-client = 3, at-limit = "fin""#);
    scene.attempts(12, || scene.connect()).keep_to(3);
    scene.attempts(12, || scene.connect_from(SOMEBODY_ELSE)).keep_to(3);
}

#[test]
fn one_that_comes_too_early_may_wait_for_its_turn() {
    let scene = Scene::with(r#"rate-per-client = 2, at-limit = "queue(10s)""#);
    let begun = Instant::now();
    let _served: Vec<Peer> = (0..4).map(|_| scene.served()).collect();
    // Two at once, and the other two half a second after one another.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(990), "four within {took:?}");
}

/// What came of several attempts.
struct Attempts {
    served: usize,
    refused: usize,
    took: Duration,
}

impl Attempts {
    /// A second's worth, and for each second that the test took (none, where nothing stands still) as many again.
    #[track_caller]
    fn keep_to(&self, rate: usize) {
        let at_most = rate + (rate as f64 * self.took.as_secs_f64()) as usize;
        assert!(
            (rate..=at_most).contains(&self.served),
            "{} were served and {} refused in {:?}",
            self.served,
            self.refused,
            self.took
        );
    }
}

// ---- descriptors: the limit that nobody has written down ----

#[test]
fn without_descriptors_the_proxy_rests_and_goes_on_when_there_are_some_again() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let mut proxy = Proxy::forward(upstream.address()).workers(2).descriptors(320).start();
    let ready = proxy.wait_for("ready", |_| true);
    assert_eq!(ready.number("descriptors"), 320);
    let most = ready.number("most_connections") as usize;
    assert!((8..160).contains(&most), "{ready}");

    let mut clients: Vec<Peer> = (0..3 * most).map(|_| Client::connect(proxy.address())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("{number:03}").as_bytes());
    }
    let mut served: Vec<Peer> = (0..most).map(|_| upstream.accept()).collect();
    let before = proxy.cpu_time();
    // Nothing more comes, and nothing is done about it: a proxy that tries again and again uses all of this second.
    while upstream.waiting(Duration::from_secs(1)) {
        served.push(upstream.accept());
        // Two workers may have taken one each while it seemed that there was room.
        assert!(served.len() <= most + 1, "{} of at most {most}", served.len());
    }
    let used = proxy.cpu_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} of CPU time for nothing");
    assert!(proxy.is_running());

    // Each that ends lets another one in, and then there are none again.
    let mut end_one = |served: &mut Vec<Peer>| {
        let mut server = served.pop().expect("there are more clients than this");
        let number: usize = String::from_utf8_lossy(&server.receive(3))
            .parse()
            .expect("a client's number");
        server.send(b"ok");
        clients[number].expect(b"ok");
        server.reset();
        clients[number].expect_reset();
    };
    for _ in 0..8 {
        end_one(&mut served);
        while served.len() < most {
            served.push(upstream.accept());
        }
    }
    for _ in 8..3 * most {
        if served.is_empty() {
            served.push(upstream.accept());
        }
        end_one(&mut served);
    }
    assert_eq!(proxy.logged("no connection can be accepted for now").len(), 1);
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[test]
fn a_limit_that_the_descriptors_do_not_allow_is_told_of() {
    let upstream = Upstream::listen();
    let limits = "connections = 1000000";
    let proxy = Proxy::run(&config(limits, NOT_LIMITED, "127.0.0.1:0", &upstream))
        .descriptors(400)
        .start();
    let warning = proxy.wait_for("the limit of open files allows fewer connections than `limits`", |_| {
        true
    });
    assert_eq!(warning.number("configured"), 1_000_000);
    let ready = proxy.wait_for("ready", |_| true);
    assert_eq!(warning.number("most"), ready.number("most_connections"));
}

// ---- the scenes ----

/// A proxy in front of an upstream that says `served` to whoever reaches it, and then echoes.
struct Scene {
    proxy: Proxy,
    _upstream: Upstream,
}

impl Scene {
    /// One listener with these limits.
    fn with(limits: &str) -> Self {
        Self::at("127.0.0.1:0", limits)
    }

    fn at(address: &str, limits: &str) -> Self {
        let upstream = Upstream::named(SERVED);
        Self {
            proxy: Proxy::run(&config(NOT_LIMITED, limits, address, &upstream)).start(),
            _upstream: upstream,
        }
    }

    /// With one worker, which sees connections in the order in which they were made.
    fn in_order(limits: &str) -> Self {
        let upstream = Upstream::named(SERVED);
        let config = config(NOT_LIMITED, limits, "127.0.0.1:0", &upstream);
        Self {
            proxy: Proxy::run(&format!("workers = 1\n{config}")).start(),
            _upstream: upstream,
        }
    }

    /// Two listeners, `front` with limits of its own, and limits of both together.
    fn of_two(all: &str, front: &str) -> Self {
        let upstream = Upstream::named(SERVED);
        let back = "[[listeners]]\nname = \"back\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n";
        let config = config(all, front, "127.0.0.1:0", &upstream) + back;
        Self {
            proxy: Proxy::run(&config).start(),
            _upstream: upstream,
        }
    }

    fn connect(&self) -> Peer {
        Client::connect(self.proxy.address())
    }

    fn connect_to(&self, listener: &str) -> Peer {
        Client::connect(self.proxy.listener(listener))
    }

    fn connect_from(&self, source: Ipv4Addr) -> Peer {
        Client::connect_from(source, self.proxy.address())
    }

    #[track_caller]
    fn served(&self) -> Peer {
        served(self.connect())
    }

    #[track_caller]
    fn refuses(&self, connect: impl FnOnce() -> Peer, end: End) {
        // Or a RST might be there before connect returns, which would then fail.
        self.proxy.freeze();
        let mut client = connect();
        self.proxy.thaw();
        let heard = client.hear_out();
        assert!(heard.bytes.is_empty(), "it was told {} bytes", heard.bytes.len());
        assert_eq!(heard.end, end);
        assert_eq!(self.proxy.ended(&client).outcome, "accept.limited.proxy");
    }

    /// Waits until it has given back what it had.
    #[track_caller]
    fn ends(&self, mut client: Peer) {
        client.half_close();
        client.receive_all();
        self.proxy.ended(&client);
    }

    /// So many connections as fast as they can be made, and what came of each.
    #[track_caller]
    fn attempts(&self, count: usize, connect: impl FnMut() -> Peer) -> Attempts {
        self.proxy.freeze();
        let peers: Vec<Peer> = std::iter::repeat_with(connect).take(count).collect();
        let begun = Instant::now();
        self.proxy.thaw();
        let (mut served, mut refused) = (Vec::new(), 0);
        for mut peer in peers {
            match peer.try_receive(SERVED.len()) {
                Some(said) => {
                    assert_eq!(said, SERVED.as_bytes());
                    served.push(peer);
                }
                None => {
                    assert_eq!(self.proxy.ended(&peer).outcome, "accept.limited.proxy");
                    refused += 1;
                }
            }
        }
        Attempts {
            served: served.len(),
            refused,
            took: begun.elapsed(),
        }
    }
}

/// The same client, once it has been told so.
#[track_caller]
fn served(mut client: Peer) -> Peer {
    client.expect(SERVED.as_bytes());
    client
}

/// The limits of all, and one listener's own.
fn config(all: &str, own: &str, address: &str, upstream: &Upstream) -> String {
    format!(
        "limits = {{ {all} }}\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"{address}\"\nupstream = \"only\"\nlimits = {{ {own} }}\n",
        upstream.address()
    )
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

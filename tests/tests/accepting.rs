//! Accepting: whichever way workers share an address, each serves its part of the connections, and all serve alike.
//!
//! Which worker serves a connection is nowhere said. But each of them waits with an epoll instance of its own, and the
//! kernel tells which sockets are registered with it (proc_pid_fdinfo(5)).

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::thread;

use rustix::net::listen;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::{Client, Peer, Proxy, Transfer, Upstream, alone, eventually, skip};

/// Every way of sharing.
const ACCEPT: [&str; 3] = ["groups", "per-worker", "shared"];

#[test]
fn two_workers_have_their_part_each_of_a_thousand_connections() {
    shares_are_fair(2);
}

#[test]
fn four_workers_have_their_part_each_of_a_thousand_connections() {
    shares_are_fair(4);
}

/// More workers than one group has.
#[test]
fn six_workers_have_their_part_each_of_a_thousand_connections() {
    shares_are_fair(6);
}

#[track_caller]
fn shares_are_fair(workers: usize) {
    let _alone = alone();
    if !has_descriptors() {
        skip!("this user may not have enough descriptors");
    }
    for accept in ACCEPT {
        let scene = Scene::start(workers, accept);
        let _pairs = scene.connect(1000);
        scene.is_fair(1000);
    }
}

#[test]
fn a_worker_whose_connections_have_ended_is_given_the_new_ones() {
    let _alone = alone();
    if !has_descriptors() {
        skip!("this user may not have enough descriptors");
    }
    // Here it is a hash that chooses the worker, which does not know how many connections each of them has.
    let scene = Scene::start(2, "per-worker");
    let pairs = scene.connect(600);
    let of_one = scene.workers().swap_remove(0);
    let (leaving, _staying): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .partition(|(client, _)| of_one.contains(client.local()));
    let left = leaving.len();
    assert!(left >= 200, "{left} of 600");
    drop(leaving);
    scene.proxy.all_ended(left);

    let mut new = scene.connect(left);
    scene.is_fair(600);
    // Whoever was handed over is served as well as anybody.
    for (client, server) in &mut new {
        client.send(b"ping");
        server.expect(b"ping");
        server.send(b"pong");
        client.expect(b"pong");
    }
}

#[test]
fn every_way_of_accepting_relays_alike() {
    let _alone = alone();
    for accept in ACCEPT {
        let upstream = Upstream::echo();
        let proxy = Proxy::run(&config(4, accept, upstream.address())).start();
        thread::scope(|scope| {
            for number in 0..48 {
                let address = proxy.address();
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    // A small message, which is copied, and then more than a buffer, which is spliced.
                    client.send(b"hello");
                    client.expect(b"hello");
                    let (mut reader, sent) = (client.another(), pattern(number, (1 << 20) + number as usize));
                    let got = thread::scope(|scope| {
                        let got = scope.spawn(move || reader.receive_all());
                        client.send(&sent);
                        client.half_close();
                        got.join().expect("the reader does not panic")
                    });
                    assert_eq!(digest(&got), digest(&sent), "{accept}");
                });
            }
        });
        let transfers = proxy.all_ended(48);
        let sum = |of: fn(&Transfer) -> u64| transfers.iter().map(of).sum::<u64>();
        let sent = (0..48).map(|number| (1 << 20) + number + 5).sum::<u64>();
        assert_eq!((sum(Transfer::up), sum(Transfer::down)), (sent, sent), "{accept}");
        // Not each of them: a worker has so many pipes and no more.
        assert!(sum(|transfer| transfer.up_spliced) > 0, "{accept}: {transfers:?}");
        for transfer in transfers {
            assert_eq!(transfer.outcome, "relay.finished.client", "{accept}");
        }
    }
}

// ---- the scenes ----

struct Scene {
    proxy: Proxy,
    /// Of workers.
    count: usize,
    upstream: Upstream,
}

impl Scene {
    fn start(workers: usize, accept: &str) -> Self {
        let upstream = Upstream::listen();
        // Connections reach it as fast as the proxy makes them.
        listen(&upstream, 2000).expect("a listening socket can be given a longer queue");
        Self {
            proxy: Proxy::run(&config(workers, accept, upstream.address())).start(),
            count: workers,
            upstream,
        }
    }

    /// So many connections at once, each of which has reached the upstream.
    fn connect(&self, count: usize) -> Vec<(Peer, Peer)> {
        let mut clients: HashMap<usize, Peer> = thread::scope(|scope| {
            let connecting: Vec<_> = (0..8)
                .map(|first| {
                    scope.spawn(move || {
                        let mine = (first..count).step_by(8);
                        mine.map(|number| {
                            let mut client = Client::connect(self.proxy.address());
                            client.send(&(number as u32).to_be_bytes());
                            (number, client)
                        })
                        .collect::<Vec<_>>()
                    })
                })
                .collect();
            let connected = connecting.into_iter().map(|thread| thread.join().expect("it connects"));
            connected.flatten().collect()
        });
        (0..count)
            .map(|_| {
                let mut server = self.upstream.accept();
                let number = server
                    .receive(4)
                    .try_into()
                    .map(u32::from_be_bytes)
                    .expect("four bytes");
                (clients.remove(&(number as usize)).expect("each comes once"), server)
            })
            .collect()
    }

    #[track_caller]
    fn is_fair(&self, connections: usize) {
        // The last ones may have been handed over, and not be registered yet.
        let workers = eventually("every connection is with a worker", || {
            let workers = self.workers();
            let registered: usize = workers.iter().map(BTreeSet::len).sum();
            (registered == connections).then_some(workers)
        });
        let shares: Vec<usize> = workers.iter().map(BTreeSet::len).collect();
        let most = shares.iter().max().expect("there are workers");
        let share = connections as f64 / self.count as f64;
        assert!(*most as f64 <= 1.3 * share, "{shares:?}");
    }

    /// The clients of each worker that has some.
    fn workers(&self) -> Vec<BTreeSet<String>> {
        let folder = format!("/proc/{}", self.proxy.pid());
        let links: HashMap<String, String> = self
            .proxy
            .descriptors()
            .into_iter()
            .filter_map(|number| {
                let link = fs::read_link(format!("{folder}/fd/{number}")).ok()?;
                Some((number.to_string(), link.to_str()?.to_owned()))
            })
            .collect();
        let clients = clients(self.proxy.port());
        let instances = links.iter().filter(|(_, link)| *link == "anon_inode:[eventpoll]");
        let workers: BTreeSet<BTreeSet<String>> = instances
            .filter_map(|(number, _)| {
                let info = fs::read_to_string(format!("{folder}/fdinfo/{number}")).ok()?;
                let registered = info
                    .lines()
                    .filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next());
                let theirs = registered.filter_map(|target| clients.get(links.get(target)?));
                Some(theirs.cloned().collect())
            })
            .collect();
        // An instance may have two descriptors, which a set takes for one; and not all of them are workers'.
        workers.into_iter().filter(|clients| !clients.is_empty()).collect()
    }
}

/// The client at the other end of each socket that is connected to this port; a socket as `socket:[INODE]`.
fn clients(port: u16) -> HashMap<String, String> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel tells of its connections");
    let here = format!(":{port:04X}");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, client) = words.get(2).filter(|_| words[1].ends_with(&here))?.rsplit_once(':')?;
        let client = u16::from_str_radix(client, 16).ok()?;
        Some((format!("socket:[{}]", words.get(9)?), format!("127.0.0.1:{client}")))
    };
    // The one that listens has nobody at its other end.
    let connected = table
        .lines()
        .filter_map(line)
        .filter(|(_, client)| client != "127.0.0.1:0");
    connected.collect()
}

fn config(workers: usize, accept: &str, upstream: &str) -> String {
    format!(
        "workers = {workers}\n\
         [upstreams.only]\nservers = [\"{upstream}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\naccept = \"{accept}\"\n"
    )
}

/// Whether this process may have both ends of the connections of a test, once it has asked for as much as it may.
fn has_descriptors() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok() && limit.maximum.is_none_or(|most| most >= 4096)
}

//! Many connections at once, most of them idle: what an idle one costs, and whether the busy ones among them are served.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, alone, skip};

/// Where the machine lets us; in proportion where it gives fewer descriptors.
const IDLE: usize = 10_000;
const BUSY: usize = 2_000;

/// Below this, the connections no longer outweigh what a proxy of any size needs.
const FEWEST: usize = 2_000;

/// Connections before memory is looked at: what a proxy of any size needs has been made by then.
const FIRST: usize = 200;

/// In KiB, for an idle connection. Measured: 2.4, most of it the future of its relay. A buffer that is kept, or a future twice
/// as large, costs more than this.
const MOST_MEMORY: f64 = 4.0;

/// How long the busy ones are watched.
const WATCHED: Duration = Duration::from_secs(8);

/// How long one of them may wait for an echo. All share two cores with the rest of this test, and each has its turn several
/// times a second; who waits for this long was passed over.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Descriptors for everything else: files, pipes, and what the proxy keeps back.
const SPARE: u64 = 500;

const MESSAGE: [u8; 64] = [b'm'; 64];

#[test]
fn ten_thousand_idle_connections_cost_little_and_do_not_hold_up_two_thousand_busy_ones() {
    let _alone = alone();
    let most = most_connections();
    if most < FEWEST {
        skip!("this user may have descriptors for {most} connections only");
    }
    let (idle, busy) = (IDLE.min(most * 5 / 6), BUSY.min(most / 6));
    let server = echo();
    let proxy = Proxy::forward(&server).workers(2).start();
    let open = proxy.descriptors().len();

    let mut waiting = connected(&proxy, FIRST);
    let before = proxy.own_memory_kib();
    waiting.extend(connected(&proxy, idle));
    let after = proxy.own_memory_kib();
    let each = after.saturating_sub(before) as f64 / idle as f64;
    eprintln!("{idle} idle connections, {each:.2} KiB for each, {after} KiB in all");
    assert!(each < MOST_MEMORY, "{each:.2} KiB for an idle connection");

    let waits = longest_waits(&connected(&proxy, busy));
    let longest = waits[busy - 1];
    eprintln!(
        "{busy} busy connections; the longest wait for an echo: {longest:?}, of most: {:?}",
        waits[busy / 2]
    );
    assert!(
        longest < LONGEST_WAIT,
        "one of the busy connections waited {longest:?} for an echo"
    );

    // The idle ones are all still there.
    for client in waiting.iter_mut().step_by(100) {
        client.send(b"?");
        client.expect(b"?");
    }
    // Thrown away, since a close would leave each port in TIME_WAIT for a minute.
    waiting.into_iter().for_each(Peer::reset);
    proxy.descriptors_back_to(open);
}

/// How many connections this process and the proxy, which gets its limit, can have both ends of.
fn most_connections() -> usize {
    let wanted = 2 * (FIRST + IDLE + BUSY) as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    let have = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => limit.current.unwrap_or(wanted),
    };
    (have.saturating_sub(SPARE) / 2) as usize - FIRST
}

/// Connections on which one byte has gone there and back, so that all of them are complete.
fn connected(proxy: &Proxy, count: usize) -> Vec<Peer> {
    let clients = (0..count).map(|_| {
        let mut client = Client::connect(proxy.address());
        client.send(b"x");
        client.expect(b"x");
        client
    });
    clients.collect()
}

/// Keeps all of them busy with a message each, there and back again and again. Returns the longest time that each of them
/// waited for its echo, the shortest of these first.
fn longest_waits(clients: &[Peer]) -> Vec<Duration> {
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let mut asked = vec![Instant::now(); clients.len()];
    let mut longest = vec![Duration::ZERO; clients.len()];
    for (number, client) in clients.iter().enumerate() {
        let number = epoll::EventData::new_u64(number as u64);
        epoll::add(&events, client, number, epoll::EventFlags::IN).expect("a socket can be watched");
        send(client);
    }
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        for number in ready(&events) {
            let number = number as usize;
            receive(&clients[number]);
            longest[number] = longest[number].max(asked[number].elapsed());
            asked[number] = Instant::now();
            send(&clients[number]);
        }
    }
    // Who is still waiting has waited as well.
    for (longest, asked) in longest.iter_mut().zip(&asked) {
        *longest = (*longest).max(asked.elapsed());
    }
    longest.sort_unstable();
    longest
}

fn send(client: &Peer) {
    let sent = rustix::net::send(client, &MESSAGE, rustix::net::SendFlags::NOSIGNAL).expect("the connection lives");
    assert_eq!(
        sent,
        MESSAGE.len(),
        "a socket that is owed nothing takes a small message"
    );
}

fn receive(client: &Peer) {
    let mut message = [0; MESSAGE.len()];
    let (_, got) = rustix::net::recv(client, &mut message[..], rustix::net::RecvFlags::WAITALL).expect("an echo");
    assert_eq!((got, message), (MESSAGE.len(), MESSAGE), "the echo of what was said");
}

/// The numbers of those that have something to read.
fn ready(events: impl AsFd) -> Vec<u64> {
    let mut list = Vec::with_capacity(1024);
    let within = Timespec::try_from(DEADLINE).expect("a deadline fits a timespec");
    epoll::wait(events, rustix::buffer::spare_capacity(&mut list), Some(&within)).expect("epoll waits");
    assert!(!list.is_empty(), "nobody was served within {DEADLINE:?}");
    list.iter().map(|event| event.data.u64()).collect()
}

/// A server for all of them in one thread: it sends back what it gets.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1 can be bound");
    // The standard library asks for 128, and the proxy may dial faster than that.
    rustix::net::listen(&listener, 4096).expect("a listener may be given a longer queue");
    let address = listener.local_addr().expect("a listener has an address").to_string();
    thread::spawn(move || serve(&listener));
    address
}

fn serve(listener: &TcpListener) {
    const LISTENER: u64 = 0;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    let watch = |fd: rustix::fd::BorrowedFd<'_>, number| {
        epoll::add(&events, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN).expect("it can be watched");
    };
    watch(listener.as_fd(), LISTENER);
    let mut clients: HashMap<u64, TcpStream> = HashMap::new();
    let mut last = LISTENER;
    let mut buffer = [0; 4096];
    let mut list = Vec::with_capacity(1024);
    loop {
        list.clear();
        epoll::wait(&events, rustix::buffer::spare_capacity(&mut list), None).expect("epoll waits");
        for event in &list {
            let number = event.data.u64();
            if number == LISTENER {
                let (client, _) = listener.accept().expect("a waiting connection can be accepted");
                client.set_nodelay(true).expect("TCP_NODELAY");
                last += 1;
                watch(client.as_fd(), last);
                clients.insert(last, client);
                continue;
            }
            let Some(client) = clients.get_mut(&number) else {
                continue;
            };
            let echoed = match client.read(&mut buffer) {
                Ok(count @ 1..) => client.write_all(&buffer[..count]).is_ok(),
                Ok(0) | Err(_) => false,
            };
            if !echoed {
                clients.remove(&number);
            }
        }
    }
}

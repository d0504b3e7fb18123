//! The relay: every byte arrives, in order, once; ends are carried through; bulk goes through the kernel.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::process::Signal;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::command::{lasting, lasting_as};
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Trace, Upstream, alone, is_root, skip};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

#[test]
fn what_is_said_arrives_on_the_other_side() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();

    client.send(b"hello");
    server.expect(b"hello");
    server.send(b"and hello to you");
    client.expect(b"and hello to you");

    client.half_close();
    server.expect_eof();
    server.half_close();
    client.expect_eof();

    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up(), transfer.down()), (5, 16));
    assert!(transfer.outcome.starts_with("relay.finished"), "{}", transfer.outcome);
}

#[test]
fn a_server_may_speak_first() {
    let upstream = Upstream::named("220 welcome\r\n");
    let proxy = Proxy::forward(upstream.address()).start();
    Client::connect(proxy.address()).expect(b"220 welcome\r\n");
}

#[test]
fn every_size_arrives_whole_in_both_directions_at_once() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    // Around the sizes where something changes: nothing, a byte, a page, the copy buffer, a pipe; and then bulk.
    let sizes = [
        0,
        1,
        4095,
        4096,
        4097,
        16 * 1024 - 1,
        16 * 1024 + 1,
        64 * 1024 - 1,
        64 * 1024 + 1,
        MIB - 1,
        MIB + 1,
        20 * MIB,
    ];
    for (number, &size) in sizes.iter().enumerate() {
        let client = Client::connect(proxy.address());
        let address = client.another();
        let server = upstream.accept();
        // Each direction has other bytes, and another size, so that one cannot be taken for the other.
        let up = pattern(2 * number as u64, size);
        let down = pattern(2 * number as u64 + 1, sizes[sizes.len() - 1 - number]);

        let (got_up, got_down) = both_ways(client, server, &up, &down);

        assert_eq!(digest(&got_up), digest(&up), "up, {size} bytes");
        assert_eq!(digest(&got_down), digest(&down), "down, {} bytes", down.len());
        let transfer = proxy.ended(&address);
        assert_eq!((transfer.up(), transfer.down()), (up.len() as u64, down.len() as u64));
    }
}

#[test]
fn many_connections_at_once_do_not_mix_their_bytes() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).workers(2).start();
    thread::scope(|scope| {
        for number in 0..32 {
            let address = proxy.address();
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let mut reader = client.another();
                let sent = pattern(number, 512 * 1024 + number as usize);
                let got = thread::scope(|scope| {
                    let got = scope.spawn(move || reader.receive_all());
                    client.send(&sent);
                    client.half_close();
                    got.join().expect("the reader does not panic")
                });
                assert_eq!(digest(&got), digest(&sent));
            });
        }
    });
    assert!(
        proxy
            .all_ended(32)
            .iter()
            .all(|transfer| transfer.outcome.starts_with("relay.finished"))
    );
}

#[test]
fn a_client_that_finished_sending_gets_the_whole_late_reply() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();

    client.send(b"question");
    client.half_close();
    // The server sees the end of the question before it begins the answer.
    assert_eq!(server.receive_all(), b"question");
    let reply = pattern(1, 3 * MIB);
    let got = thread::scope(|scope| {
        let got = scope.spawn(|| client.receive_all());
        server.send(&reply);
        drop(server);
        got.join().expect("the reader does not panic")
    });
    assert_eq!(digest(&got), digest(&reply));
}

#[test]
fn a_server_that_finished_sending_still_gets_what_the_client_says() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();

    server.send(b"bye");
    server.half_close();
    client.expect(b"bye");
    client.expect_eof();
    let late = pattern(2, 3 * MIB);
    let got = thread::scope(|scope| {
        let got = scope.spawn(|| server.receive_all());
        client.send(&late);
        client.half_close();
        got.join().expect("the reader does not panic")
    });
    assert_eq!(digest(&got), digest(&late));
    assert!(proxy.ended(&client).outcome.starts_with("relay.finished"));
}

#[test]
fn netcat_sends_an_end_and_still_gets_its_answer() {
    let upstream = Upstream::listen().serving(|mut peer| {
        let question = peer.receive_all();
        peer.send(&question);
        peer.send(b" was the question");
    });
    let proxy = Proxy::forward(upstream.address()).start();
    let mut netcat = lasting("nc");
    netcat
        .args(["-N", "127.0.0.1", &proxy.port().to_string()])
        .stdin(Stdio::piped());

    let mut child = netcat
        .stdout(Stdio::piped())
        .spawn()
        .expect("nc is installed (scripts/apt-packages)");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"why").expect("nc reads");
    drop(stdin);
    let output = child.wait_with_output().expect("nc ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "why was the question");
}

#[test]
fn netcat_as_the_server_closes_first_and_the_client_is_told() {
    let port = spliceway_tests::ports::Port::reserve();
    let mut server = lasting("nc");
    // -N: it sends its end after its stdin's; the connection lives on for what the client still says.
    server
        .args(["-N", "-l", "127.0.0.1", &port.number().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut server = server.spawn().expect("nc is installed (scripts/apt-packages)");
    let proxy = Proxy::forward(format!("127.0.0.1:{}", port.number())).start();
    let mut client = spliceway_tests::eventually("nc listens", || {
        // The proxy accepts whether nc listens already or not; a byte back shows that it does.
        let mut client = Client::try_connect(proxy.address()).ok()?;
        client.deadline(Duration::from_secs(2));
        server.stdin.as_mut()?.write_all(b"x").ok()?;
        client.try_receive(1).filter(|got| got == b"x").map(|_| client)
    });
    client.deadline(DEADLINE);

    drop(server.stdin.take());
    client.receive_all();
    client.send(b"one more thing");
    client.half_close();
    let output = server.wait_with_output().expect("nc ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one more thing");
}

#[test]
fn a_bulk_transfer_is_spliced() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let client = Client::connect(proxy.address());
    let address = client.another();
    let sent = pattern(3, 20 * MIB);

    let got = echoed(client, &sent);

    assert_eq!(digest(&got), digest(&sent));
    let transfer = proxy.ended(&address);
    assert!(transfer.up_spliced > 19 * MIB as u64, "{transfer:?}");
    assert!(transfer.down_spliced > 19 * MIB as u64, "{transfer:?}");
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (0, 0));
}

#[test]
fn the_kernel_saw_the_splices_that_the_counters_tell_of() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let Some(trace) = Trace::attach(&proxy, "splice") else {
        skip!("strace is missing or may not attach here")
    };
    let client = Client::connect(proxy.address());
    let address = client.another();

    echoed(client, &pattern(4, 20 * MIB));

    let transfer = proxy.ended(&address);
    // Into the pipe and out of it: what goes out is counted once here, since the calls of the two halves end alike.
    let spliced: u64 = trace
        .finish()
        .iter()
        .filter(|line| line.contains("splice("))
        .filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok())
        .sum();
    let counted = transfer.up_spliced + transfer.down_spliced;
    assert!(counted > 38 * MIB as u64, "{transfer:?}");
    // A call that one thread's line interrupts is written in two halves, of which the second has another shape; hence
    // "nearly twice".
    assert!(
        spliced > counted + counted / 2,
        "the kernel moved {spliced} bytes by splice, {counted} were counted"
    );
}

#[test]
fn small_messages_are_copied() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    for number in 0..500 {
        let message = pattern(number, 100);
        client.send(&message);
        client.expect(&message);
    }
    client.half_close();
    client.expect_eof();

    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up_copied, transfer.up_spliced), (50_000, 0), "{transfer:?}");
    assert_eq!(
        (transfer.down_copied, transfer.down_spliced),
        (50_000, 0),
        "{transfer:?}"
    );
}

#[test]
fn small_messages_are_copied_again_after_bulk() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let bulk = pattern(5, 8 * MIB);
    assert_eq!(digest(&echoed_and_kept(&mut client, &bulk)), digest(&bulk));
    for number in 0..2000 {
        let message = pattern(number, 100);
        client.send(&message);
        client.expect(&message);
    }
    client.half_close();
    client.expect_eof();

    let transfer = proxy.ended(&client);
    assert!(transfer.up_spliced > 7 * MIB as u64, "{transfer:?}");
    // It may take some messages to notice, but not half of them.
    assert!(transfer.up() - transfer.up_spliced >= 100_000, "{transfer:?}");
    assert_eq!(transfer.up(), 8 * MIB as u64 + 200_000);
}

#[test]
fn a_reset_by_the_client_is_a_reset_for_the_server() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let address = client.another().local().to_owned();
    let mut server = upstream.accept();
    client.send(b"half a ques");
    server.expect(b"half a ques");

    client.reset();

    server.expect_reset();
    let ended = proxy.wait_for("connection ended", |event| event.text("client") == address);
    assert_eq!(ended.text("outcome"), "relay.reset.client");
}

#[test]
fn a_reset_by_the_server_is_a_reset_for_the_client() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"question");
    server.expect(b"question");

    server.reset();

    client.expect_reset();
    assert_eq!(proxy.ended(&client).outcome, "relay.reset.upstream");
}

#[test]
fn a_reset_in_the_middle_of_bulk_ends_both_sides() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send_until_blocked(&pattern(6, 32 * MIB));
    server.receive(2 * MIB);
    let local = client.local().to_owned();

    client.reset();

    server.expect_reset();
    let ended = proxy.wait_for("connection ended", |event| event.text("client") == local);
    assert_eq!(ended.text("outcome"), "relay.reset.client");
}

#[test]
fn an_idle_connection_is_closed_while_it_is_copied() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("idle = \"400ms\"", upstream.address())).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"hello");
    server.expect(b"hello");

    client.expect_closed();
    server.expect_closed();
    let transfer = proxy.ended(&client);
    assert!(transfer.outcome.starts_with("relay.idle-timeout"), "{transfer:?}");
    assert_eq!(transfer.up_copied, 5);
}

#[test]
fn an_idle_connection_is_closed_while_it_is_spliced() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&config("idle = \"600ms\"", upstream.address())).start();
    let mut client = Client::connect(proxy.address());
    let bulk = pattern(7, 8 * MIB);
    assert_eq!(digest(&echoed_and_kept(&mut client, &bulk)), digest(&bulk));

    client.expect_closed();
    let transfer = proxy.ended(&client);
    assert!(transfer.outcome.starts_with("relay.idle-timeout"), "{transfer:?}");
    assert!(
        transfer.up_spliced > 7 * MIB as u64 && transfer.down_spliced > 7 * MIB as u64,
        "{transfer:?}"
    );
}

#[test]
fn bytes_in_one_direction_keep_a_connection_from_being_idle() {
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&config("idle = \"1s\"", upstream.address())).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    for _ in 0..8 {
        client.send(b".");
        server.expect(b".");
        // The scene itself: a peer that says something now and then, twice as long in all as the timeout.
        thread::sleep(Duration::from_millis(250));
    }
    server.send(b"still here");
    client.expect(b"still here");
}

#[test]
fn a_peer_that_does_not_read_costs_no_memory_and_no_byte() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let message = pattern(8, 48 * MIB);
    let mut pairs: Vec<(Peer, Peer)> = (0..8)
        .map(|_| {
            let mut client = Client::connect(proxy.address());
            client.send(b"x");
            let mut server = upstream.accept();
            server.expect(b"x");
            (client, server)
        })
        .collect();
    let before = proxy.memory_kib();

    // Nobody reads until every client has been stopped by the proxy.
    let sent: Vec<usize> = thread::scope(|scope| {
        let sending: Vec<_> = pairs
            .iter_mut()
            .map(|(client, _)| scope.spawn(|| client.send_until_blocked(&message)))
            .collect();
        sending
            .into_iter()
            .map(|thread| thread.join().expect("the sender does not panic"))
            .collect()
    });
    let grown = proxy.memory_kib().saturating_sub(before);
    assert!(
        sent.iter().all(|&count| count < message.len()),
        "the proxy took {sent:?} bytes that nobody read"
    );
    assert!(grown < 8 * 1024, "the proxy grew by {grown} KiB");

    // And then each gets every byte.
    thread::scope(|scope| {
        for ((client, server), sent) in pairs.iter_mut().zip(sent) {
            let message = &message;
            scope.spawn(move || {
                client.send(&message[sent..]);
                client.half_close();
            });
            scope.spawn(move || assert_eq!(digest(&server.receive_all()), digest(message)));
        }
    });
}

#[test]
fn without_a_free_descriptor_for_a_pipe_bulk_is_copied() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).workers(1).start();
    let mut clients: Vec<Peer> = (0..4).map(|_| Client::connect(proxy.address())).collect();
    for client in &mut clients {
        client.send(b"ready");
        client.expect(b"ready");
    }
    proxy.forbid_new_descriptors();

    let sent = pattern(9, 8 * MIB);
    let addresses: Vec<Peer> = clients.iter().map(Peer::another).collect();
    thread::scope(|scope| {
        for client in clients {
            let sent = &sent;
            scope.spawn(move || assert_eq!(digest(&echoed(client, sent)), digest(sent)));
        }
    });
    for address in &addresses {
        let transfer = proxy.ended(address);
        assert_eq!((transfer.up_spliced, transfer.down_spliced), (0, 0), "{transfer:?}");
        assert_eq!(transfer.up_copied, 8 * MIB as u64 + 5);
        assert!(transfer.outcome.starts_with("relay.finished"), "{transfer:?}");
    }
}

#[test]
fn where_the_user_may_have_no_large_pipes_every_byte_still_arrives() {
    let _alone = alone();
    if !is_root() {
        skip!("only root can start the proxy as another user");
    }
    let binary = spliceway_tests::artifacts::binary();
    let may = lasting_as("nobody", "test")
        .arg("-x")
        .arg(&binary)
        .status()
        .expect("test runs");
    if !may.success() {
        skip!("the user nobody may not reach {}", binary.display());
    }
    // `pipe-user-pages-soft` counts the pipes of all processes of a user. Another process of nobody's uses it up.
    let mut hog = lasting_as("nobody", env!("CARGO_BIN_EXE_pipe-hog"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("setpriv (util-linux) is installed");
    let mut ready = [0; 6];
    hog.stdout
        .as_mut()
        .expect("stdout is piped")
        .read_exact(&mut ready)
        .expect("the hog says that it is full");

    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).as_user("nobody").start();
    let client = Client::connect(proxy.address());
    let address = client.another();
    let sent = pattern(10, 8 * MIB);
    assert_eq!(digest(&echoed(client, &sent)), digest(&sent));
    let transfer = proxy.ended(&address);
    assert_eq!(
        (transfer.up(), transfer.down()),
        (8 * MIB as u64, 8 * MIB as u64),
        "{transfer:?}"
    );
    hog.kill().expect("the hog runs");
    hog.wait().expect("a child can be waited for");
}

#[test]
fn both_legs_send_without_delay() {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    client.send(b"x");
    let mut server = upstream.accept();
    server.expect(b"x");
    for peer in [&client, &server] {
        let Some(socket) = proxy.socket_with(peer) else {
            skip!("this user may not look into another process")
        };
        assert!(
            sockopt::tcp_nodelay(&socket).expect("TCP_NODELAY can be read"),
            "no TCP_NODELAY towards {}",
            peer.local()
        );
    }
}

#[test]
fn an_idle_connection_keeps_no_pipe() {
    let _alone = alone();
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).workers(1).start();
    let mut clients: Vec<Peer> = (0..16).map(|_| Client::connect(proxy.address())).collect();
    let bulk = pattern(11, 4 * MIB);
    for client in &mut clients {
        assert_eq!(digest(&echoed_and_kept(client, &bulk)), digest(&bulk));
    }
    // They moved bulk one after the other, so at most the pipes of one of them were ever needed at once.
    let pipes = proxy
        .descriptors()
        .into_iter()
        .filter_map(|number| std::fs::read_link(format!("/proc/{}/fd/{number}", proxy.pid())).ok())
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .count();
    // Two pipes of two ends each for the two directions, stderr, and the runtime's own wake-up at the most.
    assert!(pipes <= 8, "{pipes} pipe ends are open for 16 idle connections");
}

#[test]
fn a_connection_leaves_nothing_open_behind() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let before = proxy.descriptors().len();
    for _ in 0..50 {
        let mut client = Client::connect(proxy.address());
        client.send(b"x");
        client.expect(b"x");
    }
    proxy.all_ended(50);
    proxy.descriptors_back_to(before);
}

#[test]
fn unix_sockets_on_both_sides() {
    let folder = TempDir::new().expect("a temporary folder");
    let upstream = Upstream::listen_unix(&folder.path().join("upstream"));
    let proxy = Proxy::forward_from(format!("unix:{}/proxy", folder.path().display()), upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();

    client.send(b"hello");
    server.expect(b"hello");
    let bulk = pattern(12, 4 * MIB);
    let got = thread::scope(|scope| {
        let got = scope.spawn(|| client.receive(bulk.len()));
        server.send(&bulk);
        got.join().expect("the reader does not panic")
    });
    assert_eq!(digest(&got), digest(&bulk));
    client.half_close();
    server.expect_eof();
    server.send(b"bye");
    server.half_close();
    client.expect(b"bye");
    client.expect_eof();
}

#[test]
fn a_host_name_as_the_upstream() {
    // Only on IPv4, while "localhost" may name ::1 first: the proxy goes on to the next address.
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(format!("localhost:{}", upstream.port())).start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
}

#[test]
fn ipv6_on_both_sides() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        skip!("no IPv6 here")
    };
    let address = listener.local_addr().expect("a listener has an address");
    let proxy = Proxy::forward_from("[::1]:0", address).start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    let (mut server, _) = listener.accept().expect("the proxy connects");
    let mut got = [0; 5];
    server.read_exact(&mut got).expect("five bytes");
    assert_eq!(&got, b"hello");
}

#[test]
fn servers_of_an_upstream_take_turns() {
    let blue = Upstream::named("blue.");
    let green = Upstream::named("green");
    let proxy = Proxy::run(&format!(
        "workers = 1\n[upstreams.both]\nservers = [\"{}\", \"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"both\"\n",
        blue.address(),
        green.address()
    ))
    .start();
    let mut seen: Vec<Vec<u8>> = (0..4)
        .map(|_| Client::connect(proxy.listener("front")).receive(5))
        .collect();
    seen.sort();
    assert_eq!(seen, [b"blue.", b"blue.", b"green", b"green"]);
}

#[test]
fn a_refused_upstream_closes_the_client_at_once() {
    let (_port, nobody) = Upstream::refusing();
    let proxy = Proxy::forward(nobody).start();
    let mut client = Client::connect(proxy.address());
    client.expect_closed();
    assert_eq!(proxy.ended(&client).outcome, "connect.refused.upstream");
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    let upstream = Upstream::unanswering();
    let proxy = Proxy::run(&config("connect = \"300ms\"", upstream.address())).start();
    let mut client = Client::connect(proxy.address());
    client.expect_closed();
    assert_eq!(proxy.ended(&client).outcome, "connect.timeout.upstream");
}

#[test]
fn terminating_lets_connections_finish_and_takes_no_new_ones() {
    let upstream = Upstream::listen();
    let mut proxy = Proxy::forward(upstream.address()).start();
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    client.send(b"before");
    server.expect(b"before");

    proxy.signal(Signal::TERM);

    spliceway_tests::eventually("new connections are refused", || {
        Client::try_connect(proxy.address()).is_err().then_some(())
    });
    server.send(b"after");
    client.expect(b"after");
    client.half_close();
    server.expect_eof();
    server.half_close();
    client.expect_eof();
    assert_eq!(proxy.wait().code(), Some(0));
}

/// A configuration with one listener and these timeouts.
fn config(timeouts: &str, upstream: &str) -> String {
    format!(
        "[upstreams.only]\nservers = [\"{upstream}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\ntimeouts = {{ {timeouts} }}\n"
    )
}

/// Sends both at once and returns what arrived at the server and at the client.
fn both_ways(mut client: Peer, mut server: Peer, up: &[u8], down: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut client_reads, mut server_reads) = (client.another(), server.another());
    thread::scope(|scope| {
        let got_up = scope.spawn(move || server_reads.receive_all());
        let got_down = scope.spawn(move || client_reads.receive_all());
        scope.spawn(move || {
            client.send(up);
            client.half_close();
        });
        scope.spawn(move || {
            server.send(down);
            server.half_close();
        });
        (
            got_up.join().expect("the reader does not panic"),
            got_down.join().expect("the reader does not panic"),
        )
    })
}

/// Sends to an echo until its end and returns what came back.
fn echoed(mut client: Peer, bytes: &[u8]) -> Vec<u8> {
    let mut reader = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(move || reader.receive_all());
        client.send(bytes);
        client.half_close();
        got.join().expect("the reader does not panic")
    })
}

/// Sends to an echo and returns what came back, leaving the connection open.
fn echoed_and_kept(client: &mut Peer, bytes: &[u8]) -> Vec<u8> {
    let mut reader = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(move || reader.receive(bytes.len()));
        client.send(bytes);
        got.join().expect("the reader does not panic")
    })
}

//! What goes in comes out.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use proptest::prelude::*;
use rustix::net::sockopt;
use rustls::AlertDescription;

use super::owned::{Session, accept, connect};
use super::peers::*;
use crate::config::TlsVersion;
use crate::sys::Stream;

fn tls_error(error: &io::Error) -> &rustls::Error {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// A client sends all in pieces and finishes; then it is sent all in other pieces.
async fn there_and_back(site: &Site, config: &rustls::ClientConfig, length: usize, piece: usize, room: usize) {
    let sent = pattern(length);
    let (session, peer) = accepted(site.server(), config, {
        let sent = sent.clone();
        move |mut client| {
            for piece in sent.chunks(piece) {
                client.write_all(piece).unwrap();
            }
            end(&mut client);
            let mut back = Vec::new();
            client.read_to_end(&mut back).unwrap();
            back
        }
    })
    .await;
    let session = session.unwrap();
    let received = receive_all(&session, room).await.unwrap();
    assert!(received == sent, "{length} bytes by {piece} into {room}");
    assert!(!session.is_truncated());
    for piece in sent.chunks(room) {
        send(&session, piece).await.unwrap();
    }
    finish(&session).await.unwrap();
    assert!(peer.join().unwrap() == sent, "{length} bytes by {room}");
    // The end stays the end.
    assert_eq!(receive(&session, 10).await.unwrap(), b"");
}

#[tokio::test]
async fn all_sizes_of_pieces_and_buffers_carry_the_same_bytes_both_ways() {
    let site = Site::new();
    for config in [site.client(), old_client(&site.authority)] {
        for (length, piece, room) in [
            (300, 1, 1),
            (1, 1, 65_536),
            (5_000, 7, 100),
            (16_384, 16_384, 16_383),
            (16_385, 16_385, 16_385),
            (70_000, 70_000, 1_000),
            (200 << 10, 200 << 10, 65_536),
            (1 << 20, 3_000, 200 << 10),
            (1 << 20, 1 << 20, 65_536),
        ] {
            there_and_back(&site, &config, length, piece, room).await;
        }
    }
}

#[tokio::test]
async fn we_may_finish_first_and_still_read() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |mut client| {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        client.write_all(&pattern(100_000)).unwrap();
        end(&mut client);
        all
    })
    .await;
    let session = session.unwrap();
    send(&session, b"the last").await.unwrap();
    finish(&session).await.unwrap();
    finish(&session).await.unwrap();
    assert_eq!(send(&session, b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(receive_all(&session, 65_536).await.unwrap() == pattern(100_000));
    assert_eq!(peer.join().unwrap(), b"the last");
}

#[tokio::test]
async fn a_fin_without_a_word_is_the_end_and_is_known_for_what_it_is() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |mut client| {
        client.write_all(b"half a senten").unwrap();
        client.flush().unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        let ended = client.read_to_end(&mut all).map(|_| ());
        (all, ended.map_err(|error| error.kind()))
    })
    .await;
    let session = session.unwrap();
    assert_eq!(receive_all(&session, 100).await.unwrap(), b"half a senten");
    assert!(session.is_truncated());
    // The other direction is whole, and is cut off in turn.
    send(&session, b"an answ").await.unwrap();
    poll_fn(|cx| session.poll_finish_truncated(cx)).await.unwrap();
    assert_eq!(
        peer.join().unwrap(),
        (b"an answ".to_vec(), Err(ErrorKind::UnexpectedEof))
    );
}

#[tokio::test]
async fn what_follows_the_end_is_not_read() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        client.write_all(b"all").unwrap();
        client.conn.send_close_notify();
        let mut bytes = Vec::new();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut bytes).unwrap();
        }
        bytes.extend(b"\x17\x03\x03\x00\x05what?");
        client.sock.write_all(&bytes).unwrap();
        client
    })
    .await;
    let session = session.unwrap();
    assert_eq!(receive_all(&session, 100).await.unwrap(), b"all");
    assert!(!session.is_truncated());
    drop(peer.join().unwrap());
}

#[tokio::test]
async fn a_record_that_was_changed_ends_the_session_after_what_came_before_it() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        let mut bytes = Vec::new();
        for text in [b"first", b"other"] {
            client.conn.writer().write_all(text).unwrap();
            client.conn.write_tls(&mut bytes).unwrap();
        }
        *bytes.last_mut().unwrap() ^= 1;
        client.sock.write_all(&bytes).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap_err()
    })
    .await;
    let session = session.unwrap();
    assert_eq!(receive(&session, 100).await.unwrap(), b"first");
    for _ in 0..2 {
        let error = receive(&session, 100).await.unwrap_err();
        assert_eq!(tls_error(&error), &rustls::Error::DecryptError);
    }
    assert_eq!(
        tls_error(&send(&session, b"x").await.unwrap_err()),
        &rustls::Error::DecryptError
    );
    finish(&session).await.unwrap();
    let told = peer.join().unwrap();
    assert_eq!(
        tls_error(&told),
        &rustls::Error::AlertReceived(AlertDescription::BadRecordMac)
    );
}

#[tokio::test]
async fn an_alert_of_the_peer_is_an_error_with_its_name() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        // What is no record makes it send a fatal alert.
        let _ = client.conn.read_tls(&mut &b"\x99\x99\x99\x99\x99\x99"[..]).unwrap();
        client.conn.process_new_packets().unwrap_err();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut client.sock).unwrap();
        }
        // What it has not read must not make the close a RST.
        client
    })
    .await;
    let error = receive(&session.unwrap(), 100).await.unwrap_err();
    assert_eq!(
        tls_error(&error),
        &rustls::Error::AlertReceived(AlertDescription::DecodeError)
    );
    drop(peer.join().unwrap());
}

fn with_small_buffers(socket: &impl AsFd) {
    sockopt::set_socket_send_buffer_size(socket, 16 << 10).unwrap();
    sockopt::set_socket_recv_buffer_size(socket, 64 << 10).unwrap();
}

/// Fills the session until it takes nothing more. Tells how much it took.
async fn fill(session: &Session, bytes: &[u8]) -> usize {
    let mut taken = 0;
    poll_fn(|cx| {
        while let Poll::Ready(sent) = session.poll_send(cx, &bytes[taken..]) {
            taken += sent.unwrap();
            assert!(session.owed() < 100 << 10);
        }
        Poll::Ready(())
    })
    .await;
    taken
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_owed_no_more_than_a_batch() {
    let site = Site::new();
    let (peer, ours) = pair();
    with_small_buffers(&peer);
    with_small_buffers(&ours);
    let (begin, wait) = mpsc::channel();
    let client = client_on(peer, &site.client(), "a.example");
    let peer = thread::spawn(move || {
        let mut client = greet(client);
        wait.recv().unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all
    });
    let session = accept(ours, Vec::new(), site.server()).await.unwrap();
    let bytes = pattern(1 << 20);
    let taken = fill(&session, &bytes).await;
    assert!(taken < bytes.len());
    assert!(session.owed() > 0);
    begin.send(()).unwrap();
    send(&session, &bytes[taken..]).await.unwrap();
    assert_eq!(session.owed(), 0);
    finish(&session).await.unwrap();
    assert!(peer.join().unwrap() == bytes);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_read_from_all_the_same() {
    let site = Site::new();
    // Such a socket, once full, stays full until it is read from.
    let (peer, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = Stream::new(ours.into()).unwrap();
    let (begin, wait) = mpsc::channel();
    let client = client_on(peer, &site.client(), "a.example");
    let peer = thread::spawn(move || {
        let mut client = greet(client);
        wait.recv().unwrap();
        client.write_all(&pattern(1 << 20)).unwrap();
        end(&mut client);
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all
    });
    let session = accept(ours, Vec::new(), site.server()).await.unwrap();
    let bytes = pattern(1 << 20);
    let taken = fill(&session, &bytes).await;
    assert!(session.owed() > 0);
    begin.send(()).unwrap();
    assert!(receive_all(&session, 65_536).await.unwrap() == bytes);
    send(&session, &bytes[taken..]).await.unwrap();
    finish(&session).await.unwrap();
    assert!(peer.join().unwrap() == bytes);
}

/// A peer that asks for new keys all the time is answered, and never owed more than what it does not read.
#[tokio::test]
async fn a_flood_of_key_updates_is_ended_and_owes_little() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        for _ in 0..1_000 {
            client.conn.refresh_traffic_keys().unwrap();
            client.conn.complete_io(&mut client.sock).unwrap();
        }
        // What it has not read must not make the close a RST.
        client
    })
    .await;
    let session = session.unwrap();
    let error = receive(&session, 100).await.unwrap_err();
    let expected = rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::TooManyKeyUpdateRequests);
    assert_eq!(tls_error(&error), &expected);
    assert!(session.owed() < 1024);
    drop(peer.join().unwrap());
}

/// With bytes in between it may go on for ever, and is answered once, when there is something to send.
#[tokio::test]
async fn key_updates_between_bytes_owe_little() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        for byte in pattern(1_000) {
            client.conn.refresh_traffic_keys().unwrap();
            client.write_all(&[byte]).unwrap();
        }
        client
    })
    .await;
    let session = session.unwrap();
    let mut all = Vec::new();
    while all.len() < 1_000 {
        all.extend(receive(&session, 100).await.unwrap());
        assert!(session.owed() < 1024);
    }
    assert_eq!(all, pattern(1_000));
    let mut client = peer.join().unwrap();
    send(&session, b"answer").await.unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn keys_are_renewed_in_the_middle_of_everything() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        for piece in pattern(50_000).chunks(1_000) {
            client.conn.refresh_traffic_keys().unwrap();
            client.write_all(piece).unwrap();
        }
        end(&mut client);
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        back
    })
    .await;
    let session = session.unwrap();
    let mut all = Vec::new();
    loop {
        let some = receive(&session, 4_000).await.unwrap();
        if some.is_empty() {
            break;
        }
        send(&session, &some).await.unwrap();
        all.extend(some);
    }
    finish(&session).await.unwrap();
    assert!(all == pattern(50_000));
    assert!(peer.join().unwrap() == pattern(50_000));
}

#[tokio::test]
async fn an_idle_session_owns_no_buffer() {
    let site = Site::new();
    let (session, peer) = accepted(site.server(), &site.client(), |client| {
        let mut client = greet(client);
        client.write_all(&pattern(100_000)).unwrap();
        client
    })
    .await;
    let session = session.unwrap();
    let mut read = 0;
    while read < 100_000 {
        read += receive(&session, 65_536).await.unwrap().len();
    }
    let client = peer.join().unwrap();
    let mut buffer = [0; 10];
    let polled = poll_fn(|cx| Poll::Ready(session.poll_recv(cx, &mut buffer).is_pending())).await;
    assert!(polled);
    assert_eq!(session.memory(), 0);
    drop(client);
}

/// What one side of a connection does.
#[derive(Debug, Clone)]
enum Step {
    Send(usize),
    Receive(usize),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = || prop_oneof![1_usize..40, 1_usize..5_000, 10_000_usize..150_000];
    let step = prop_oneof![
        3 => size().prop_map(Step::Send),
        3 => size().prop_map(Step::Receive),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 0..40)
}

struct Side {
    session: Session,
    sent: usize,
    received: Vec<u8>,
}

/// As far as it goes at once.
async fn take(side: &mut Side, step: &Step) {
    poll_fn(|cx| {
        match step {
            Step::Send(length) => {
                let bytes = pattern(side.sent + length);
                if let Poll::Ready(sent) = side.session.poll_send(cx, &bytes[side.sent..]) {
                    side.sent += sent.unwrap();
                }
            }
            Step::Receive(room) => {
                let mut buffer = vec![0; *room];
                if let Poll::Ready(read) = side.session.poll_recv(cx, &mut buffer) {
                    side.received.extend(&buffer[..read.unwrap()]);
                }
            }
            Step::Flush => {
                let _ = side.session.poll_flush(cx);
            }
        }
        Poll::Ready(())
    })
    .await;
    // The sockets have to be looked at in between.
    tokio::task::yield_now().await;
}

/// Two sessions of ours with one another.
async fn both(site: &Site, least: TlsVersion, small: bool) -> [Side; 2] {
    let (peer, server) = pair();
    peer.set_nonblocking(true).unwrap();
    let peer = Stream::new(peer.into()).unwrap();
    if small {
        with_small_buffers(&peer);
        with_small_buffers(&server);
    }
    let client = std::sync::Arc::new(client(&site.authority, least, None));
    let name = "a.example".try_into().unwrap();
    let (server, client) = tokio::join!(accept(server, Vec::new(), site.server()), connect(peer, client, name));
    [server, client].map(|session| Side {
        session: session.unwrap(),
        sent: 0,
        received: Vec::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_order_of_sending_and_receiving_delivers_exactly_the_bytes(
        interleaved in prop::collection::vec((any::<bool>(), steps()), 0..6),
        small: bool,
        newest: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let least = if newest { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
            let [mut server, mut client] = both(&Site::new(), least, small).await;
            for (is_client, steps) in &interleaved {
                let side = if *is_client { &mut client } else { &mut server };
                for step in steps {
                    take(side, step).await;
                }
            }
            let (one, other) = tokio::join!(receive_all(&server.session, 65_536), async {
                finish(&client.session).await.unwrap();
            });
            server.received.extend(one.unwrap());
            let () = other;
            let (one, ()) = tokio::join!(receive_all(&client.session, 1_000), async {
                finish(&server.session).await.unwrap();
            });
            client.received.extend(one.unwrap());
            assert!(server.received == pattern(client.sent), "to the server");
            assert!(client.received == pattern(server.sent), "to the client");
            assert!(!server.session.is_truncated() && !client.session.is_truncated());
        });
    }
}

/// What somebody in between does to the bytes of a client.
#[derive(Debug, Clone)]
enum Harm {
    Change(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    CutOff(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), 1_u8..).prop_map(|(place, bits)| Harm::Change(place, bits)),
        (place(), prop::collection::vec(any::<u8>(), 1..50)).prop_map(|(place, bytes)| Harm::Insert(place, bytes)),
        (place(), 1_usize..100).prop_map(|(place, count)| Harm::Remove(place, count)),
        place().prop_map(Harm::CutOff),
    ]
}

fn harmed(mut bytes: Vec<u8>, harm: &Harm) -> Vec<u8> {
    match harm {
        Harm::Change(place, bits) => *place.get_mut(&mut bytes) ^= bits,
        Harm::Insert(place, more) => {
            let place = place.index(bytes.len());
            bytes.splice(place..place, more.iter().copied());
        }
        Harm::Remove(place, count) => {
            let place = place.index(bytes.len());
            let end = bytes.len().min(place + count);
            bytes.drain(place..end);
        }
        Harm::CutOff(place) => bytes.truncate(place.index(bytes.len())),
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_read_is_what_was_sent_whatever_happens_in_between(
        pieces in prop::collection::vec(1_usize..3_000, 1..10),
        room in 1_usize..5_000,
        harm in harm(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let (session, peer) = accepted(site.server(), &site.client(), greet).await;
            let (session, mut client) = (session.unwrap(), peer.join().unwrap());
            let all = pattern(pieces.iter().sum());
            let (mut bytes, mut done) = (Vec::new(), 0);
            for piece in pieces {
                client.conn.writer().write_all(&all[done..done + piece]).unwrap();
                done += piece;
                while client.conn.wants_write() {
                    client.conn.write_tls(&mut bytes).unwrap();
                }
            }
            client.sock.write_all(&harmed(bytes, &harm)).unwrap();
            client.sock.shutdown(Shutdown::Write).unwrap();
            let mut read = Vec::new();
            while let Ok(some) = receive(&session, room).await {
                if some.is_empty() {
                    assert!(session.is_truncated());
                    break;
                }
                read.extend(some);
            }
            assert!(all.starts_with(&read));
        });
    }

    #[test]
    fn noise_is_no_handshake(begins_well: bool, noise in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut peer, ours) = pair();
            if begins_well {
                peer.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]).unwrap();
            }
            peer.write_all(&noise).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            assert!(accept(ours, Vec::new(), Site::new().server()).await.is_err());
        });
    }
}

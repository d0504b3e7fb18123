//! Transformers: what they make of the bytes, in both directions and for both peers, alone and among other filters.

use std::thread;

use serde_json::{Value, json};
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::{Client, Peer, Proxy, Upstream, alone, filtered};

const MIB: usize = 1 << 20;

fn transforming(script: Value) -> (Proxy, Upstream) {
    filtered(&[("transformer-script", script)])
}

/// A client and its server, with the proxy between them.
fn pair(proxy: &Proxy, upstream: &Upstream) -> (Peer, Peer) {
    let client = Client::connect(proxy.address());
    (client, upstream.accept())
}

#[test]
fn a_transformer_changes_both_directions() {
    let (proxy, upstream) = transforming(json!({ "do": "upper" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    for byte in b"hello" {
        client.send(&[*byte]);
        server.expect(&[byte.to_ascii_uppercase()]);
    }
    server.send(b"and hello");
    client.expect(b"AND HELLO");
    server.half_close();
    client.expect_eof();
    client.send(b"bye");
    client.half_close();
    assert_eq!(server.receive_all(), b"BYE");
    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (8, 9), "{transfer:?}");
    assert_eq!(transfer.outcome, "relay.finished.upstream");
}

#[test]
fn a_direction_without_interest_is_never_given_and_may_be_spliced() {
    let _alone = alone();
    let (proxy, upstream) = transforming(json!({ "interest": "up", "do": "upper" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"get");
    server.expect(b"GET");
    bulk(&mut server, &mut client, 8 * MIB);
    client.half_close();
    server.expect_eof();
    drop(server);
    client.expect_eof();
    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (3, 0), "{transfer:?}");
    assert!(transfer.down_spliced > 6 * MIB as u64, "{transfer:?}");
}

#[test]
fn after_a_detach_the_bytes_are_spliced_in_that_direction_alone() {
    let _alone = alone();
    let (proxy, upstream) = transforming(json!({ "do": "detach", "after": 5 }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"hello");
    server.expect(b"hello");
    bulk(&mut client, &mut server, 8 * MIB);
    server.send(b"hi");
    client.expect(b"hi");
    client.half_close();
    server.expect_eof();
    drop(server);
    client.expect_eof();
    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (5, 2), "{transfer:?}");
    assert!(transfer.up_spliced > 6 * MIB as u64, "{transfer:?}");
}

#[test]
fn what_a_transformer_adds_at_the_end_goes_out_before_the_fin() {
    let (proxy, upstream) = transforming(json!({ "do": "trailer", "text": ", the end" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"words");
    server.expect(b"words");
    client.half_close();
    assert_eq!(server.receive_all(), b", the end");
    server.send(b"more words");
    server.half_close();
    assert_eq!(client.receive_all(), b"more words, the end");
    assert_eq!(proxy.ended(&client).outcome, "relay.finished.client");
}

#[test]
fn a_transformer_answers_the_client_itself() {
    let (proxy, upstream) = transforming(json!({ "do": "answer", "pattern": "PING", "reply": "PONG" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"PING");
    client.expect(b"PONG");
    client.send(b"hello");
    server.expect(b"hello");
}

#[test]
fn a_transformer_answers_the_upstream_itself() {
    let (proxy, upstream) = transforming(json!({ "do": "answer", "pattern": "AUTH?", "reply": "a secret" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.send(b"AUTH?");
    server.expect(b"a secret");
    server.send(b"welcome");
    client.expect(b"welcome");
}

#[test]
fn an_answer_reaches_a_client_that_has_finished_and_none_comes_behind_a_fin() {
    let (proxy, upstream) = transforming(json!({ "do": "return" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    server.half_close();
    client.expect_eof();
    // The client's direction is still open, and what is said in it comes back to nobody.
    client.send(b"is anybody there?");
    client.half_close();
    server.expect_eof();
    assert_eq!(proxy.ended(&client).outcome, "relay.finished.upstream");

    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"echo");
    client.half_close();
    client.expect(b"echo");
    server.expect_eof();
    drop(server);
    client.expect_eof();
}

#[test]
fn answers_come_between_bytes_that_are_spliced_and_tear_none_of_them() {
    let _alone = alone();
    let (proxy, upstream) = transforming(json!({ "interest": "up", "do": "answer", "pattern": "?", "reply": "\u{0}" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    // Without a zero in it, so that answers can be told from it.
    let sent: Vec<u8> = pattern(7, 16 * MIB).into_iter().map(|byte| byte.max(1)).collect();
    const QUESTIONS: usize = 200;
    let mut asking = client.another();
    let got = thread::scope(|scope| {
        scope.spawn(|| server.send(&sent));
        scope.spawn(|| {
            for _ in 0..QUESTIONS {
                asking.send(b"?");
                // Each of them a chunk of its own.
                thread::yield_now();
            }
            asking.half_close();
        });
        let mut got = client.receive(sent.len());
        // What is not in here yet is behind it.
        until_complete(&mut got, sent.len(), &mut client);
        got
    });
    let (answers, bytes): (Vec<u8>, Vec<u8>) = got.into_iter().partition(|byte| *byte == 0);
    assert!((1..=QUESTIONS).contains(&answers.len()), "{}", answers.len());
    assert_eq!(digest(&bytes), digest(&sent));
}

/// Reads on until there are so many bytes that are no answers.
fn until_complete(got: &mut Vec<u8>, bytes: usize, client: &mut Peer) {
    loop {
        let answers = got.iter().filter(|byte| **byte == 0).count();
        let missing = bytes - (got.len() - answers);
        if missing == 0 {
            return;
        }
        got.extend(client.receive(missing));
    }
}

#[test]
fn filters_of_a_chain_see_what_the_one_before_let_through_in_order_up_and_in_reverse_down() {
    // Up: doubled, then in capitals. Down: in capitals, then doubled. The inspector between them sees the difference.
    let shown = json!({ "interest": "both", "verdict": "forward" });
    let (proxy, upstream) = filtered(&[
        ("transformer-script", json!({ "do": "repeat", "times": 2 })),
        ("inspector-script", shown),
        (
            "transformer-script",
            json!({ "interest": "up", "do": "trailer", "text": "!" }),
        ),
    ]);
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"abc");
    server.expect(b"abcabc");
    server.send(b"xy");
    client.expect(b"xyxy");
    let shown = |key: &str, total: u64| {
        proxy.wait_for_guest("inspector-script", |event| {
            let fields = event.field("fields");
            fields["direction"] == key && fields["total"] == total
        });
    };
    shown("shown-up", 6);
    shown("shown-down", 2);
    client.half_close();
    assert_eq!(server.receive_all(), b"!");
}

#[test]
fn an_answer_goes_through_the_filters_between_the_transformer_and_the_peer() {
    let (proxy, upstream) = filtered(&[
        ("transformer-script", json!({ "interest": "down", "do": "upper" })),
        (
            "transformer-script",
            json!({ "do": "answer", "pattern": "ping", "reply": "pong" }),
        ),
        (
            "transformer-script",
            json!({ "interest": "up", "do": "repeat", "times": 3 }),
        ),
    ]);
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"ping");
    client.expect(b"PONG");
    server.send(b"ping");
    server.expect(b"pongpongpong");
}

#[test]
fn one_that_detaches_leaves_the_others_in_place_and_the_last_one_leaves_the_relay() {
    let _alone = alone();
    let (proxy, upstream) = filtered(&[
        ("transformer-script", json!({ "do": "detach", "after": 1 })),
        (
            "inspector-script",
            json!({ "interest": "both", "verdict": "detach", "after": 4 }),
        ),
    ]);
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"a");
    server.expect(b"a");
    client.send(b"bcd");
    server.expect(b"bcd");
    bulk(&mut client, &mut server, 8 * MIB);
    client.half_close();
    server.expect_eof();
    drop(server);
    client.expect_eof();
    let transfer = proxy.ended(&client);
    assert_eq!(transfer.up_filtered, 4, "{transfer:?}");
    assert!(transfer.up_spliced > 6 * MIB as u64, "{transfer:?}");
}

#[test]
fn what_is_skipped_by_one_is_still_given_to_the_other() {
    let (proxy, upstream) = filtered(&[
        (
            "inspector-script",
            json!({ "interest": "up", "verdict": "skip", "bytes": 1_000_000 }),
        ),
        ("transformer-script", json!({ "do": "upper" })),
    ]);
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"seen by both");
    server.expect(b"SEEN BY BOTH");
    client.send(b"seen by one");
    server.expect(b"SEEN BY ONE");
}

#[test]
fn whatever_filters_hold_skip_and_keep_back_every_byte_arrives_once_and_in_order() {
    let _alone = alone();
    let mix = || ("transformer-script", json!({ "do": "mix" }));
    let restless = || ("inspector-script", json!({ "verdict": "restless" }));
    // Mixed twice is as it came, so nothing in between may be out of order.
    let (proxy, upstream) = filtered(&[restless(), mix(), restless(), mix(), restless()]);
    for round in 0..4 {
        let (mut client, mut server) = pair(&proxy, &upstream);
        let [up, down] = [pattern(round, 3 * MIB), pattern(round + 10, 3 * MIB)];
        let (mut from_client, mut from_server) = (client.another(), server.another());
        let (got_up, got_down) = thread::scope(|scope| {
            scope.spawn(|| send_in_pieces(&mut from_client, &up, 1 + round as usize * 977));
            scope.spawn(|| send_in_pieces(&mut from_server, &down, 50_000 >> round));
            let got_down = scope.spawn(|| client.receive_all());
            (
                server.receive_all(),
                got_down.join().expect("the reader does not panic"),
            )
        });
        assert_eq!(digest(&got_up), digest(&up), "round {round}");
        assert_eq!(digest(&got_down), digest(&down), "round {round}");
    }
}

fn send_in_pieces(peer: &mut Peer, bytes: &[u8], piece: usize) {
    // Single bytes first, for a while: as cut as can be.
    let (single, rest) = bytes.split_at(500);
    single.iter().for_each(|byte| peer.send(&[*byte]));
    rest.chunks(piece.max(1_000)).for_each(|piece| peer.send(piece));
    peer.half_close();
}

#[test]
fn a_refusal_is_told_to_the_client_behind_what_went_before() {
    let (proxy, upstream) = transforming(json!({ "do": "refuse", "pattern": "DROP", "reply": "-ERR no\r\n" }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"SELECT");
    server.expect(b"SELECT");
    server.send(b"+OK\r\n");
    client.expect(b"+OK\r\n");
    client.send(b"DROP");
    assert_eq!(client.receive_all(), b"-ERR no\r\n");
    assert_eq!(server.receive_all(), b"");
    assert_eq!(proxy.ended(&client).outcome, "relay.filter-refused.proxy");
}

#[test]
fn more_output_than_the_limit_is_an_error_of_the_filter() {
    let (proxy, upstream) = transforming(json!({ "do": "flood", "bytes": 200_000 }));
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"flood");
    assert_eq!(client.expect_closed(), b"");
    assert_eq!(server.expect_closed(), b"");
    let failed = proxy.wait_for("filter failed", |_| true);
    assert_eq!(failed.text("kind"), "contract", "{failed}");
    assert!(failed.text("error").contains("400000 bytes"), "{failed}");
    assert!(failed.text("error").contains("`output`"), "{failed}");
}

#[test]
fn two_that_answer_each_other_without_end_are_stopped() {
    let (mut proxy, upstream) = filtered(&[
        ("transformer-script", json!({ "interest": "down", "do": "return" })),
        ("transformer-script", json!({ "interest": "up", "do": "return" })),
    ]);
    let (mut client, _server) = pair(&proxy, &upstream);
    client.send(b"tick");
    assert_eq!(client.expect_closed(), b"");
    let failed = proxy.wait_for("filter failed", |_| true);
    assert_eq!(failed.text("kind"), "contract", "{failed}");
    assert!(failed.text("error").contains("each other"), "{failed}");
    assert!(proxy.is_running());
}

#[test]
fn a_client_that_does_not_read_its_answers_is_not_read_either() {
    let _alone = alone();
    let (proxy, upstream) = transforming(json!({ "do": "return" }));
    let (mut client, _server) = pair(&proxy, &upstream);
    let before = proxy.memory_kib();
    let whole = pattern(9, 64 * MIB);
    let sent = client.send_until_blocked(&whole);
    assert!(sent < whole.len(), "it takes everything");
    let grown = proxy.memory_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB for {sent} bytes that nobody reads");
    // All of it is there as soon as it is read.
    assert_eq!(digest(&client.receive(sent)), digest(&whole[..sent]));
}

/// A proxy whose transformer does as `script` says, with this `on-error`.
fn with_policy(script: &str, on_error: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::listen();
    let config = format!(
        "[filters.wild]\nsource = \"{}\"\nconfig = {{ {script} }}\non-error = \"{on_error}\"\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n",
        guest("transformer-script").display(),
        upstream.address()
    );
    (Proxy::run(&config).start(), upstream)
}

#[test]
fn a_transformer_that_fails_before_it_has_taken_anything_can_be_left_out() {
    let (proxy, upstream) = with_policy("do = \"trap\", call = 1", "pass");
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"hello");
    server.expect(b"hello");
    assert_eq!(proxy.wait_for("filter failed", |_| true).text("action"), "pass");
}

#[test]
fn a_transformer_that_fails_later_cannot_since_nobody_else_has_what_it_took() {
    let (proxy, upstream) = with_policy("do = \"trap\", call = 2", "pass");
    let (mut client, mut server) = pair(&proxy, &upstream);
    client.send(b"hello");
    server.expect(b"hello");
    client.send(b"again");
    client.expect_closed();
    assert_eq!(server.expect_closed(), b"");
    let failed = proxy.wait_for("filter failed", |_| true);
    assert_eq!(failed.text("action"), "close", "{failed}");
    assert_eq!(proxy.ended(&client).outcome, "relay.filter-failed.proxy");
}

/// Moves so many bytes from one peer to the other, and checks that they are the same.
fn bulk(from: &mut Peer, to: &mut Peer, bytes: usize) {
    let sent = pattern(5, bytes);
    let got = thread::scope(|scope| {
        scope.spawn(|| from.send(&sent));
        to.receive(bytes)
    });
    assert_eq!(digest(&got), digest(&sent));
}

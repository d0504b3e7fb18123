//! Inspectors are shown bulk where it lies, in the client's socket: it is spliced, and arrives whole whatever they answer.

use std::fs;
use std::thread;

use serde_json::{Value, json};
use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::{digest, pattern};

use spliceway_tests::{Client, Peer, Proxy, Trace, Upstream, alone, eventually, filtered, skip};

const MIB: usize = 1 << 20;

/// Sends what `pieces` are, then FIN; returns what came out at the other end.
fn send_through(client: &Peer, server: &mut Peer, pieces: &[&[u8]]) -> Vec<u8> {
    let mut client = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(|| server.receive_all());
        pieces.iter().for_each(|piece| client.send(piece));
        client.half_close();
        got.join().expect("the reader does not panic")
    })
}

#[test]
fn bulk_that_an_inspector_lets_through_is_spliced_and_counted_as_filtered() {
    let _alone = alone();
    let (proxy, upstream) = filtered(&[("inspector-script", json!({ "interest": "up", "verdict": "forward" }))]);
    let client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    let Some(trace) = Trace::attach(&proxy, "splice,sendto") else {
        skip!("strace is missing or may not attach here")
    };
    let sent = pattern(1, 16 * MIB);
    let got = send_through(&client, &mut server, &[&sent]);
    assert_eq!(digest(&got), digest(&sent));
    drop(server);
    let transfer = proxy.ended(&client);
    assert_eq!(
        (transfer.up_filtered, transfer.up_spliced),
        (16 * MIB as u64, 0),
        "{transfer:?}"
    );

    let calls = trace.finish();
    let moved = |name: &str| {
        calls
            .iter()
            .filter(|call| call.contains(name))
            .filter_map(|call| answer(call))
            .sum::<u64>()
    };
    let spliced = moved("splice(") / 2;
    // What is small is copied: the first buffer, and where strace slows the sender down.
    assert!(
        spliced > 8 * MIB as u64,
        "{spliced} bytes spliced, {} sent",
        moved("sendto(")
    );
}

/// What a system call that succeeded returned.
fn answer(call: &str) -> Option<u64> {
    call.rsplit_once("= ")?.1.trim().parse().ok()
}

#[test]
fn whatever_inspectors_hold_and_skip_bulk_arrives_once_and_in_order() {
    let _alone = alone();
    let restless = || ("inspector-script", json!({ "verdict": "restless" }));
    let (proxy, upstream) = filtered(&[restless(), restless(), restless()]);
    for round in 0..8 {
        let client = Client::connect(proxy.address());
        let mut server = upstream.accept();
        let sent = pattern(round, 8 * MIB);
        let pieces: Vec<&[u8]> = sent.chunks(700 + 90_000 * round as usize).collect();
        let got = send_through(&client, &mut server, &pieces);
        assert_eq!(digest(&got), digest(&sent), "round {round}");
    }
}

#[test]
fn messages_are_counted_and_skipped_however_many_lie_in_the_socket() {
    let _alone = alone();
    let upstream = Upstream::listen();
    let proxy = Proxy::run(&format!(
        "[access-log]\nfile = \"access.log\"\n[upstreams]\nonly = {{ servers = [\"{}\"] }}\n\
         [filters.lengths]\nsource = \"{}\"\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"lengths\"]\n",
        upstream.address(),
        guest("length-prefixed").display()
    ))
    .start();
    let access_log = proxy.folder().join("access.log");
    // Of no bytes, of a few, of more than a buffer, of more than is looked ahead; and a length that is cut off by the end.
    let lengths = [65_536, 0, 70_000, 1, 20_000, 2_000_000, 16_384, 300, 40_000];
    let mut sent = Vec::new();
    let mut count: u64 = 0;
    while sent.len() < 12 * MIB {
        for length in lengths {
            sent.extend_from_slice(&u32::to_be_bytes(length));
            sent.extend(pattern(count, length as usize));
            count += 1;
        }
    }
    sent.extend_from_slice(&[0, 0]);
    for piece in [100_000, 65_540, 3_333, sent.len()] {
        let client = Client::connect(proxy.address());
        let mut server = upstream.accept();
        let pieces: Vec<&[u8]> = sent.chunks(piece).collect();
        let got = send_through(&client, &mut server, &pieces);
        assert_eq!(digest(&got), digest(&sent), "in pieces of {piece}");
        drop(server);
        let line: Value = eventually("the connection's line in the access log", || {
            let text = fs::read_to_string(&access_log).ok()?;
            let mut lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line: &Value| line["event"] == "close" && line["client"] == client.local())
        });
        assert_eq!(
            line["annotations"]["messages-up"], count,
            "in pieces of {piece}: {line}"
        );
    }
}

#[test]
fn what_an_inspector_refuses_deep_in_bulk_never_reaches_the_server_and_all_before_does() {
    let _alone = alone();
    let (proxy, upstream) = filtered(&[("inspector-script", json!({ "verdict": "refuse", "pattern": "EVIL" }))]);
    for offset in [1 << 16, 300_000, 2 * MIB + 5] {
        let client = Client::connect(proxy.address());
        let mut server = upstream.accept();
        let mut sent = vec![b'.'; offset];
        sent.extend_from_slice(b"EVIL");
        let mut sender = client.another();
        let got = thread::scope(|scope| {
            let got = scope.spawn(|| server.receive_all());
            sender.send(&sent);
            got.join().expect("the reader does not panic")
        });
        assert!(sent[..offset].starts_with(&got), "{offset}");
        // What is shown together is refused together: 16 KiB, or what one read brought.
        assert!(offset - got.len() <= 64 << 10, "{} of {offset}", got.len());
        assert_eq!(proxy.ended(&client).outcome, "relay.filter-refused.proxy");
    }
}

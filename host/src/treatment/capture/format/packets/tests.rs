use proptest::prelude::*;

use super::super::pcapng::tests::{blocks, options};
use super::*;
use crate::treatment::capture::event;

fn leg(time: u64, addresses: [&str; 2]) -> event::Leg {
    event::Leg {
        time: Duration::from_secs(time),
        addresses: addresses.map(|address| Some(address.parse().unwrap())),
    }
}

fn began(legs: CaptureLegs, at: [u64; 4]) -> What {
    What::Began(Box::new(Began {
        connection: 17,
        legs,
        client: leg(1, ["10.0.0.1:4000", "10.0.0.2:80"]),
        upstream: Some(leg(2, ["10.1.0.1:5000", "10.1.0.2:81"])),
        at,
        about: "connection 17".into(),
    }))
}

fn bytes(stream: Stream, at: u64, kept: &[u8]) -> What {
    What::Bytes {
        stream,
        at,
        length: kept.len(),
        kept: kept.into(),
    }
}

fn over(at: [u64; 4]) -> What {
    What::Over {
        how: "finished".into(),
        at,
    }
}

/// A file with all of it.
fn written(what: Vec<What>) -> Vec<u8> {
    let mut packets = Packets::default();
    let mut out = Vec::new();
    packets.begin(&mut out);
    for (time, what) in (10..).zip(what) {
        let before = out.len() as u64;
        let event = Event {
            flow: 1,
            time: Duration::from_secs(time),
            what,
        };
        packets.write(&event, &mut out);
        assert!(out.len() as u64 - before <= Packets::most(&event), "more than the most");
    }
    packets.end(Duration::from_secs(99), &mut out);
    out
}

/// What a reader finds: the names of interfaces, and of each packet its interface, its bytes and its comments.
struct Found {
    interfaces: Vec<String>,
    packets: Vec<(usize, Vec<u8>, Vec<String>)>,
    lost: Vec<u64>,
}

fn found(file: &[u8]) -> Found {
    let mut found = Found {
        interfaces: Vec::new(),
        packets: Vec::new(),
        lost: Vec::new(),
    };
    let texts = |options: &[(u16, Vec<u8>)], code| -> Vec<String> {
        let of = options.iter().filter(|(of, _)| *of == code);
        of.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect()
    };
    for block in blocks(file).unwrap() {
        let word = |at: usize| u32::from_le_bytes(block.body[at..at + 4].try_into().unwrap()) as usize;
        match block.kind {
            1 => found.interfaces.extend(texts(&options(&block.body[8..]), 2)),
            5 => {
                let told = options(&block.body[12..]);
                found
                    .lost
                    .push(u64::from_le_bytes(told[3].1.clone().try_into().unwrap()));
            }
            6 => {
                let kept = word(12);
                let options = options(&block.body[20 + kept.next_multiple_of(4)..]);
                let payload = block.body[20 + 40.min(kept)..20 + kept].to_vec();
                found.packets.push((word(0), payload, texts(&options, 1)));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn each_leg_is_an_interface_and_its_packets_say_whose_they_are_and_how_it_went() {
    let file = written(vec![
        began(CaptureLegs::Both, [0; 4]),
        bytes(Stream::FromClient, 0, b"question"),
        bytes(Stream::ToUpstream, 0, b"QUESTION"),
        bytes(Stream::FromUpstream, 0, b"answer"),
        bytes(Stream::ToClient, 0, b"ANSWER"),
        What::Finished(Stream::FromClient),
        What::Finished(Stream::ToUpstream),
        What::Finished(Stream::FromUpstream),
        What::Finished(Stream::ToClient),
        over([8, 6, 6, 8]),
    ]);
    let Found {
        interfaces,
        packets,
        lost,
    } = found(&file);
    assert_eq!(interfaces, ["client", "upstream"]);
    assert_eq!(lost, [0, 0]);
    for (interface, said) in [(0, ["question", "ANSWER"]), (1, ["QUESTION", "answer"])] {
        let of: Vec<_> = packets.iter().filter(|(of, _, _)| *of == interface).collect();
        assert_eq!(of.first().unwrap().2, ["connection 17"]);
        assert_eq!(of.last().unwrap().2, ["finished"]);
        let payloads: Vec<_> = of.iter().filter(|(_, payload, _)| payload.len() > 4).collect();
        assert!(
            said.iter()
                .all(|said| payloads.iter().any(|(_, payload, _)| payload == said.as_bytes()))
        );
    }
}

#[test]
fn what_is_missing_is_said_where_it_is_missing_and_counted() {
    let file = written(vec![
        began(CaptureLegs::Client, [100, 0, 0, 0]),
        bytes(Stream::FromClient, 100, b"first"),
        bytes(Stream::FromClient, 200_105, b"third"),
        over([200_110, 7, 0, 0]),
    ]);
    let found = found(&file);
    let comments: Vec<_> = found
        .packets
        .iter()
        .map(|(_, _, comments)| comments.join(" "))
        .collect();
    assert!(!comments[3].contains("missing"), "{comments:?}");
    assert!(comments[4].contains("200000 bytes are missing here"), "{comments:?}");
    assert_eq!(found.lost, [4 + 1]);
}

#[test]
fn what_came_out_of_filters_is_one_conversation() {
    let file = written(vec![
        began(CaptureLegs::Filtered, [0; 4]),
        bytes(Stream::FromClient, 0, b"secret"),
        bytes(Stream::ToUpstream, 0, b"******"),
        bytes(Stream::FromUpstream, 0, b"answer"),
        bytes(Stream::ToClient, 0, b"ANSWER"),
        over([6; 4]),
    ]);
    let found = found(&file);
    assert_eq!(found.interfaces, ["filtered"]);
    let said: Vec<_> = found.packets.iter().map(|(_, payload, _)| payload.as_slice()).collect();
    assert!(said.contains(&&b"******"[..]) && said.contains(&&b"ANSWER"[..]));
    assert!(!said.contains(&&b"secret"[..]) && !said.contains(&&b"answer"[..]));
}

#[test]
fn the_next_file_says_again_what_it_is_about() {
    let mut packets = Packets::default();
    let event = |what| Event {
        flow: 1,
        time: Duration::from_secs(1),
        what,
    };
    let mut first = Vec::new();
    packets.begin(&mut first);
    packets.write(&event(began(CaptureLegs::Client, [0; 4])), &mut first);
    packets.end(Duration::from_secs(2), &mut first);
    let mut second = Vec::new();
    packets.begin(&mut second);
    packets.write(&event(bytes(Stream::FromClient, 0, b"question")), &mut second);
    packets.write(&event(bytes(Stream::FromClient, 8, b"another")), &mut second);
    let found = found(&second);
    assert_eq!(found.interfaces, ["client"]);
    let comments: Vec<_> = found.packets.iter().map(|(_, _, comments)| comments.concat()).collect();
    assert_eq!(comments, ["connection 17", ""]);
}

#[test]
fn of_a_connection_that_did_not_begin_nothing_is_written() {
    let file = written(vec![bytes(Stream::FromClient, 0, b"question"), over([8, 0, 0, 0])]);
    assert!(found(&file).packets.is_empty());
}

fn any_event() -> impl Strategy<Value = What> {
    let stream = || prop::sample::select(Stream::ALL.to_vec());
    prop_oneof![
        1 => prop::array::uniform4(0_u64..10).prop_map(|at| began(CaptureLegs::Both, at)),
        8 => (stream(), 0_u64..1 << 40, prop::collection::vec(any::<u8>(), 0..50), 0_usize..200_000)
            .prop_map(|(stream, at, kept, more)| What::Bytes { stream, at, length: kept.len() + more, kept: kept.into() }),
        2 => stream().prop_map(What::Finished),
        1 => stream().prop_map(What::Reset),
        1 => prop::array::uniform4(0_u64..1 << 40).prop_map(over),
    ]
}

proptest! {
    /// Whoever reads a file while it is written finds whole packets, and never an interface that he does not know.
    #[test]
    fn every_beginning_of_a_file_that_ends_with_a_block_can_be_read(what in prop::collection::vec(any_event(), 0..40)) {
        let file = written(what);
        let mut end = 0;
        while end < file.len() {
            end += u32::from_le_bytes(file[end + 4..end + 8].try_into().unwrap()) as usize;
            let found = found(&file[..end]);
            prop_assert!(found.packets.iter().all(|(interface, _, _)| *interface < found.interfaces.len()));
        }
        prop_assert_eq!(end, file.len());
    }
}

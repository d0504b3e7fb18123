use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

/// What a reader finds in a packet.
#[derive(Debug, Clone)]
struct Seen {
    from: End,
    seq: u32,
    ack: u32,
    syn: bool,
    fin: bool,
    rst: bool,
    payload: Vec<u8>,
    length: usize,
}

fn seen(frame: &Frame<'_>) -> Seen {
    let bytes = [&frame.headers, frame.payload].concat();
    let is_whole = bytes.len() == frame.length;
    // A packet that is kept in part is none to this reader.
    let whole = [bytes.as_slice(), &vec![0; frame.length - bytes.len()]].concat();
    let packet = SlicedPacket::from_ip(&whole).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        panic!("no TCP")
    };
    match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            assert_eq!(
                ip.header().to_header().calc_header_checksum(),
                ip.header().header_checksum()
            );
            if is_whole {
                let header = ip.header().to_header();
                let checksum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap();
                assert_eq!(tcp.checksum(), checksum);
            }
        }
        NetSlice::Ipv6(ip) => {
            if is_whole {
                let header = ip.header().to_header();
                let checksum = tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()).unwrap();
                assert_eq!(tcp.checksum(), checksum);
            }
        }
        other => panic!("{other:?}"),
    }
    Seen {
        from: frame.from,
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: frame.payload.to_vec(),
        length: tcp.payload().len(),
    }
}

fn ends(six: bool) -> [SocketAddr; 2] {
    match six {
        false => ["10.0.0.1:4000".parse().unwrap(), "10.0.0.2:80".parse().unwrap()],
        true => ["[fd00::1]:4000".parse().unwrap(), "[fd00::2]:80".parse().unwrap()],
    }
}

/// Puts a stream together as whoever reads a capture does: by sequence numbers.
fn followed(frames: &[Seen], from: End) -> Vec<u8> {
    let mut next = None;
    let mut stream = Vec::new();
    for frame in frames.iter().filter(|frame| frame.from == from) {
        assert_eq!(frame.seq, *next.get_or_insert(frame.seq), "out of order");
        stream.extend_from_slice(&frame.payload);
        let ends = u32::from(frame.syn) + u32::from(frame.fin);
        next = Some(frame.seq.wrapping_add(frame.length as u32).wrapping_add(ends));
    }
    stream
}

proptest! {
    #[test]
    fn streams_are_what_was_said_whatever_was_said_between(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..300)), 0..20),
        six: bool,
        // Near the end of the numbers, so that they begin anew.
        first in prop::array::uniform2(prop_oneof![any::<u32>(), u32::MAX - 600..u32::MAX]),
    ) {
        let mut frames = Vec::new();
        let mut conversation = Conversation::new(ends(six), first);
        let mut emit = |frame: Frame<'_>| frames.push(seen(&frame));
        conversation.open(&mut emit);
        let mut streams = [Vec::new(), Vec::new()];
        for (initiator, bytes) in said {
            let from = if initiator { End::Initiator } else { End::Responder };
            streams[from as usize].extend_from_slice(&bytes);
            conversation.say(from, &bytes, bytes.len(), &mut emit);
        }
        conversation.finish(End::Initiator, &mut emit);
        conversation.finish(End::Responder, &mut emit);
        for from in [End::Initiator, End::Responder] {
            prop_assert_eq!(&followed(&frames, from), &streams[from as usize]);
            prop_assert_eq!(frames.iter().find(|frame| frame.from == from).unwrap().seq, first[from as usize]);
            prop_assert!(frames.iter().any(|frame| frame.from == from && frame.fin));
        }
        // Nobody acknowledges what was not sent.
        let mut sent = first;
        for frame in &frames {
            let other = frame.from.other() as usize;
            prop_assert!(frame.ack == 0 && frame.syn || frame.ack == sent[other]);
            sent[frame.from as usize] = frame.seq.wrapping_add(frame.length as u32).wrapping_add((frame.syn || frame.fin).into());
        }
    }
}

#[test]
fn large_writes_are_several_segments_and_much_is_acknowledged() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|byte| byte as u8).collect();
    let mut frames = Vec::new();
    let mut conversation = Conversation::new(ends(false), [u32::MAX - 500_000, 0]);
    conversation.say(End::Initiator, &bytes, bytes.len(), &mut |frame| {
        frames.push(seen(&frame));
    });
    assert!(frames.iter().all(|frame| frame.length <= SEGMENT));
    assert_eq!(followed(&frames, End::Initiator), bytes);
    let acknowledged: Vec<_> = frames.iter().filter(|frame| frame.from == End::Responder).collect();
    assert!(acknowledged.len() >= 2, "{acknowledged:?}");
}

#[test]
fn what_is_not_kept_still_has_its_place() {
    let mut frames = Vec::new();
    let mut conversation = Conversation::new(ends(true), [7, 0]);
    let mut emit = |frame: Frame<'_>| frames.push(seen(&frame));
    conversation.say(End::Initiator, b"head", SEGMENT + 10, &mut emit);
    conversation.skip(End::Initiator, (1 << 32) + 5);
    conversation.reset(End::Initiator, &mut emit);
    assert_eq!(frames[0].payload, b"head");
    assert_eq!((frames[0].length, frames[1].length), (SEGMENT, 10));
    let last = &frames[2];
    assert!(last.rst);
    assert_eq!(last.seq as usize, 7 + SEGMENT + 10 + 5);
}

#[test]
fn whoever_has_no_address_gets_one_of_the_same_family() {
    let (four, six) = ("10.0.0.1:80".parse().unwrap(), "[fd00::1]:80".parse().unwrap());
    assert_eq!(addresses(Some(four), Some(four), 1), [four, four]);
    let [initiator, responder] = addresses(None, Some(six), 70_000);
    assert!(initiator.is_ipv6() && initiator.ip().is_loopback() && initiator.port() >= 1024);
    assert_eq!(responder, six);
    let [initiator, responder] = addresses(Some(four), Some(six), 1);
    assert!(initiator.is_ipv6() && responder == six);
    assert_eq!(initiator.ip().to_canonical(), four.ip());
    let [one, other] = [1, 2].map(|number| addresses(None, None, number));
    assert_ne!(one, other);
    assert_ne!(one[0], one[1]);
}

#[test]
fn connections_begin_at_different_numbers() {
    let mut all: Vec<_> = (0..1000)
        .flat_map(|flow| [first_numbers(flow, 0), first_numbers(flow, 1)])
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2000);
}

//! Headers as they come: from the specification, from clouds, from the crate `ppp`, which knows nothing of our code, and
//! from nobody in his right mind.

use std::net::{IpAddr, SocketAddr};

use ppp::{PartialResult, v1, v2};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::outgoing::{About, header, local};
use super::parse::{Parsed, parse};
use super::tlv::{self, Tlvs};
use super::{Ends, Header, binary, of_one_family, text};
use crate::config::{ProxyOut, ProxyVersion, SentTlv};

const LONGEST: usize = 4 << 10;

// ---- version 1 ----

fn line(text: &str) -> Parsed {
    parse(text.as_bytes(), LONGEST)
}

fn tcp(source: &str, destination: &str) -> Ends {
    Ends::Tcp {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn whole(ends: Ends, tlvs: &[u8], length: usize) -> Parsed {
    let tlvs = Tlvs::of(tlvs);
    Parsed::Header {
        header: Header { ends, tlvs },
        length,
    }
}

#[test]
fn a_line_names_two_addresses_of_one_family() {
    let four = "PROXY TCP4 255.255.255.255 10.0.0.1 65535 0\r\n";
    assert_eq!(
        line(four),
        whole(tcp("255.255.255.255:65535", "10.0.0.1:0"), b"", four.len())
    );
    let six = "PROXY TCP6 2001:DB8::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1 2\r\n";
    let ends = tcp("[2001:db8::1]:1", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:2");
    assert_eq!(line(six), whole(ends, b"", six.len()));
    // What nginx sends of a client of IPv4 that came to a socket of IPv6.
    let mapped = "PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n";
    assert_eq!(
        line(mapped),
        whole(tcp("[::ffff:1.2.3.4]:1", "[::1]:2"), b"", mapped.len())
    );
}

#[test]
fn what_follows_the_line_is_not_the_header_s() {
    let text = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n";
    assert_eq!(line(&format!("{text}GET / HTTP/1.1\r\n")), line(text));
}

#[test]
fn of_a_line_that_knows_nothing_the_rest_is_ignored() {
    for rest in ["", " ", " ffff::1 nonsense  \u{fffd} 65536", " \n"] {
        let text = format!("PROXY UNKNOWN{rest}\r\n");
        assert_eq!(line(&text), whole(Ends::OfTheSockets, b"", text.len()), "{text:?}");
    }
}

#[test]
fn a_line_that_is_not_as_the_specification_says_is_bad() {
    for text in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        "PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 ::1 1.2.3.4 1 2\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
    ] {
        let expected_absent = !text.starts_with("PROXY ");
        match line(text) {
            Parsed::Bad(_) => assert!(!expected_absent, "{text:?}"),
            Parsed::Absent => assert!(expected_absent, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn a_line_has_107_bytes_and_no_more() {
    let of_length = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert!(matches!(line(&of_length(107)), Parsed::Header { length: 107, .. }));
    assert!(matches!(line(&of_length(108)), Parsed::Bad(_)));
    // Nobody waits for the end of a line that is too long already.
    assert_eq!(line(&of_length(200)[..105]), Parsed::NeedMore);
    assert!(matches!(line(&of_length(200)[..106]), Parsed::Bad(_)));
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert!(matches!(line(longest), Parsed::Header { length: 107, .. }));
}

// ---- version 2 ----

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = binary::SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    header.extend(block);
    header
}

const FOUR: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 0xff, 0xff];

fn bad(bytes: &[u8]) -> &'static str {
    match parse(bytes, LONGEST) {
        Parsed::Bad(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_binary_header_names_two_addresses() {
    let header = binary(0x21, 0x11, &FOUR);
    assert_eq!(
        parse(&header, LONGEST),
        whole(tcp("1.2.3.4:80", "5.6.7.8:65535"), b"", 28)
    );
    let six: Vec<u8> = (0..36).collect();
    let ends = tcp(
        "[1:203:405:607:809:a0b:c0d:e0f]:8225",
        "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:8739",
    );
    assert_eq!(parse(&binary(0x21, 0x21, &six), LONGEST), whole(ends, b"", 52));
    assert_eq!(
        parse(&binary(0x21, 0x31, &[b'/'; 216]), LONGEST),
        whole(Ends::Unix, b"", 232)
    );
}

#[test]
fn tlvs_are_kept_in_their_order_with_duplicates() {
    let tlvs = b"\xea\0\x01a\x04\0\0\xea\0\x01b\x02\0\x04name";
    let header = binary(0x21, 0x11, &[&FOUR[..], tlvs].concat());
    assert_eq!(
        parse(&header, LONGEST),
        whole(tcp("1.2.3.4:80", "5.6.7.8:65535"), tlvs, header.len())
    );
    let kept = Tlvs::of(tlvs);
    let expected: [(u8, &[u8]); 4] = [(0xea, b"a"), (0x04, b""), (0xea, b"b"), (0x02, b"name")];
    assert!(kept.each().eq(expected));
    assert!(kept.of_type(0xea).eq([&b"a"[..], b"b"]));
}

#[test]
fn of_the_sender_s_own_connection_nothing_counts_but_the_length() {
    for (family, block) in [
        (0x00, &b""[..]),
        (0x00, b"whatever this is"),
        (0x11, b""),
        (0x11, &FOUR),
        (0x11, b"\x01\x02"),
        (0xff, b"\x01\x02"),
        (0x00, b"\x02\0\x04name"),
    ] {
        let header = binary(0x20, family, block);
        assert_eq!(
            parse(&header, LONGEST),
            whole(Ends::OfTheSockets, b"", header.len()),
            "{family:x}"
        );
    }
}

#[test]
fn where_the_sender_knows_nothing_of_the_client_the_sockets_count() {
    let tlvs = b"\x02\0\x04name";
    // Unspecified, datagrams, and what nobody has defined.
    for (family, addresses) in [
        (0x00, 0),
        (0x01, 0),
        (0x12, 12),
        (0x22, 36),
        (0x32, 216),
        (0x10, 12),
        (0x1f, 12),
    ] {
        let header = binary(0x21, family, &[&vec![7; addresses][..], tlvs].concat());
        assert_eq!(
            parse(&header, LONGEST),
            whole(Ends::OfTheSockets, tlvs, header.len()),
            "{family:x}"
        );
    }
    // There is no telling where TLVs would begin.
    let header = binary(0x21, 0x41, tlvs);
    assert_eq!(parse(&header, LONGEST), whole(Ends::OfTheSockets, b"", header.len()));
    let header = binary(0x21, 0x00, b"no TLVs");
    assert_eq!(parse(&header, LONGEST), whole(Ends::OfTheSockets, b"", header.len()));
}

#[test]
fn another_version_and_another_command_are_bad_at_once() {
    for command in [0x00, 0x01, 0x11, 0x31, 0xff, 0x22, 0x2f] {
        let header = binary(command, 0x11, &FOUR);
        bad(&header);
        bad(&header[..13]);
    }
}

#[test]
fn addresses_and_tlvs_that_are_cut_off_are_bad() {
    for (family, block) in [
        (0x11, &FOUR[..11]),
        (0x11, &[]),
        (0x21, &[0; 35]),
        (0x31, &[0; 215]),
        (0x12, &FOUR[..3]),
        (0x11, &[&FOUR[..], &[1]].concat()),
        (0x11, &[&FOUR[..], &[1, 0]].concat()),
        (0x11, &[&FOUR[..], &[1, 0, 1]].concat()),
        (0x11, &[&FOUR[..], &[1, 0xff, 0xff, 1]].concat()),
    ] {
        assert!(bad(&binary(0x21, family, block)).contains("cut off"));
    }
}

#[test]
fn a_header_that_is_longer_than_allowed_is_bad_as_soon_as_it_says_so() {
    let block = [&FOUR[..], b"\xea\0\x01x"].concat();
    let header = binary(0x21, 0x11, &block);
    assert!(matches!(parse(&header, header.len()), Parsed::Header { .. }));
    assert!(matches!(parse(&header, header.len() - 1), Parsed::Bad(_)));
    assert!(matches!(parse(&header[..16], header.len() - 1), Parsed::Bad(_)));
    assert_eq!(parse(&header[..15], header.len() - 1), Parsed::NeedMore);
}

/// The health check of a Network Load Balancer, and the example of its documentation.
#[test]
fn headers_of_aws_are_read_and_their_checksums_hold() {
    let check = binary(0x20, 0x00, b"\x03\0\x04\xa9\xb8\x7e\x8f");
    assert_eq!(parse(&check, LONGEST), whole(Ends::OfTheSockets, b"", check.len()));

    let mut block = b"\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50".to_vec();
    tlv::push(&mut block, tlv::CRC32C, b"\xe8\xd6\x89\x2d");
    tlv::push(&mut block, 0xea, b"\x01vpce-08d2bf15fac5001c9");
    tlv::push(&mut block, 0x04, &[0; 36]);
    let endpoint = binary(0x21, 0x11, &block);
    let Parsed::Header { header, length } = parse(&endpoint, LONGEST) else {
        panic!("{:?}", parse(&endpoint, LONGEST))
    };
    assert_eq!(length, endpoint.len());
    assert_eq!(header.ends, tcp("172.31.7.113:51442", "172.31.10.31:80"));
    assert_eq!(header.tlvs.aws_vpce_id(), Some("vpce-08d2bf15fac5001c9"));
}

#[test]
fn a_wrong_checksum_is_bad_wherever_it_is_found() {
    let four = |tlvs: &[u8]| binary(0x21, 0x11, &[&FOUR[..], tlvs].concat());
    assert_eq!(bad(&four(b"\x03\0\x04abcd")), "its checksum is wrong");
    assert_eq!(bad(&binary(0x20, 0x00, b"\x03\0\x04abcd")), "its checksum is wrong");
    assert_eq!(bad(&binary(0x21, 0x00, b"\x03\0\x04abcd")), "its checksum is wrong");
    assert_eq!(bad(&four(b"\x03\0\x03abc")), "its checksum has not four bytes");
    let good = binary::write(
        Some(("1.2.3.4:1".parse().unwrap(), "1.2.3.4:2".parse().unwrap())),
        [],
        true,
    );
    let mut two = good.clone();
    tlv::push(&mut two, tlv::CRC32C, &[0; 4]);
    two[15] += 7;
    assert_eq!(bad(&two), "it has two checksums");
    for at in (16..28).chain(31..35) {
        let mut wrong = good.clone();
        wrong[at] ^= 1;
        bad(&wrong);
    }
}

#[test]
fn what_does_not_begin_as_a_header_is_none() {
    for bytes in [
        &b"G"[..],
        b"GET / HTTP/1.1\r\n",
        b"PROXYING",
        b"P ",
        b"\r\n\r\n\r",
        b"\x16\x03\x01",
        b"\0",
    ] {
        assert_eq!(parse(bytes, LONGEST), Parsed::Absent, "{bytes:?}");
    }
    for begun in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(parse(begun, LONGEST), Parsed::NeedMore, "{begun:?}");
    }
}

// ---- what we send ----

fn out(version: ProxyVersion, tlvs: &[SentTlv], pass: &[u8]) -> ProxyOut {
    ProxyOut {
        version,
        tlvs: tlvs.to_vec(),
        pass: pass.to_vec(),
    }
}

fn about<'a>(ends: Option<(&str, &str)>, received: &'a Tlvs) -> About<'a> {
    let address = |text: &str| text.parse().unwrap();
    About {
        id: 7,
        ends: ends.map(|(source, destination)| (address(source), address(destination))),
        authority: None,
        alpn: None,
        ssl: None,
        received,
    }
}

fn sent_line(ends: Option<(&str, &str)>) -> String {
    let sent = header(&out(ProxyVersion::V1, &[], &[]), &about(ends, &Tlvs::default()));
    String::from_utf8(sent).unwrap()
}

#[test]
fn both_addresses_are_sent_in_one_family() {
    for (source, destination, line) in [
        ("1.2.3.4:1", "5.6.7.8:2", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        (
            "[::ffff:1.2.3.4]:1",
            "[::ffff:5.6.7.8]:2",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        ),
        ("[::ffff:1.2.3.4]:1", "5.6.7.8:2", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        ("[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
        (
            "[2001:db8::1]:1",
            "5.6.7.8:2",
            "PROXY TCP6 2001:db8::1 ::ffff:506:708 1 2\r\n",
        ),
        ("1.2.3.4:1", "[::1]:2", "PROXY TCP6 ::ffff:102:304 ::1 1 2\r\n"),
        ("[::ffff:1.2.3.4]:1", "[::1]:2", "PROXY TCP6 ::ffff:102:304 ::1 1 2\r\n"),
    ] {
        assert_eq!(sent_line(Some((source, destination))), line);
    }
    assert_eq!(sent_line(None), "PROXY UNKNOWN\r\n");
}

#[test]
fn a_connection_without_addresses_is_one_of_which_nothing_is_known() {
    let sent = header(&out(ProxyVersion::V2, &[], &[]), &about(None, &Tlvs::default()));
    assert_eq!(sent, b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0");
}

#[test]
fn only_what_was_asked_for_and_is_known_is_sent() {
    let ends = Some(("1.2.3.4:1", "5.6.7.8:2"));
    let received = Tlvs::of(b"\xea\0\x01a\x02\0\x04name\xea\0\x01b\x20\0\x05\x01\0\0\0\0\xeb\0\0");
    let sent = |tlvs: &[SentTlv], pass: &[u8]| {
        let mut about = about(ends, &received);
        about.authority = Some("seen by us".to_owned());
        about.alpn = Some("h2".to_owned());
        let sent = header(&out(ProxyVersion::V2, tlvs, pass), &about);
        let Parsed::Header { header, length } = parse(&sent, LONGEST) else {
            panic!("{sent:?}")
        };
        assert_eq!(length, sent.len());
        let tlvs = header.tlvs.each().map(|(kind, value)| (kind, value.to_vec()));
        tlvs.collect::<Vec<_>>()
    };
    let tlv = |kind: u8, value: &[u8]| (kind, value.to_vec());
    assert_eq!(sent(&[], &[]), []);
    assert_eq!(sent(&[], &[0xea]), [tlv(0xea, b"a"), tlv(0xea, b"b")]);
    // What was received is nearer to the client; and what is sent by name is not passed on as well.
    let chosen = [SentTlv::Authority, SentTlv::Alpn, SentTlv::Ssl];
    let expected = [
        tlv(0x02, b"name"),
        tlv(0x01, b"h2"),
        tlv(0x20, b"\x01\0\0\0\0"),
        tlv(0xeb, b""),
    ];
    assert_eq!(sent(&chosen, &[0xeb, 0x02]), expected);
    let summed = sent(&[SentTlv::Crc32c, SentTlv::Alpn], &[]);
    assert_eq!(summed[0], tlv(0x01, b"h2"));
    assert_eq!((summed[1].0, summed.len()), (tlv::CRC32C, 2));
}

#[test]
fn a_unique_id_is_the_one_that_came_or_one_of_our_own() {
    let nothing = Tlvs::default();
    let named = Tlvs::of(b"\x05\0\x03abc");
    let id = |received, id| {
        let mut about = about(None, received);
        about.id = id;
        let sent = header(&out(ProxyVersion::V2, &[SentTlv::UniqueId], &[]), &about);
        match parse(&sent, LONGEST) {
            Parsed::Header { header, .. } => header.tlvs.first(tlv::UNIQUE_ID).unwrap().to_vec(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(id(&named, 1), b"abc");
    assert_ne!(id(&nothing, 1), id(&nothing, 2));
    assert!(id(&nothing, 12).ends_with(b"-12") && id(&nothing, u64::MAX).len() <= 128);
}

#[test]
fn more_than_a_header_can_hold_is_left_out() {
    let mut received = Vec::new();
    for value in 0..=255 {
        tlv::push(&mut received, 0xea, &[value; 1000]);
    }
    let received = Tlvs::of(&received);
    let protocol = out(ProxyVersion::V2, &[SentTlv::Crc32c], &[0xea]);
    let sent = header(&protocol, &about(Some(("1.2.3.4:1", "5.6.7.8:2")), &received));
    let Parsed::Header { header, length } = parse(&sent, usize::MAX) else {
        panic!("{} bytes", sent.len())
    };
    assert_eq!(length, sent.len());
    assert_eq!(header.tlvs.of_type(0xea).count(), 65);
}

#[test]
fn a_check_says_that_it_is_the_proxy_s_own_or_names_its_two_ends() {
    let (own, server) = (Some("10.0.0.1:1".parse().unwrap()), Some("10.0.0.2:2".parse().unwrap()));
    assert_eq!(local(ProxyVersion::V2, own, server), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert_eq!(
        local(ProxyVersion::V1, own, server),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
    );
    assert_eq!(local(ProxyVersion::V1, None, None), b"PROXY UNKNOWN\r\n");
}

// ---- any header, and anything ----

fn address() -> impl Strategy<Value = SocketAddr> {
    let four = any::<[u8; 4]>().prop_map(IpAddr::from);
    let six = any::<[u8; 16]>().prop_map(IpAddr::from);
    let mapped = any::<[u8; 4]>().prop_map(|ip| IpAddr::V6(std::net::Ipv4Addr::from(ip).to_ipv6_mapped()));
    (prop_oneof![four, six, mapped], any::<u16>()).prop_map(SocketAddr::from)
}

/// Without a checksum, which would have to be right.
fn tlvs() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let kind = any::<u8>().prop_filter("no checksum", |kind| *kind != tlv::CRC32C);
    vec((kind, vec(any::<u8>(), 0..40)), 0..6)
}

fn pairs(tlvs: &[(u8, Vec<u8>)]) -> impl Iterator<Item = (u8, &[u8])> {
    tlvs.iter().map(|(kind, value)| (*kind, value.as_slice()))
}

/// A header that is good, or one in which something is changed, and bytes behind it.
fn nearly_a_header() -> impl Strategy<Value = Vec<u8>> {
    let lines = (address(), address()).prop_map(|(a, b)| text::write(Some(of_one_family(a, b))));
    let headers = (address(), address(), tlvs(), any::<bool>());
    let headers = headers.prop_map(|(a, b, tlvs, sum)| binary::write(Some(of_one_family(a, b)), pairs(&tlvs), sum));
    let heads = (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..300));
    let commands = select(vec![0x20, 0x21, 0x21, 0x21]);
    let heads = (commands, heads).prop_map(|(likely, (command, family, block))| {
        binary(if command < 16 { command } else { likely }, family % 0x45, &block)
    });
    let any_line = "PROXY (TCP4|TCP6|UNKNOWN|[A-Z]{0,8})( [0-9a-f:.+]{0,12}){0,6}[ \r\n]{0,3}\r?\n?";
    let any_line = any_line.prop_map(String::into_bytes);
    let good = prop_oneof![2 => lines, 2 => headers, 2 => heads, 2 => any_line, 1 => vec(any::<u8>(), 0..200)];
    let changes = vec((any::<Index>(), select(b"\0\x01\x03\x20\r\n 0:P.+\xff".to_vec())), 0..3);
    (good, changes, vec(any::<u8>(), 0..20)).prop_map(|(mut bytes, changes, more)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.extend(more);
        bytes
    })
}

fn nearly_a_line() -> impl Strategy<Value = Vec<u8>> {
    let good = (address(), address()).prop_map(|(a, b)| text::write(Some(of_one_family(a, b))));
    let other = "PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f:.]{1,9}){0,5} ?\r?\n?".prop_map(String::into_bytes);
    let line = prop_oneof![good, other, Just(b"PROXY UNKNOWN\r\n".to_vec())];
    let change = (any::<Index>(), select(b"\0\r\n 0a:.-\xff".to_vec()));
    let changes = vec(change, 0..2);
    (line, changes, vec(any::<u8>(), 0..9)).prop_filter_map("no field behind UNKNOWN", |(mut line, changes, more)| {
        for (at, byte) in changes {
            let at = 6 + at.index(line.len() - 6);
            line[at] = byte;
        }
        line.extend(more);
        (!line.starts_with(b"PROXY UNKNOWN ")).then_some(line)
    })
}

/// How often each property below is tried: it stands in for a fuzzer.
fn often() -> ProptestConfig {
    ProptestConfig::with_cases(20_000)
}

proptest! {
    #![proptest_config(often())]

    #[test]
    fn what_is_written_is_read(a in address(), b in address(), tlvs in tlvs(), sum: bool, more in vec(any::<u8>(), 0..9)) {
        let (source, destination) = of_one_family(a, b);
        let mut bytes = binary::write(Some((source, destination)), pairs(&tlvs), sum);
        let written = bytes.len();
        bytes.extend(&more);
        let Parsed::Header { header, length } = parse(&bytes, LONGEST) else { panic!() };
        prop_assert_eq!(length, written);
        prop_assert_eq!(header.ends, Ends::Tcp { source, destination });
        prop_assert!(header.tlvs.each().filter(|(kind, _)| *kind != tlv::CRC32C).eq(pairs(&tlvs)));
        prop_assert_eq!(header.tlvs.of_type(tlv::CRC32C).count(), usize::from(sum));

        let mut line = text::write(Some((source, destination)));
        let written = line.len();
        line.extend(&more);
        prop_assert_eq!(parse(&line, LONGEST), whole(Ends::Tcp { source, destination }, b"", written));
    }

    #[test]
    fn a_cut_anywhere_decides_nothing_else(bytes in nearly_a_header(), longest in 256..5000_usize) {
        let decided = parse(&bytes, longest);
        for cut in 0..bytes.len() {
            let early = parse(&bytes[..cut], longest);
            prop_assert!(early == Parsed::NeedMore || early == decided, "{cut}: {early:?}, then {decided:?}");
        }
        if let Parsed::Header { length, .. } = decided {
            prop_assert!(length <= bytes.len() && length <= longest);
            prop_assert_eq!(parse(&bytes[..length - 1], longest), Parsed::NeedMore);
        }
    }

    #[test]
    fn anything_is_answered(bytes in vec(any::<u8>(), 0..400), kind: u8) {
        parse(&bytes, LONGEST);
        let tlvs = Tlvs::of(&bytes);
        tlvs.first(kind);
        tlvs.ssl().and_then(|ssl| ssl.first(kind).map(<[u8]>::len));
        tlvs.aws_vpce_id();
        tlvs.azure_link_id();
        tlvs.gcp_psc_connection_id();
    }

    #[test]
    fn the_oracle_reads_what_we_write(a in address(), b in address(), tlvs in tlvs(), sum: bool) {
        let (source, destination) = of_one_family(a, b);
        let bytes = binary::write(Some((source, destination)), pairs(&tlvs), sum);
        let read = v2::Header::try_from(&bytes[..]).unwrap();
        prop_assert_eq!(read.command, v2::Command::Proxy);
        prop_assert_eq!(read.protocol, v2::Protocol::Stream);
        prop_assert_eq!(read.addresses, v2::Addresses::from((source, destination)));
        let theirs: Vec<_> = read.tlvs().map(|tlv| tlv.unwrap()).collect();
        prop_assert!(pairs(&tlvs).eq(theirs.iter().take(tlvs.len()).map(|tlv| (tlv.kind, &*tlv.value))));
        prop_assert_eq!(theirs.len(), tlvs.len() + usize::from(sum));

        let line = text::write(Some((source, destination)));
        let read = v1::Header::try_from(&line[..]).unwrap();
        prop_assert_eq!(read.addresses, v1::Addresses::from((source, destination)));
    }

    #[test]
    fn we_read_what_the_oracle_writes(a in address(), b in address(), tlvs in tlvs()) {
        let (source, destination) = of_one_family(a, b);
        let command = v2::Version::Two | v2::Command::Proxy;
        let mut builder = v2::Builder::with_addresses(command, v2::Protocol::Stream, (source, destination));
        for (kind, value) in &tlvs {
            builder = builder.write_tlv(*kind, value).unwrap();
        }
        let bytes = builder.build().unwrap();
        let Parsed::Header { header, length } = parse(&bytes, LONGEST) else { panic!() };
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(header.ends, Ends::Tcp { source, destination });
        prop_assert!(header.tlvs.each().eq(pairs(&tlvs)));

        let line = v1::Addresses::from((source, destination)).to_string();
        prop_assert_eq!(parse(line.as_bytes(), LONGEST), whole(Ends::Tcp { source, destination }, b"", line.len()));
    }

    /// It does not verify checksums, does not read TLVs until it is asked, knows fewer families, and refuses a LOCAL whose
    /// addresses are cut off.
    #[test]
    fn the_oracle_takes_what_we_take_of_version_2(bytes in nearly_a_header()) {
        let theirs = v2::Header::try_from(&bytes[..]);
        match parse(&bytes, usize::MAX) {
            Parsed::NeedMore => prop_assert!(theirs.is_incomplete() || may_be_text(&bytes) || theirs.as_ref().is_err_and(stretched)),
            Parsed::Header { header, length } if bytes.starts_with(binary::SIGNATURE) => match theirs {
                Ok(theirs) => {
                    prop_assert_eq!(length, theirs.len());
                    let proxied = theirs.command == v2::Command::Proxy && theirs.protocol == v2::Protocol::Stream;
                    let ends = match theirs.addresses {
                        v2::Addresses::IPv4(ip) if proxied => Ends::Tcp {
                            source: (ip.source_address, ip.source_port).into(),
                            destination: (ip.destination_address, ip.destination_port).into(),
                        },
                        v2::Addresses::IPv6(ip) if proxied => Ends::Tcp {
                            source: (ip.source_address, ip.source_port).into(),
                            destination: (ip.destination_address, ip.destination_port).into(),
                        },
                        v2::Addresses::Unix(_) if proxied => Ends::Unix,
                        _ => Ends::OfTheSockets,
                    };
                    prop_assert_eq!(header.ends, ends);
                }
                Err(error) => prop_assert!(stretched(&error) && header.ends == Ends::OfTheSockets),
            },
            Parsed::Header { .. } | Parsed::Absent => prop_assert_eq!(theirs, Err(v2::ParseError::Prefix)),
            Parsed::Bad(_) if !bytes.starts_with(binary::SIGNATURE) => {
                prop_assert_eq!(theirs, Err(v2::ParseError::Prefix));
            }
            Parsed::Bad(reason) => match theirs {
                Ok(theirs) => {
                    let cut_off = theirs.tlvs().any(|tlv| tlv.is_err());
                    prop_assert!(cut_off || reason.contains("checksum"), "{reason}");
                }
                Err(error) => prop_assert_ne!(error, v2::ParseError::Prefix),
            },
        }
    }

    /// It takes a sign before a port, and no more than four spaces behind UNKNOWN.
    #[test]
    fn the_oracle_takes_what_we_take_of_version_1(bytes in nearly_a_line()) {
        // It is given the line alone: what is behind it need not be text.
        let end = bytes.iter().position(|byte| *byte == b'\r').map_or(bytes.len(), |cr| bytes.len().min(cr + 2));
        let theirs = v1::Header::try_from(&bytes[..end]);
        match parse(&bytes, LONGEST) {
            Parsed::Header { header, length } => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(length, theirs.header.len());
                let ends = match theirs.addresses {
                    v1::Addresses::Tcp4(ip) => Ends::Tcp {
                        source: (ip.source_address, ip.source_port).into(),
                        destination: (ip.destination_address, ip.destination_port).into(),
                    },
                    v1::Addresses::Tcp6(ip) => Ends::Tcp {
                        source: (ip.source_address, ip.source_port).into(),
                        destination: (ip.destination_address, ip.destination_port).into(),
                    },
                    v1::Addresses::Unknown => Ends::OfTheSockets,
                };
                prop_assert_eq!(header.ends, ends);
            }
            // It takes a space before LF as well.
            _ => prop_assert!(theirs.is_err() || !bytes[..end].ends_with(b"\r\n"), "{theirs:?}"),
        }
    }
}

fn may_be_text(bytes: &[u8]) -> bool {
    bytes.starts_with(&text::SIGNATURE[..text::SIGNATURE.len().min(bytes.len())])
}

/// What it refuses and we, as the specification says or as HAProxy does, take for a connection of which nothing is known.
fn stretched(error: &v2::ParseError) -> bool {
    use v2::ParseError::{AddressFamily, InvalidAddresses, Protocol};
    matches!(error, AddressFamily(_) | Protocol(_) | InvalidAddresses(..))
}

#[test]
fn what_is_said_of_tls_that_is_decrypted_here_is_understood() {
    let inner: [(u8, &[u8]); 2] = [(tlv::SSL_VERSION, b"TLSv1.3"), (tlv::SSL_CN, b"alice")];
    for with_certificate in [true, false] {
        let value = tlv::write_ssl(with_certificate, inner.into_iter());
        let tlvs = Tlvs::of_values([(tlv::SSL, &value[..])]);
        let ssl = tlvs.ssl().unwrap();
        assert!(ssl.is_used());
        assert_eq!(ssl.is_verified(), with_certificate);
        assert_eq!(ssl.first(tlv::SSL_VERSION), Some(&b"TLSv1.3"[..]));
        assert_eq!(ssl.first(tlv::SSL_CN), Some(&b"alice"[..]));
    }
}

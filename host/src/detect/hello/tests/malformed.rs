//! What cannot be a hello, and what is said of it.

use super::{Draft, LIMITS, after_u8, after_u16, in_one_record, in_records, message, read};
use crate::detect::{HelloReader, Reading};

fn sni(list: &[u8]) -> Reading {
    Draft::new().with(0, after_u16(list)).read()
}

fn host(name: &[u8]) -> Vec<u8> {
    [&[0][..], &after_u16(name)].concat()
}

#[test]
fn what_begins_otherwise_is_not_tls() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x14\x03\x01\x00\x01\x01",
        b"\x17\x03\x03\x00\x01\x00",
        b"\x16\x02",
        b"\x16\xfe\xff",
        b"\x16\x03\x05",
        // SSL 2.0, of a client that would speak TLS 1.0.
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    ] {
        assert_eq!(read(bytes), Reading::NotTls, "{bytes:x?}");
        assert_eq!(read(&bytes[..1]) == Reading::NotTls, bytes[0] != 22, "{bytes:x?}");
    }
}

#[test]
fn each_wrong_record_gets_its_reason() {
    let message = Draft::new().message();
    let then = |second: &[u8]| [&in_one_record(&message[..9]), second].concat();
    for (stream, reason) in [
        (b"\x16\x03\x01\x00\x00".to_vec(), "a record of the handshake is empty"),
        (b"\x16\x03\x01\x40\x01".to_vec(), "a record is longer than 16 KiB"),
        (
            b"\x16\x03\x01\x00\x01\x02".to_vec(),
            "the first message is not a ClientHello",
        ),
        (
            b"\x16\x03\x01\x00\x04\x00".to_vec(),
            "the first message is not a ClientHello",
        ),
        (then(b"\x16\x03\x01\x00\x00"), "a record of the handshake is empty"),
        (then(b"\x16\x03\x03\xff\xff"), "a record is longer than 16 KiB"),
        (then(b"\x16\x02"), "a record has no version of TLS"),
        (then(b"\x16\x03\x05"), "a record has no version of TLS"),
        (then(b"\x15"), "another record comes before the hello is whole"),
        (then(b"\x14"), "another record comes before the hello is whole"),
        (then(b"\x17"), "another record comes before the hello is whole"),
    ] {
        assert_eq!(read(&stream), Reading::Malformed(reason), "{stream:x?}");
        assert_eq!(read(&stream[..stream.len() - 1]), Reading::NeedMore, "{stream:x?}");
    }
}

#[test]
fn each_wrong_message_gets_its_reason() {
    let start = [&[3, 3][..], &[5; 32]].concat();
    let long = [33; 34];
    // No session, a cipher suite, a compression method.
    let until_extensions = b"\0\0\x02\x13\x01\x01\0";
    assert_eq!(
        read(&in_one_record(&message(&start[..1]))),
        Reading::Malformed("its version is cut off")
    );
    assert_eq!(
        read(&in_one_record(&message(&start[..33]))),
        Reading::Malformed("its random is cut off")
    );
    for (rest, reason) in [
        (&b""[..], "its session id is cut off"),
        (b"\x20\x07", "its session id is cut off"),
        (&long, "its session id is longer than 32 bytes"),
        (b"\0\0", "its cipher suites are cut off"),
        (b"\0\0\x02\x13", "its cipher suites are cut off"),
        (b"\0\0\0\x01\0", "its cipher suites are none, or half ones"),
        (b"\0\0\x03\x13\x01\x13", "its cipher suites are none, or half ones"),
        (b"\0\0\x02\x13\x01", "its compression methods are cut off"),
        (b"\0\0\x02\x13\x01\x02\0", "its compression methods are cut off"),
        (b"\0\0\x02\x13\x01\0", "it has no compression method"),
    ] {
        let body = [&start[..], rest].concat();
        assert_eq!(
            read(&in_one_record(&message(&body))),
            Reading::Malformed(reason),
            "{rest:x?}"
        );
    }
    for (rest, reason) in [
        (&b"\0"[..], "its extensions are cut off"),
        (b"\0\x01", "its extensions are cut off"),
        (b"\0\0\0", "something follows its extensions"),
        (b"\0\x03\0\x63\0", "an extension is cut off"),
        (b"\0\x05\0\x63\0\x02\x07", "an extension is cut off"),
        (b"\0\x08\0\x63\0\0\0\x63\0\0", "an extension comes twice"),
        (b"\0\x0c\0\x63\0\0\0\x64\0\0\0\x63\0\0", "an extension comes twice"),
        // GREASE is no exception.
        (b"\0\x09\x0a\x0a\0\x01\x07\x0a\x0a\0\0", "an extension comes twice"),
    ] {
        let body = [&start[..], until_extensions, rest].concat();
        assert_eq!(
            read(&in_one_record(&message(&body))),
            Reading::Malformed(reason),
            "{rest:x?}"
        );
    }
}

#[test]
fn each_wrong_extension_gets_its_reason() {
    for (kind, data, reason) in [
        (0, &b""[..], "its server name's length is wrong"),
        (0, b"\0", "its server name's length is wrong"),
        (0, b"\0\0", "its server name's length is wrong"),
        (0, b"\0\x05\0\0\x01a", "its server name's length is wrong"),
        (0, b"\0\x04\0\0\x01a\0", "its server name's length is wrong"),
        (0, b"\0\x01\0", "its server name is cut off"),
        (0, b"\0\x04\0\0\x02a", "its server name is cut off"),
        (16, b"", "its ALPN's length is wrong"),
        (16, b"\0\0", "its ALPN's length is wrong"),
        (16, b"\0\x03\x02h2h2", "its ALPN's length is wrong"),
        (16, b"\0\x02\x02h", "its ALPN is cut off"),
        (16, b"\0\x01\0", "its ALPN has an empty name"),
        (16, b"\0\x04\x02h2\0", "its ALPN has an empty name"),
        (13, b"", "its signature algorithms' length is wrong"),
        (13, b"\0\0", "its signature algorithms' length is wrong"),
        (13, b"\0\x03\x04\x03\x08", "its signature algorithms' length is wrong"),
        (13, b"\0\x02\x04\x03\x08", "its signature algorithms' length is wrong"),
        (43, b"", "its versions' length is wrong"),
        (43, b"\0", "its versions' length is wrong"),
        (43, b"\x01\x03", "its versions' length is wrong"),
        (43, b"\x02\x03\x04\x03", "its versions' length is wrong"),
        (43, b"\x04\x03\x04", "its versions' length is wrong"),
    ] {
        let bytes = in_one_record(&Draft::new().with(kind, data).message());
        for with_ja4 in [false, true] {
            let reading = HelloReader::new(LIMITS, with_ja4).read(&bytes);
            assert_eq!(reading, Reading::Malformed(reason), "{kind}: {data:x?}");
        }
    }
}

#[test]
fn a_server_name_that_is_none_is_not_passed_over() {
    const NONE: &str = "its server name cannot be the name of a host";
    let long = [b'a'; 64];
    for name in [
        &b"192.0.2.1"[..],
        b"2001:db8::1",
        b"a.example\0",
        b"a\0.evil.example",
        b"a b.example",
        b"a..example",
        b".",
        b"*.example",
        "bücher.example".as_bytes(),
        &long,
        &[&long[1..], &long[1..], &long[1..], &long[1..]].join(&b'.'),
    ] {
        assert_eq!(sni(&host(name)), Reading::Malformed(NONE), "{name:x?}");
    }
    assert_eq!(sni(&host(b"")), Reading::Malformed("its server name is empty"));
    for second in [&b"b.example"[..], b"a.example"] {
        let two = [host(b"a.example"), host(second)].concat();
        assert_eq!(sni(&two), Reading::Malformed("it names two hosts"));
    }
}

#[test]
fn the_same_is_said_of_a_wrong_message_in_many_records() {
    let message = Draft::new().with(16, after_u8(b"h2")).message();
    assert_eq!(read(&in_records(&message, |_| 1)), read(&in_one_record(&message)));
    assert!(matches!(read(&in_one_record(&message)), Reading::Malformed(_)));
}

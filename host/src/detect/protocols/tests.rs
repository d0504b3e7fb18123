//! First messages as programs send them, and what looks like them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Answer, begins, greets};
use crate::detect::laws::answers_stand;
use crate::protocol::Protocol;

use Protocol::{Http1, Http2, Mqtt, Mysql, Postgres, Proxy, Redis, Smtp, Socks, Ssh, Tls};

/// What clients send first, and how many bytes of it say what it is.
const CLIENTS: &[(Protocol, &[u8], usize)] = &[
    (Tls, include_bytes!("../hello/corpus/curl-h2.bin"), 6),
    (Tls, include_bytes!("../hello/corpus/chromium.bin"), 6),
    (Tls, include_bytes!("../hello/corpus/openssl-tls1_0.bin"), 6),
    (
        Http1,
        b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
        5,
    ),
    (Http1, b"HEAD /index.html HTTP/1.0\r\n\r\n", 6),
    (
        Http1,
        b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        6,
    ),
    (Http1, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 17),
    (
        Http1,
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        29,
    ),
    (Http1, b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 29),
    (Http1, b"PROPFIND /dav/ HTTP/1.1\r\nHost: a\r\nDepth: 1\r\n\r\n", 22),
    (Http1, b"M-SEARCH /x HTTP/1.1\r\n\r\n", 19),
    (Http1, b"PRI * HTTP/1.1\r\n\r\n", 13),
    (
        Http2,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        24,
    ),
    (Ssh, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", 8),
    (Ssh, b"SSH-2.0-PuTTY_Release_0.78\r\n", 8),
    (Ssh, b"SSH-1.99-Cisco-1.25\n", 9),
    // psql: SSLRequest, GSSENCRequest, a startup of 3.0, one of 3.2, a cancellation of 3.0.
    (Postgres, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", 8),
    (Postgres, b"\x00\x00\x00\x08\x04\xd2\x16\x30", 8),
    (
        Postgres,
        b"\x00\x00\x00\x20\x00\x03\x00\x00user\x00ada\x00database\x00shop\x00\x00",
        8,
    ),
    (Postgres, b"\x00\x00\x00\x12\x00\x03\x00\x02user\x00ada\x00\x00", 8),
    (
        Postgres,
        b"\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x04\xd2\x12\x34\x56\x78",
        8,
    ),
    (Redis, b"*1\r\n$4\r\nPING\r\n", 8),
    (Redis, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", 8),
    (Redis, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", 8),
    (Redis, b"*1000000\r\n$10\r\nSUNIONSTOR", 15),
    (Redis, b"PING\r\n", 6),
    // mosquitto_pub with 3.1.1, 5 and 3.1; one whose password takes two bytes of length.
    (Mqtt, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 8),
    (Mqtt, b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x14\x00\x00", 8),
    (Mqtt, b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02ab", 10),
    (Mqtt, b"\x10\x8c\x02\x00\x04MQTT\x04\xc2\x00\x3c", 9),
    // curl: --socks5, with a password too, --socks4, --socks4a.
    (Socks, b"\x05\x01\x00", 3),
    (Socks, b"\x05\x03\x00\x01\x02", 5),
    (Socks, b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00", 9),
    (Socks, b"\x04\x01\x01\xbb\x00\x00\x00\x01ada\x00a.example\x00", 12),
    (
        Proxy,
        b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 443\r\nGET / HTTP/1.1\r\n",
        6,
    ),
    (Proxy, b"PROXY UNKNOWN HTTP/1.1\r\n", 6),
    (Proxy, b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", 12),
];

/// What servers send first.
const SERVERS: &[(Protocol, &[u8])] = &[
    (
        Mysql,
        b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15\
          \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\x00caching_sha2_password\x00",
    ),
    (
        Mysql,
        b"\x6d\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\x00\x21\x00\x00\x00abcdefgh\x00\xfe\xf7\x2d\x02\x00\xff\x81\x15",
    ),
    (Mysql, b"\x17\x00\x00\x00\xff\x10\x04Too many connections"),
    (Mysql, b"\x1d\x00\x00\x00\xff\x10\x04#08004Too many connections"),
    (Mysql, b"\x45\x00\x00\x00\xff\x6a\x04Host '192.0.2.1' is not allowed to connect to this MySQL server"),
    (Smtp, b"220 mail.example ESMTP Postfix (Debian/GNU)\r\n"),
    (Smtp, b"220 mx.google.com ESMTP a1-20020a - gsmtp\r\n"),
    (Smtp, b"220-mail.example ESMTP Exim 4.96 Sun, 22 Nov 2026 12:00:00 +0000\r\n220 no bulk mail\r\n"),
    (Smtp, b"220 mail.example Microsoft ESMTP MAIL Service ready\r\n"),
    (Smtp, b"220 mail.example Simple Mail Transfer Service (smtp) ready\r\n"),
    (Smtp, b"554 mail.example no SMTP service here\r\n"),
    (Ssh, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
];

/// What is like something, and is none of ours.
const OTHERS: &[&[u8]] = &[
    // TLS: an alert, application data, DTLS, SSL 2.0, another message, an empty record, one that is too long.
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x17\x03\x03\x00\x10\x00",
    b"\x16\xfe\xfd\x00\x00\x00",
    b"\x80\x2e\x01\x03\x01\x00\x15",
    b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    b"\x16\x03\x01\x00\x00\x01",
    b"\x16\x03\x01\x40\x01\x01",
    // HTTP: no method, no target, no version, another protocol, letters that nobody sends.
    b" / HTTP/1.1\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET\r\n",
    b"GET *\r\n",
    b"get / HTTP/1.1\r\n",
    b"\r\nGET / HTTP/1.1\r\n",
    b"DESCRIBE rtsp://a.example/b RTSP/1.0\r\n",
    b"OPTIONS rtsp://a.example/b RTSP/1.0\r\n",
    b"OPTIONS sip:ada@a.example SIP/2.0\r\n",
    b"REGISTER sip:a.example SIP/2.0\r\n",
    b"CONNECT a:443 HTTP/2\r\n",
    b"THISMETHODISLONGERTHANTHIRTYTWOLETTERS / HTTP/1.1\r\n",
    b"PRI * HTTP/3",
    b"PRI * HTTP/2.0\r\n\r\nXX",
    b"SSH-1.5-old\n",
    b"SSH-3.0-new\r\n",
    // PostgreSQL: version 2, lengths that cannot be.
    b"\x00\x00\x01\x28\x00\x02\x00\x00",
    b"\x00\x00\x00\x08\x00\x03\x00\x00",
    b"\x00\x00\x00\x09\x04\xd2\x16\x2f",
    b"\x00\x00\x27\x11\x00\x03\x00\x00",
    b"\x00\x01\x00\x08\x04\xd2\x16\x2f",
    b"\x00\x00\x00\x07\x00\x03\x00\x00",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2e",
    // Redis: nothing in the array, other types, the plain command of something else.
    b"*0\r\n",
    b"*-1\r\n",
    b"*1\r\n:4\r\n",
    b"*1\n$4\n",
    b"*1\r\n$0\r\n\r\n",
    b"*1111111111\r\n",
    b"PING a\r\n",
    b"+OK\r\n",
    // MQTT: another packet, another name, a length that cannot be.
    b"\x30\x0c\x00\x04MQTT",
    b"\x10\x0c\x00\x04AMQP",
    b"\x10\x0b\x00\x04MQTT",
    b"\x10\x0d\x00\x06MQIsdp",
    b"\x10\xff\xff\xff\xff\x01\x00\x04MQTT",
    // SOCKS: no method, one that nobody may offer, another command, a name that does not end.
    b"\x05\x00",
    b"\x05\x01\xff",
    b"\x05\x02\x00\x41",
    b"\x04\x03\x00\x50",
    b"\x04\x01\x00\x50\xc0\x00\x02\x01a\n",
    b"PROXYTCP4",
    b"\r\n\r\n\x00\r\nQUIT\r\n",
    // Others altogether: RDP, SMB, AMQP, MongoDB, Kafka, memcached.
    b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
    b"\x00\x00\x00\x45\xffSMB",
    b"AMQP\x00\x00\x09\x01",
    b"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00",
    b"\x00\x00\x00\x23\x00\x12\x00\x03\x00\x00\x00\x01",
    b"get a\r\n",
];

#[test]
fn clients_are_known_by_their_first_bytes_and_by_no_fewer() {
    for (speaks, bytes, needed) in CLIENTS {
        for end in 0..=bytes.len() {
            let expected = match end < *needed {
                true => Answer::NeedMore,
                false => Answer::Yes,
            };
            assert_eq!(
                begins(*speaks, &bytes[..end]),
                expected,
                "{speaks}: {:?}",
                bytes[..end].escape_ascii().to_string()
            );
        }
        for other in Protocol::ALL.iter().filter(|other| *other != speaks) {
            assert_eq!(begins(*other, bytes), Answer::No, "{other}: {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn what_is_like_them_is_none_of_them() {
    for bytes in OTHERS {
        for protocol in Protocol::ALL {
            assert_eq!(
                begins(*protocol, bytes),
                Answer::No,
                "{protocol}: {}",
                bytes.escape_ascii()
            );
        }
    }
}

#[test]
fn a_request_line_that_does_not_end_is_none() {
    let line = |length: usize| [b"PROPFIND /", &*vec![b'a'; length], b" HTTP/1.1\r\n"].concat();
    assert_eq!(begins(Http1, &line(8 << 10)), Answer::Yes);
    assert_eq!(begins(Http1, &line((8 << 10) + 1)), Answer::No);
    // Of a common one nobody has to wait for the end.
    assert_eq!(begins(Http1, &[b"GET /", &*vec![b'a'; 60 << 10]].concat()), Answer::Yes);
}

#[test]
fn nothing_is_known_of_nobody() {
    for protocol in Protocol::ALL {
        let expected = match protocol.is_server_first() {
            true => Answer::No,
            false => Answer::NeedMore,
        };
        assert_eq!(begins(*protocol, b""), expected, "{protocol}");
    }
    assert_eq!(greets(b""), None);
}

#[test]
fn servers_are_known_by_their_greetings() {
    for (speaks, bytes) in SERVERS {
        assert_eq!(greets(bytes), Some(*speaks), "{}", bytes.escape_ascii());
    }
    for bytes in [
        // FTP, POP3, IMAP, NNTP, VNC, a reply of another kind, and one of MySQL to something that was asked.
        &b"220 ProFTPD Server (Debian) [192.0.2.1]\r\n"[..],
        b"220 (vsFTPd 3.0.3)\r\n",
        b"+OK Dovecot ready.\r\n",
        b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
        b"200 news.example ready\r\n",
        b"RFB 003.008\n",
        b"250 mail.example ESMTP\r\n",
        b"2200 ESMTP\r\n",
        b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00",
        b"\x4a\x00\x00\x00\x098.0.36\x00",
        b"\x04\x00\x00\x00\x0a8.0",
        b"\x17\x00\x00\x00\xff\x01\x00Too many connections",
    ] {
        assert_eq!(greets(bytes), None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn no_greeting_is_a_client_s() {
    for (speaks, bytes) in SERVERS.iter().filter(|(speaks, _)| *speaks != Ssh) {
        for protocol in Protocol::ALL {
            assert_eq!(begins(*protocol, bytes), Answer::No, "{protocol}: {speaks}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn answers_stand_whatever_follows(
        (_, bytes, _) in select(CLIENTS),
        changes in vec((any::<Index>(), any::<u8>()), 0..3),
        more in vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = bytes[..bytes.len().min(200)].to_vec();
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        bytes.extend(more);
        answers_stand(&bytes);
    }

    #[test]
    fn greetings_stand_whatever_follows(
        (_, bytes) in select(SERVERS),
        change in any::<(Index, u8)>(),
        more in vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = [bytes, &more[..]].concat();
        *change.0.get_mut(&mut bytes) = change.1;
        answers_stand(&bytes);
    }
}

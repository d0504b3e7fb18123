//! What real clients send: `corpus/README.md` says which, and how to ask them again.

use super::{Reading, hello, in_records, read};
use crate::detect::Hello;
use crate::detect::laws::read_in_steps;

macro_rules! hellos {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../corpus/", $name, ".bin")))),*]
    };
}

pub(super) const HELLOS: &[(&str, &[u8])] = hellos! {
    "openssl-default" "openssl-sni-alpn" "openssl-tls1_2" "openssl-tls1_0" "curl-h2" "python-ssl" "go-crypto-tls"
    "chromium" "firefox"
};

/// Of a stream of records.
pub(super) fn message_of(mut stream: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = stream {
        let (payload, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(payload);
        stream = rest;
    }
    message
}

fn of(name: &str) -> Hello {
    let (_, stream) = HELLOS.iter().find(|(known, _)| *known == name).unwrap();
    hello(read(stream))
}

#[test]
fn clients_say_what_they_were_told_to_say() {
    const NAMED: Option<&str> = Some("hello.example");
    const BOTH: &[&str] = &["h2", "http/1.1"];
    for (client, name, alpn, version, has_ech) in [
        ("openssl-default", None, &[][..], 0x0304, false),
        ("openssl-sni-alpn", NAMED, BOTH, 0x0304, false),
        ("openssl-tls1_2", NAMED, &[], 0x0303, false),
        ("openssl-tls1_0", NAMED, &[], 0x0301, false),
        ("curl-h2", NAMED, BOTH, 0x0304, false),
        ("python-ssl", NAMED, &["imap"], 0x0304, false),
        ("go-crypto-tls", NAMED, BOTH, 0x0304, false),
        ("chromium", NAMED, BOTH, 0x0304, true),
        ("firefox", NAMED, BOTH, 0x0304, true),
    ] {
        let hello = of(client);
        assert_eq!(hello.server_name.as_deref(), name, "{client}");
        assert_eq!(hello.alpn, alpn, "{client}");
        assert_eq!((hello.version, hello.has_ech), (version, has_ech), "{client}");
    }
}

/// Made once by other means, of the fields that tshark 4.0 reads in these files; of Firefox without the algorithms of
/// delegated credentials, which tshark lists with the others. That of Chromium is the one that FoxIO has for Chrome
/// (`sigalg-grease.pcapng`).
#[test]
fn clients_have_the_fingerprints_that_others_compute() {
    for (client, ja4) in [
        ("openssl-default", "t13i310900_e8f1e7e78f70_1f22a2ca17c4"),
        ("openssl-sni-alpn", "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4"),
        ("openssl-tls1_2", "t12d280700_d943125447b4_e7e480e5a997"),
        ("openssl-tls1_0", "t10d230600_44099cda8a52_195413a0cc0f"),
        ("curl-h2", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"),
        ("python-ssl", "t13d1812ip_85036bcba153_d41ae481755e"),
        ("go-crypto-tls", "t13d1910h2_9dc949149365_97f8aa674fd9"),
        ("chromium", "t13d1517h2_8daaf6152771_cb7bf5808d99"),
        ("firefox", "t13d1617h2_86a278354501_3cbfd9057e0d"),
    ] {
        assert_eq!(of(client).ja4.as_deref(), Some(ja4), "{client}");
    }
}

#[test]
fn a_hello_cut_at_every_byte_is_the_same() {
    for (client, stream) in HELLOS {
        let whole = read(stream);
        hello(whole.clone());
        for end in 0..stream.len() {
            assert_eq!(read(&stream[..end]), Reading::NeedMore, "{client}, {end} bytes");
        }
        assert_eq!(read_in_steps(stream, |_| 1), whole, "{client}");
    }
}

#[test]
fn a_hello_in_records_of_any_one_length_is_the_same() {
    for (client, stream) in HELLOS {
        let message = message_of(stream);
        // The default limit is 2048 records.
        for length in 1..=message.len() {
            let cut = in_records(&message, |_| length);
            assert_eq!(read(&cut), read(stream), "{client}, records of {length} bytes");
        }
    }
}

//! Against parsers that know nothing of ours: that of rustls, which is a server's, and that of `tls-parser`, which reads
//! whatever it can.
//!
//! They need not accept the same hellos. rustls refuses some because it could not go on with them, takes an address for a name
//! that was not given, and does not look at what follows a name in its list if that is of a kind that it does not know;
//! `tls-parser` does not mind duplicates, nor what follows the extensions. Where both accept, they have read the same.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tls_parser::{SNIType, TlsExtension, TlsExtensionType};

use super::corpus::{HELLOS, message_of};
use super::{Draft, after_u16, hello, in_one_record, in_records, message, read};
use crate::detect::hello::grease::{is_grease, is_grease_name};
use crate::detect::{Hello, Reading, normalised};

/// What rustls would send here and now, with a key share that alone has more than a segment.
fn of_rustls(host: &str, protocols: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let host = host.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
    let mut stream = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut stream).unwrap();
    }
    stream
}

/// The name and the protocols, where rustls accepts the hello.
fn read_by_rustls(stream: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    let mut rest = stream;
    loop {
        // It takes some kilobytes at once.
        acceptor.read_tls(&mut rest).ok()?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let protocols = hello.alpn().into_iter().flatten();
                return Some((
                    hello.server_name().map(str::to_owned),
                    protocols.map(<[u8]>::to_vec).collect(),
                ));
            }
            Ok(None) if !rest.is_empty() => {}
            _ => return None,
        }
    }
}

/// What is kept of the protocols that a client sent.
fn kept<'a>(protocols: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    protocols
        .into_iter()
        .filter(|name| !is_grease_name(name))
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect()
}

/// Whether rustls accepts it too.
fn agrees_with_rustls(stream: &[u8], ours: &Reading) -> bool {
    let Some((name, protocols)) = read_by_rustls(stream) else {
        return false;
    };
    match ours {
        Reading::Hello(ours) => {
            assert_eq!(
                ours.server_name,
                name.as_deref().and_then(|name| normalised(name.as_bytes()))
            );
            assert_eq!(ours.alpn, kept(protocols.iter().map(Vec::as_slice)));
        }
        // After a name, something of another kind whose length is wrong.
        Reading::Malformed("its server name is cut off") => {}
        refused => assert_eq!(name, None, "rustls would serve a name that we refuse: {refused:?}"),
    }
    true
}

/// Whether `tls-parser` accepts it too.
fn agrees_with_tls_parser(message: &[u8], ours: &Hello) -> bool {
    let Ok((_, theirs)) = tls_parser::parse_tls_handshake_client_hello(&message[4..]) else {
        return false;
    };
    let Ok((rest, extensions)) = tls_parser::parse_tls_client_hello_extensions(theirs.ext.unwrap_or_default()) else {
        return false;
    };
    if !rest.is_empty() {
        return false;
    }
    let (mut name, mut protocols, mut version) = (None, Vec::new(), None);
    for extension in &extensions {
        match extension {
            TlsExtension::SNI(names) => {
                name = names
                    .iter()
                    .find_map(|(kind, name)| (*kind == SNIType::HostName).then_some(*name));
            }
            TlsExtension::ALPN(names) => protocols.clone_from(names),
            TlsExtension::SupportedVersions(versions) => {
                version = versions
                    .iter()
                    .map(|version| version.0)
                    .filter(|version| !is_grease(*version))
                    .max();
            }
            _ => {}
        }
    }
    assert_eq!(ours.server_name, name.and_then(normalised));
    assert_eq!(ours.alpn, kept(protocols));
    assert_eq!(ours.version, version.unwrap_or(theirs.version.0));
    let count = |all: usize| format!("{:02}", all.min(99));
    let kinds = extensions.iter().map(|extension| match extension {
        // 0x1a2a is one to `tls-parser`, and none to RFC 8701.
        TlsExtension::Grease(kind, _) => *kind,
        other => TlsExtensionType::from(other).0,
    });
    let ciphers = theirs.ciphers.iter().filter(|cipher| !is_grease(cipher.0)).count();
    let ja4 = ours.ja4.as_ref().unwrap();
    assert_eq!(&ja4[4..6], count(ciphers));
    assert_eq!(&ja4[6..8], count(kinds.filter(|kind| !is_grease(*kind)).count()));
    true
}

#[test]
fn the_hello_of_rustls_is_read_whole_and_cut() {
    let stream = of_rustls("Rustls.example", &[b"h2", b"http/1.1"]);
    assert!(stream.len() > 1400, "one that is longer than a segment");
    let whole = read(&stream);
    for end in 0..stream.len() {
        assert_eq!(read(&stream[..end]), Reading::NeedMore);
    }
    let hello = hello(whole.clone());
    assert_eq!(hello.server_name.as_deref(), Some("rustls.example"));
    assert_eq!(hello.alpn, ["h2", "http/1.1"]);
    assert_eq!(hello.version, 0x0304);
    assert!(agrees_with_rustls(&stream, &whole));
    // An address is not sent.
    let stream = of_rustls("192.0.2.1", &[]);
    assert_eq!(self::hello(read(&stream)).server_name, None);
}

#[test]
fn others_read_the_same_in_the_hellos_of_real_clients() {
    for (client, stream) in HELLOS {
        let ours = hello(read(stream));
        assert!(agrees_with_tls_parser(&message_of(stream), &ours), "{client}");
        let accepts = agrees_with_rustls(stream, &read(stream));
        assert_eq!(accepts, ours.version >= 0x0303, "{client}: rustls speaks no TLS 1.0");
    }
}

/// rustls says that no name was given; a server that would go by it cannot be known.
#[test]
fn an_address_is_refused_where_rustls_passes_it_over() {
    let stream = in_one_record(&message_for_rustls(&host_name(b"192.0.2.1"), &[b"h2"]));
    assert_eq!(read_by_rustls(&stream), Some((None, vec![b"h2".to_vec()])));
    assert!(matches!(read(&stream), Reading::Malformed(_)));
}

/// RFC 6066 gives a name of any kind a length, so that it can be passed over. rustls passes over all the rest.
#[test]
fn a_broken_list_of_names_is_refused_where_rustls_takes_its_first() {
    let names = [&host_name(b"a.example"), &b"\x09\xff\xffb"[..]].concat();
    let stream = in_one_record(&message_for_rustls(&names, &[]));
    assert_eq!(
        read_by_rustls(&stream),
        Some((Some("a.example".to_owned()), Vec::new()))
    );
    assert_eq!(read(&stream), Reading::Malformed("its server name is cut off"));
}

fn host_name(host: &[u8]) -> Vec<u8> {
    [&[0][..], &after_u16(host)].concat()
}

/// With what rustls wants of every hello. No protocols are no extension.
fn message_for_rustls(names: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
    let algorithms = [0, 2, 4, 3];
    let groups = [0, 2, 0, 0x1d];
    let draft = Draft::new()
        .with(0, after_u16(names))
        .with(13, algorithms)
        .with(10, groups);
    let draft = draft.of_versions(&[0x0303]);
    match protocols {
        [] => draft.message(),
        _ => draft.offering(protocols).message(),
    }
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), any::<u8>()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn others_read_the_same_where_bytes_were_changed((_, stream) in select(HELLOS), changes in changes()) {
        let mut changed = message_of(stream).split_off(4);
        for (at, byte) in changes {
            *at.get_mut(&mut changed) = byte;
        }
        let changed = message(&changed);
        let stream = in_one_record(&changed);
        let ours = read(&stream);
        agrees_with_rustls(&stream, &ours);
        if let Reading::Hello(ours) = &ours {
            agrees_with_tls_parser(&changed, ours);
        }
    }

    #[test]
    fn others_read_the_same_names(
        host in "[a-zA-Z0-9._\u{0}-\u{ff}-]{1,20}|[a-zA-Z0-9-]{1,63}(\\.[a-z0-9-]{1,20}){0,9}\\.?",
        protocols in vec(vec(any::<u8>(), 1..9), 1..9),
        record in 1usize..400,
    ) {
        let protocols: Vec<&[u8]> = protocols.iter().map(Vec::as_slice).collect();
        let message = message_for_rustls(&host_name(host.as_bytes()), &protocols);
        let stream = in_records(&message, |_| record);
        let ours = read(&stream);
        agrees_with_rustls(&stream, &ours);
        if let Reading::Hello(ours) = &ours {
            prop_assert!(agrees_with_tls_parser(&message, ours));
        }
    }
}

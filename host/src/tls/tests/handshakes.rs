//! Who gets a session, and who does not.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, ServerConnection, SignatureScheme, StreamOwned,
};

use super::owned::{Failed, Session, accept, connect};
use super::peers::*;
use crate::config::{Pattern, TlsVersion};
use crate::filter::{Attributes, Value};
use crate::tls::handshake::HandshakeError;
use crate::tls::{Originator, Terminator, unrecognized_name};

fn text(session: &Session, key: &str) -> Option<String> {
    match session.established().attribute(key) {
        Some(Value::Text(text)) => Some(text),
        None => None,
        Some(other) => panic!("{key} is {other:?}"),
    }
}

/// The name in the certificate that a client got.
fn shown(client: &Client) -> String {
    let certificate = &client.conn.peer_certificates().unwrap()[0];
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    names[0].to_string()
}

fn tls(failed: Result<Session, Failed>) -> rustls::Error {
    match failed.map(|_| "a session") {
        Err(Failed {
            error: HandshakeError::Tls(error),
            ..
        }) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_versions_say_what_was_settled() {
    let mut site = Site::new();
    site.config.alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
    for (mut config, version, group) in [
        (site.client(), "TLSv1.3", "X25519MLKEM768"),
        (old_client(&site.authority), "TLSv1.2", "X25519"),
    ] {
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let (session, peer) = accepted_as(site.server(), &config, "A.example", greet).await;
        let (session, client) = (session.unwrap(), peer.join().unwrap());
        let established = session.established();
        assert_eq!(established.version(), version);
        assert_eq!(established.sni(), Some("a.example"));
        assert_eq!(established.alpn(), Some("h2"), "in our order");
        assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
        assert!(established.cipher().starts_with("TLS_"), "{established:?}");
        assert_eq!(established.group(), Some(group));
        assert!(!established.is_resumed());
        assert_eq!(text(&session, "tls.version").as_deref(), Some(version));
        assert_eq!(text(&session, "tls.sni").as_deref(), Some("a.example"));
        assert_eq!(established.attribute("tls.resumed"), Some(Value::Boolean(false)));
        for absent in [
            "tls.client.subject",
            "tls.client.certificate",
            "tls.other",
            "other",
            "tls.client",
        ] {
            assert_eq!(established.attribute(absent), None);
        }
    }
}

#[tokio::test]
async fn a_client_may_be_too_old() {
    let mut site = Site::new();
    site.config.min_version = TlsVersion::V1_3;
    let (session, peer) = accepted(site.server(), &old_client(&site.authority), |mut client| {
        client.read_to_end(&mut Vec::new()).unwrap_err();
    })
    .await;
    let error = tls(session);
    assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error:?}");
    peer.join().unwrap();
}

#[tokio::test]
async fn a_hello_in_any_pieces_is_answered_however_much_was_read_before() {
    let site = Site::new();
    let server = site.server();
    for seen in [0, 1, 5, 100, usize::MAX] {
        let (mut peer, ours) = pair();
        peer.set_nodelay(true).unwrap();
        let mut client = client_on(peer.try_clone().unwrap(), &site.client(), "a.example");
        let mut hello = Vec::new();
        client.conn.write_tls(&mut hello).unwrap();
        let rest = hello.split_off(seen.min(hello.len()));
        let peer = thread::spawn(move || {
            for byte in rest {
                peer.write_all(&[byte]).unwrap();
            }
            client.write_all(b"hello").unwrap();
            client
        });
        let session = accept(ours, hello, Arc::clone(&server)).await.unwrap();
        assert_eq!(receive(&session, 10).await.unwrap(), b"hello", "{seen}");
        drop(peer.join().unwrap());
    }
}

#[tokio::test]
async fn a_hello_in_records_of_one_byte_is_answered() {
    let site = Site::new();
    let (mut peer, ours) = pair();
    let mut client = client_on(peer.try_clone().unwrap(), &site.client(), "a.example");
    let mut hello = Vec::new();
    client.conn.write_tls(&mut hello).unwrap();
    let pieces: Vec<_> = hello[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let peer = thread::spawn(move || {
        peer.write_all(&pieces).unwrap();
        client.write_all(b"hello").unwrap();
        client
    });
    let session = accept(ours, Vec::new(), site.server()).await.unwrap();
    assert_eq!(receive(&session, 10).await.unwrap(), b"hello");
    drop(peer.join().unwrap());
}

/// What a peer is told that says `bytes`, and why.
async fn told(site: &Site, bytes: Vec<u8>) -> (Vec<u8>, HandshakeError) {
    let (mut peer, ours) = pair();
    let peer = thread::spawn(move || {
        peer.write_all(&bytes).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut told = Vec::new();
        peer.read_to_end(&mut told).unwrap();
        told
    });
    let Err(Failed { socket, error }) = accept(ours, Vec::new(), site.server()).await else {
        panic!("a session");
    };
    drop(socket);
    (peer.join().unwrap(), error)
}

#[tokio::test]
async fn what_is_no_hello_gets_an_alert() {
    let site = Site::new();
    let (alert, error) = told(&site, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec()).await;
    // decode_error is 50.
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 50]);
    assert!(
        matches!(error, HandshakeError::Tls(rustls::Error::InvalidMessage(_))),
        "{error}"
    );
    assert_eq!(error.to_string(), "received corrupt message of type InvalidContentType");

    let (alert, error) = told(&site, vec![22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await;
    assert_eq!(alert[..6], [21, 3, 3, 0, 2, 2]);
    assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
}

#[tokio::test]
async fn a_handshake_that_is_broken_off_has_ended() {
    let site = Site::new();
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
        let (alert, error) = told(&site, begun.to_vec()).await;
        assert_eq!(alert, b"");
        assert!(matches!(error, HandshakeError::Ended), "{error}");
    }
}

/// A message of a handshake may have 64 KiB; that it comes in records of one byte must not make it more.
#[tokio::test]
async fn a_hello_that_does_not_end_is_cut_off() {
    let site = Site::new();
    let mut endless = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xf0];
    endless.extend([22, 3, 1, 0, 1, 0].repeat(11_000));
    let (mut peer, ours) = pair();
    let peer = thread::spawn(move || {
        let _ = peer.write_all(&endless);
        peer
    });
    let error = tls(accept(ours, Vec::new(), site.server()).await);
    assert_eq!(error, rustls::InvalidMessage::HandshakePayloadTooLarge.into());
    drop(peer.join().unwrap());
}

#[tokio::test]
async fn a_certificate_is_chosen_by_name() {
    let mut site = Site::new();
    let Site {
        authority,
        folder,
        config,
    } = &mut site;
    for (file, names) in [
        ("wild", &["*.b.example"][..]),
        ("exact", &["x.b.example", "b.example"]),
        ("late", &["a.example", "c.example"]),
    ] {
        config
            .certificates
            .push(folder.certificate(file, &authority.host(names)));
    }
    let terminator = site.terminator();
    for (name, expected) in [
        ("a.example", "a.example"),
        // The first that is for it, exactly or not.
        ("x.b.example", "*.b.example"),
        ("y.b.example", "*.b.example"),
        ("B.EXAMPLE", "x.b.example"),
        ("c.example", "a.example"),
    ] {
        let (session, peer) = accepted_as(terminator.current(), &site.client(), name, greet).await;
        let client = peer.join().unwrap();
        assert!(
            shown(&client).contains(&format!("({expected})")),
            "{name} gets {}",
            shown(&client)
        );
        drop(session.unwrap());
    }
    // Where none is for it: the first of all. The client does not like it.
    let (session, peer) = accepted_as(terminator.current(), &site.client(), "x.y.b.example", |mut client| {
        let error = client.conn.complete_io(&mut client.sock).unwrap_err();
        error.to_string()
    })
    .await;
    let expected = rustls::Error::AlertReceived(AlertDescription::BadCertificate);
    assert_eq!(tls(session), expected);
    assert!(peer.join().unwrap().contains("a.example"));
}

#[tokio::test]
async fn a_strict_listener_serves_only_its_names() {
    let mut site = Site::new();
    assert!(site.terminator().serves(None) && site.terminator().serves(Some("z.example")));
    site.config.strict = true;
    let terminator = site.terminator();
    for (name, serves) in [
        (Some("a.example"), true),
        (Some("A.example."), true),
        (Some("z.example"), false),
        (Some("x.a.example"), false),
        (None, false),
    ] {
        assert_eq!(terminator.serves(name), serves, "{name:?}");
    }
    let (session, peer) = accepted_as(terminator.current(), &site.client(), "z.example", |mut client| {
        client.read_to_end(&mut Vec::new()).unwrap_err();
    })
    .await;
    tls(session);
    peer.join().unwrap();
}

#[tokio::test]
async fn the_alert_of_those_who_are_turned_away_is_understood() {
    let site = Site::new();
    let (peer, ours) = pair();
    let mut client = client_on(peer, &site.client(), "a.example");
    send_plainly(&ours, &unrecognized_name()).await;
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    let error: &rustls::Error = error.get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(error, &rustls::Error::AlertReceived(AlertDescription::UnrecognisedName));
}

async fn send_plainly(socket: &crate::sys::Stream, bytes: &[u8]) {
    let sent = std::future::poll_fn(|cx| socket.poll_send(cx, bytes)).await.unwrap();
    assert_eq!(sent, bytes.len());
}

/// Checks signatures of RSA only, and nothing else.
#[derive(Debug)]
struct RsaAlone;

impl ServerCertVerifier for RsaAlone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
    }
}

#[tokio::test]
async fn one_for_rsa_stands_beside_one_for_ecdsa() {
    let mut site = Site::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let rsa = site.authority.sign_key(&hosts(&["a.example"]), key);
    let files = site.folder.certificate("rsa", &rsa);
    site.config.certificates.push(files);
    for mut config in [site.client(), old_client(&site.authority)] {
        let (session, peer) = accepted(site.server(), &config, greet).await;
        assert_ne!(peer.join().unwrap().conn.peer_certificates().unwrap(), rsa.chain());
        drop(session.unwrap());
        config.dangerous().set_certificate_verifier(Arc::new(RsaAlone));
        let (session, peer) = accepted(site.server(), &config, greet).await;
        assert_eq!(peer.join().unwrap().conn.peer_certificates().unwrap(), rsa.chain());
        drop(session.unwrap());
    }
}

#[tokio::test]
async fn clients_prove_who_they_are() {
    let (site, clients) = Site::with_clients(true);
    let alice = clients.client("alice");
    for least in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let config = client(&site.authority, least, Some(&alice));
        let (session, peer) = accepted(site.server(), &config, greet).await;
        let session = session.unwrap();
        let subject = session.established().subject().unwrap();
        assert_eq!(subject.name(), "CN=alice,O=Example");
        assert_eq!(subject.common_name(), Some("alice"));
        assert_eq!(
            text(&session, "tls.client.subject").as_deref(),
            Some("CN=alice,O=Example")
        );
        assert_eq!(text(&session, "tls.client.cn").as_deref(), Some("alice"));
        assert_eq!(text(&session, "tls.client.issuer").as_deref(), Some("CN=clients"));
        let der = alice.chain()[0].to_vec();
        let certificate = session.established().attribute("tls.client.certificate");
        assert_eq!(certificate, Some(Value::Bytes(der)));
        drop(peer.join().unwrap());
    }
}

/// What an accepting side says of a client that shows `shows`; and what the client hears when it reads.
async fn refused(site: &Site, shows: Option<&Shown>) -> (rustls::Error, String) {
    let config = client(&site.authority, TlsVersion::V1_2, shows);
    let (session, peer) = accepted(site.server(), &config, |mut client| {
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        error.to_string()
    })
    .await;
    (tls(session), peer.join().unwrap())
}

#[tokio::test]
async fn who_cannot_is_refused_and_hears_why() {
    let (site, clients) = Site::with_clients(true);
    let (error, heard) = refused(&site, None).await;
    assert_eq!(error, rustls::Error::NoCertificatesPresented);
    assert!(heard.contains("CertificateRequired"), "{heard}");

    let stranger = Authority::new("clients").client("alice");
    let (error, heard) = refused(&site, Some(&stranger)).await;
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    assert!(heard.contains("DecryptError") || heard.contains("UnknownCA"), "{heard}");

    let mut old = hosts(&["x"]);
    (old.not_before, old.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let (error, heard) = refused(&site, Some(&clients.sign(&old))).await;
    let expired = matches!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
    );
    assert!(expired, "{error:?}");
    assert!(heard.contains("CertificateExpired"), "{heard}");
}

#[tokio::test]
async fn a_certificate_may_be_wanted_and_not_required_but_a_wrong_one_is_never_taken() {
    let (site, clients) = Site::with_clients(false);
    for shows in [None, Some(clients.client("bob"))] {
        let config = client(&site.authority, TlsVersion::V1_2, shows.as_ref());
        let (session, peer) = accepted(site.server(), &config, greet).await;
        let session = session.unwrap();
        let name = session.established().subject().map(|subject| subject.name().to_owned());
        assert_eq!(name, shows.map(|_| "CN=bob,O=Example".to_owned()));
        drop(peer.join().unwrap());
    }
    let stranger = Authority::new("strangers").client("alice");
    let (error, _) = refused(&site, Some(&stranger)).await;
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

/// A list that says of these numbers that they are revoked.
pub fn revocations(authority: &Authority, serials: &[u64]) -> String {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&authority.0).unwrap().pem().unwrap()
}

#[tokio::test]
async fn who_is_revoked_is_refused() {
    let (mut site, clients) = Site::with_clients(true);
    let list = site.folder.write("revoked.pem", revocations(&clients, &[7]));
    site.config.client_auth.as_mut().unwrap().revocations = Some(list);
    let client_with = |serial: u64| {
        let mut params = hosts(&["x"]);
        params.serial_number = Some(SerialNumber::from(serial));
        clients.sign(&params)
    };
    let (error, heard) = refused(&site, Some(&client_with(7))).await;
    assert_eq!(error, CertificateError::Revoked.into());
    assert!(heard.contains("CertificateRevoked"), "{heard}");
    let config = client(&site.authority, TlsVersion::V1_2, Some(&client_with(8)));
    let (session, peer) = accepted(site.server(), &config, greet).await;
    assert_eq!(text(&session.unwrap(), "tls.client.serial").as_deref(), Some("08"));
    drop(peer.join().unwrap());
}

#[test]
fn names_pass_through_by_pattern_and_handshakes_are_counted() {
    let mut site = Site::new();
    site.config.passthrough = vec![
        Pattern::Exactly("p.example".into()),
        Pattern::Ending(".q.example".into()),
    ];
    let terminator = Arc::new(site.terminator());
    for (name, passes) in [
        (Some("p.example"), true),
        (Some("x.q.example"), true),
        (Some("q.example"), false),
        (Some("a.example"), false),
        (None, false),
    ] {
        assert_eq!(terminator.passes_through(name), passes, "{name:?}");
    }
    let first = terminator.begin().unwrap();
    let second = terminator.begin().unwrap();
    assert!(terminator.begin().is_none());
    drop(first);
    let third = terminator.begin().unwrap();
    assert!(terminator.begin().is_none());
    drop((second, third));
    assert!(terminator.begin().is_some());
}

/// A server of rustls's on a thread, and our session with it by way of `originator`.
async fn connected(
    site: &Site,
    originator: &Originator,
    host: &str,
    alpn: Option<&str>,
) -> (Result<Session, Failed>, thread::JoinHandle<std::io::Result<Server>>) {
    let (peer, ours) = pair();
    let server = site.server();
    let peer = thread::spawn(move || {
        let mut server = StreamOwned::new(ServerConnection::new(server).unwrap(), peer);
        while server.conn.is_handshaking() {
            server.conn.complete_io(&mut server.sock)?;
        }
        server.write_all(b"welcome")?;
        Ok(server)
    });
    let name = originator.name(host).unwrap();
    (connect(ours, originator.current(alpn), name).await, peer)
}

#[tokio::test]
async fn a_server_has_to_be_who_it_is_asked_for() {
    let site = Site::new();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let mut config = tls_out(roots);
    let originator = Originator::load(&config).unwrap();
    let (session, peer) = connected(&site, &originator, "a.example", None).await;
    let session = session.unwrap();
    assert_eq!(receive(&session, 10).await.unwrap(), b"welcome");
    assert_eq!(session.established().sni(), Some("a.example"));
    assert!(session.established().subject().is_none());
    assert_eq!(peer.join().unwrap().unwrap().conn.server_name(), Some("a.example"));

    for wrong in ["b.example", "127.0.0.1", "::1"] {
        let (session, peer) = connected(&site, &originator, wrong, None).await;
        let error = tls(session);
        assert!(
            matches!(error, rustls::Error::InvalidCertificate(_)),
            "{wrong}: {error}"
        );
        assert!(peer.join().unwrap().is_err(), "{wrong}");
    }

    // Another name than that of the address.
    config.name = Some("a.example".to_owned());
    let originator = Originator::load(&config).unwrap();
    let (session, peer) = connected(&site, &originator, "127.0.0.1", None).await;
    drop((session.unwrap(), peer.join().unwrap().unwrap()));

    // From another authority.
    let strangers = site.folder.write("strangers.pem", Authority::new("authority").0.pem());
    let originator = Originator::load(&tls_out(strangers.clone())).unwrap();
    let (session, peer) = connected(&site, &originator, "a.example", None).await;
    tls(session);
    assert!(peer.join().unwrap().is_err());

    // Nobody asks.
    config.verify = false;
    config.name = None;
    config.authorities = None;
    let originator = Originator::load(&config).unwrap();
    let (session, peer) = connected(&site, &originator, "b.example", None).await;
    assert_eq!(receive(&session.unwrap(), 10).await.unwrap(), b"welcome");
    drop(peer.join().unwrap().unwrap());
}

#[tokio::test]
async fn a_server_is_shown_our_certificate_and_offered_what_the_client_speaks() {
    let (mut site, clients) = Site::with_clients(true);
    site.config.alpn = vec!["imap".to_owned(), "smtp".to_owned()];
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let mut config = tls_out(roots);
    // In TLS 1.3 it says what it misses when the session has begun.
    let originator = Originator::load(&config).unwrap();
    let (session, peer) = connected(&site, &originator, "a.example", None).await;
    let error = receive(&session.unwrap(), 10).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert!(peer.join().unwrap().is_err());

    config.certificate = Some(site.folder.certificate("own", &clients.client("proxy")));
    let originator = Originator::load(&config).unwrap();
    for (alpn, expected) in [(None, None), (Some("smtp"), Some("smtp"))] {
        let (session, peer) = connected(&site, &originator, "a.example", alpn).await;
        let session = session.unwrap();
        assert_eq!(receive(&session, 10).await.unwrap(), b"welcome");
        assert_eq!(session.established().alpn(), expected);
        drop(peer.join().unwrap().unwrap());
    }
    config.alpn = vec!["imap".to_owned()];
    let originator = Originator::load(&config).unwrap();
    let (session, peer) = connected(&site, &originator, "a.example", Some("smtp")).await;
    assert_eq!(session.unwrap().established().alpn(), Some("imap"));
    drop(peer.join().unwrap().unwrap());
}

#[tokio::test]
async fn sessions_with_a_server_are_resumed() {
    let site = Site::new();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let originator = Originator::load(&tls_out(roots)).unwrap();
    let terminator = Arc::new(Terminator::load(&site.config).unwrap());
    for resumed in [false, true, true] {
        let (peer, ours) = pair();
        let server = terminator.current();
        let peer = thread::spawn(move || {
            let mut server = StreamOwned::new(ServerConnection::new(server).unwrap(), peer);
            server.write_all(b"welcome").unwrap();
            server
        });
        let name = originator.name("a.example").unwrap();
        let session = connect(ours, originator.current(Some("any")), name).await.unwrap();
        assert_eq!(receive(&session, 10).await.unwrap(), b"welcome");
        assert_eq!(session.established().is_resumed(), resumed);
        drop(peer.join().unwrap());
    }
}

#[test]
fn names_of_servers_are_names_or_addresses() {
    let site = Site::new();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let originator = Originator::load(&tls_out(roots)).unwrap();
    for (host, name) in [
        ("a.example", "a.example"),
        ("a.example.", "a.example"),
        ("::1", "::1"),
        ("[::1]", "::1"),
    ] {
        assert_eq!(originator.name(host).unwrap().to_str(), name);
    }
    let error = originator.name("a example").unwrap_err();
    assert_eq!(error.to_string(), "\"a example\" can be no name in a certificate");
}

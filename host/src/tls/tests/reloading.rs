//! Files that change while they are in use.

use super::handshakes::revocations;
use super::peers::*;
use crate::config::TlsVersion;
use crate::tls::{Certificates, Originator, Terminator};

/// Connects, and tells whether that resumed a session. The client gets its ticket.
async fn resumes(terminator: &Terminator, config: &rustls::ClientConfig) -> bool {
    let (session, peer) = accepted(terminator.current(), config, |mut client| {
        use std::io::Read;
        let mut word = [0; 2];
        client.read_exact(&mut word).unwrap();
        client
    })
    .await;
    let session = session.unwrap();
    send(&session, b"hi").await.unwrap();
    drop(peer.join().unwrap());
    session.established().is_resumed()
}

#[tokio::test]
async fn a_new_certificate_serves_at_once_and_sessions_are_still_resumed() {
    let site = Site::new();
    let terminator = site.terminator();
    for config in [site.client(), old_client(&site.authority)] {
        assert!(!resumes(&terminator, &config).await);
        assert!(resumes(&terminator, &config).await);
        assert!(!terminator.reload().unwrap(), "nothing is new");

        let renewed = site.authority.host(&["a.example", "b.example"]);
        site.folder.certificate("a", &renewed);
        assert!(terminator.reload().unwrap());
        assert!(!terminator.reload().unwrap(), "nothing is new any more");
        assert!(resumes(&terminator, &config).await, "across the reload");

        // Who has no session sees the new one.
        let (session, peer) = accepted(terminator.current(), &site.client(), greet).await;
        assert_eq!(peer.join().unwrap().conn.peer_certificates().unwrap(), renewed.chain());
        drop(session.unwrap());
    }
}

#[tokio::test]
async fn a_resumed_session_keeps_who_the_client_is() {
    let (site, clients) = Site::with_clients(true);
    let terminator = site.terminator();
    for least in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let config = client(&site.authority, least, Some(&clients.client("alice")));
        for resumed in [false, true] {
            let (session, peer) = accepted(terminator.current(), &config, |mut client| {
                use std::io::Read;
                client.read_exact(&mut [0; 2]).unwrap();
                client
            })
            .await;
            let session = session.unwrap();
            send(&session, b"hi").await.unwrap();
            assert_eq!(session.established().is_resumed(), resumed);
            assert_eq!(session.established().subject().unwrap().name(), "CN=alice,O=Example");
            drop(peer.join().unwrap());
        }
    }
}

#[tokio::test]
async fn nobody_resumes_a_session_from_before_it_changed_who_clients_have_to_be() {
    let (mut site, clients) = Site::with_clients(true);
    let list = site.folder.write("revoked.pem", revocations(&clients, &[]));
    site.config.client_auth.as_mut().unwrap().revocations = Some(list);
    let terminator = site.terminator();
    let config = client(&site.authority, TlsVersion::V1_2, Some(&clients.client("alice")));
    assert!(!resumes(&terminator, &config).await);
    assert!(resumes(&terminator, &config).await);
    site.folder.write("revoked.pem", revocations(&clients, &[7]));
    assert!(terminator.reload().unwrap());
    assert!(!resumes(&terminator, &config).await);
    assert!(resumes(&terminator, &config).await);
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing_and_may_be_mended() {
    let site = Site::new();
    let terminator = site.terminator();
    let before = terminator.current();
    site.folder.write("a.pem", "");
    let error = terminator.reload().unwrap_err().to_string();
    assert!(error.ends_with("a.pem: holds no certificate in PEM"), "{error}");
    assert!(std::sync::Arc::ptr_eq(&before, &terminator.current()));
    assert!(terminator.reload().is_err(), "it is still wrong");

    // A chain is there before its key.
    let renewed = site.authority.host(&["a.example"]);
    site.folder.write("a.pem", &renewed.chain);
    let error = terminator.reload().unwrap_err().to_string();
    assert!(error.contains("a.key: the private key does not belong"), "{error}");
    site.folder.write("a.key", &renewed.key);
    assert!(terminator.reload().unwrap());
}

#[test]
fn files_to_be_watched_are_told_once_each() {
    let (mut site, _) = Site::with_clients(true);
    let same = site.config.certificates[0].clone();
    site.config.certificates.push(same);
    let names = |files: Vec<std::path::PathBuf>| -> Vec<_> {
        files
            .iter()
            .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(site.terminator().files()), ["a.key", "a.pem", "clients.pem"]);

    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let mut config = tls_out(roots);
    config.certificate = Some(site.config.certificates[0].clone());
    assert_eq!(
        names(Originator::load(&config).unwrap().files()),
        ["a.key", "a.pem", "roots.pem"]
    );
}

#[test]
fn authorities_of_servers_are_replaced_too() {
    let site = Site::new();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let originator = Originator::load(&tls_out(roots)).unwrap();
    assert!(!originator.reload().unwrap());
    let before = originator.current(None);
    site.folder.write("roots.pem", "nothing");
    assert!(originator.reload().is_err());
    assert!(std::sync::Arc::ptr_eq(&before, &originator.current(None)));
    site.folder.write("roots.pem", Authority::new("another").0.pem());
    assert!(originator.reload().unwrap());
    assert!(!std::sync::Arc::ptr_eq(&before, &originator.current(None)));
}

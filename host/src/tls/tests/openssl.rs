//! Another implementation at the other end: the program openssl.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::owned::{Session, accept, connect};
use super::peers::*;
use crate::sys::{Peer, Stream};
use crate::tls::Originator;

fn openssl(arguments: &[&str]) -> Child {
    Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A session with `openssl s_client`, which answers to commands: `Q` ends it.
async fn with_client(site: &Site, arguments: &[&str]) -> (Session, Child) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let mut all = vec!["s_client", "-connect", &address, "-servername", "a.example"];
    all.extend([
        "-verify_return_error",
        "-verify_hostname",
        "a.example",
        "-CAfile",
        roots.to_str().unwrap(),
    ]);
    all.extend(arguments);
    let client = openssl(&all);
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let session = accept(Stream::new(ours.into()).unwrap(), Vec::new(), site.server()).await;
    (session.unwrap(), client)
}

#[tokio::test]
async fn a_client_of_openssl_speaks_with_us() {
    let mut site = Site::new();
    site.config.alpn = vec!["imap".to_owned()];
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (session, mut client) = with_client(&site, &[flag, "-quiet", "-alpn", "pop3,imap"]).await;
        assert_eq!(session.established().version(), version);
        assert_eq!(session.established().alpn(), Some("imap"));
        client.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(receive(&session, 100).await.unwrap(), b"hello\n");
        let answer = pattern(300_000);
        let mut output = client.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            output.read_to_end(&mut all).unwrap();
            all
        });
        send(&session, &answer).await.unwrap();
        finish(&session).await.unwrap();
        assert!(reader.join().unwrap() == answer);
        assert_eq!(receive_all(&session, 100).await.unwrap(), b"");
        client.wait().unwrap();
    }
}

#[tokio::test]
async fn a_client_of_openssl_renews_keys_and_ends_with_a_word() {
    let site = Site::new();
    let (session, mut client) = with_client(&site, &["-tls1_3"]).await;
    let input = client.stdin.as_mut().unwrap();
    // `K` asks for our keys to be renewed too. A command has to be a read of its own, so each waits for what it says.
    let mut output = BufReader::new(client.stdout.take().unwrap());
    let mut said = BufReader::new(client.stderr.take().unwrap());
    for n in 0..3 {
        input.write_all(b"K\n").unwrap();
        input.flush().unwrap();
        let mut line = String::new();
        while !line.starts_with("KEYUPDATE") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "{n}");
        }
        input.write_all(b"hello\n").unwrap();
        assert_eq!(receive(&session, 100).await.unwrap(), b"hello\n");
        send(&session, b"answer\n").await.unwrap();
        while line != "answer\n" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "{n}");
        }
    }
    input.write_all(b"Q\n").unwrap();
    assert_eq!(receive_all(&session, 100).await.unwrap(), b"");
    assert!(!session.is_truncated());
    client.wait().unwrap();
}

#[tokio::test]
async fn a_server_of_openssl_speaks_with_us() {
    let site = Site::new();
    let roots = site.folder.write("roots.pem", site.authority.0.pem());
    let originator = Originator::load(&tls_out(roots)).unwrap();
    let files = &site.config.certificates[0];
    let (chain, key) = (files.chain.to_str().unwrap(), files.key.to_str().unwrap());
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut server = openssl(&[
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            chain,
            "-key",
            key,
            flag,
            "-rev",
        ]);
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0);
        }
        let address = line.trim().strip_prefix("ACCEPT ").unwrap().parse().unwrap();
        for resumed in [false, true] {
            let socket = crate::sys::connect(&Peer::Tcp(address), crate::sys::Manner::default())
                .await
                .unwrap();
            let name = originator.name("a.example").unwrap();
            let session = connect(socket, originator.current(None), name).await.unwrap();
            assert_eq!(
                (session.established().version(), session.established().is_resumed()),
                (version, resumed)
            );
            send(&session, b"hello\n").await.unwrap();
            assert_eq!(receive(&session, 100).await.unwrap(), b"olleh\n");
            finish(&session).await.unwrap();
            receive_all(&session, 100).await.unwrap();
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

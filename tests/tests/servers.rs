//! The servers that the other tests rely on, without a proxy: when one of these fails, it is not Spliceway.

use std::fs;
use std::time::Duration;

use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::command::{lasting, run};
use spliceway_tests::servers::{Nginx, Postgres, Redis, Sshd};
use spliceway_tests::{Client, Upstream};

#[test]
fn redis_answers() {
    let redis = Redis::start();
    let port = redis
        .address()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert_eq!(Redis::cli(port, &["ping"]).success(), "PONG\n");
}

#[test]
fn postgres_answers() {
    let postgres = Postgres::start();
    assert_eq!(
        Postgres::psql(postgres.port(), "postgres", "select 40 + 2").success(),
        "42\n"
    );
}

#[test]
fn nginx_serves_files() {
    let nginx = Nginx::start();
    fs::write(nginx.files().join("file"), "content").expect("a file in a folder of the test's");
    let url = format!("http://{}/file", nginx.address());
    assert_eq!(
        run(lasting("curl").args(["-sS", "--fail", &url]), Duration::from_secs(30)).success(),
        "content"
    );
}

#[test]
fn sshd_runs_commands_and_takes_files() {
    let sshd = Sshd::start();
    let port = sshd
        .address()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    assert_eq!(sshd.ssh(port, "echo hello").success(), "hello\n");
    let (from, to) = (sshd.folder().join("from"), sshd.folder().join("to"));
    fs::write(&from, pattern(1, 100_000)).expect("a file in a folder of the test's");
    sshd.scp(port, &from, &to).success();
    assert_eq!(
        digest(&fs::read(to).expect("scp wrote the file")),
        digest(&pattern(1, 100_000))
    );
}

#[test]
fn the_peers_themselves_carry_bytes_ends_and_resets() {
    let upstream = Upstream::listen();
    let mut client = Client::connect(upstream.address());
    let mut server = upstream.accept();
    client.send(b"hello");
    server.expect(b"hello");
    client.half_close();
    server.expect_eof();
    server.reset();
    client.expect_reset();

    let echo = Upstream::echo();
    let mut client = Client::connect(echo.address());
    client.send(b"hello");
    client.half_close();
    client.expect(b"hello");
    client.expect_eof();

    let blocked = Upstream::listen();
    let mut client = Client::connect(blocked.address());
    assert!(client.send_until_blocked(&pattern(1, 64 << 20)) < 64 << 20);

    let unanswering = Upstream::unanswering();
    let address = unanswering.address().parse().expect("an address");
    let error = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).expect_err("no answer");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);

    let (_port, refusing) = Upstream::refusing();
    let error = Client::try_connect(refusing).err().expect("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

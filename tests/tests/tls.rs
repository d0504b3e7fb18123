//! TLS on either side of the proxy, with OpenSSL, curl, nginx and psql, and with peers that are driven by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use rustls::{ClientConfig, ServerConfig};
use serde_json::{Value, json};
use spliceway_tests::artifacts::{filter, guest};
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::certificates::{Authority, Identity};
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::servers::{Nginx, OpenSsl, Postgres};
use spliceway_tests::{
    Builder, Client, Credulous, End, Peer, Proxy, TlsEnd, TlsHeard, TlsPeer, Upstream, client_hello, eventually,
    showing, showing_to, spliceway, trusting, trusting_as,
};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// What most scenes' clients ask for.
const NAME: &str = "a.example";

/// Of a program that does one thing.
const SOON: Duration = Duration::from_secs(30);

// ---- clients speak TLS, servers do not ----

#[test]
fn curl_gets_a_page_of_a_server_that_knows_no_tls() {
    let nginx = Nginx::start();
    let page = pattern(1, 8 * MIB);
    fs::write(nginx.files().join("page"), &page).expect("a file in a folder of the test's");
    let files = Files::new();
    let proxy = run_with(&files.terminates(""), &nginx.address(), "").start();
    for version in ["1.2", "1.3"] {
        let got = files.folder.path().join("got");
        let options = ["--tls-max", version, "-o", text(&got)];
        assert_eq!(files.curl(proxy.port(), "page", &options), "1.1", "{version}");
        assert_eq!(digest(&fs::read(&got).expect("curl wrote it")), digest(&page));
    }
    let ended = proxy.all_ended(2).pop().expect("two of them");
    assert!(ended.down_copied > page.len() as u64, "{ended:?}");
    assert_eq!((ended.up_spliced, ended.down_spliced), (0, 0), "{ended:?}");
}

#[test]
fn a_large_body_arrives_in_both_directions_byte_for_byte() {
    let scene = Scene::terminating("");
    let (up, down) = (pattern(1, 16 * MIB), pattern(2, 16 * MIB));
    let mut client = scene.connect();
    let server = scene.upstream.accept();
    thread::scope(|scope| {
        let (mut reading, mut writing) = (server.another(), server.another());
        let read = scope.spawn(move || reading.receive_all());
        let sent = &down;
        scope.spawn(move || {
            writing.send(sent);
            writing.half_close();
        });
        client.send(&up);
        client.finish();
        client.hears_whole(&down);
        assert!(
            read.join().expect("the server reads all of it") == up,
            "the bytes differ"
        );
    });
    let ended = scene.proxy.ended(client.peer());
    assert_eq!((ended.up(), ended.down()), (up.len() as u64, down.len() as u64));
    assert!(ended.outcome.starts_with("relay.finished."), "{ended:?}");
}

#[test]
fn who_does_not_read_holds_up_the_other_side() {
    let scene = Scene::terminating("");
    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    let bulk = pattern(1, 64 * MIB);
    let sent = server.send_until_blocked(&bulk);
    assert!(sent < bulk.len(), "all of it was taken");
    server.half_close();
    client.hears_whole(&bulk[..sent]);
    client.finish();
    assert_eq!(scene.proxy.ended(client.peer()).down(), sent as u64);
}

#[test]
fn the_oldest_version_that_is_spoken_can_be_chosen() {
    let scene = Scene::terminating(r#"min-version = "1.3""#);
    let said = scene.s_client(&["-tls1_2", "-servername", NAME]);
    assert!(said.stderr.contains("alert protocol version"), "{said:?}");
    let ended = scene.proxy.all_ended(1).remove(0);
    assert_eq!(ended.outcome, "tls.tls-failed.client");
    let said = scene.s_client(&["-tls1_3", "-servername", NAME]);
    assert!(said.stdout.contains("New, TLSv1.3"), "{said:?}");

    let scene = Scene::terminating("");
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = scene.s_client(&[option, "-servername", NAME]);
        assert!(said.stdout.contains(&format!("New, {version}")), "{said:?}");
        assert!(said.stdout.contains("Verification: OK"), "{said:?}");
    }
    let said = scene.s_client(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-servername", NAME]);
    assert!(said.stderr.contains("SSL alert number"), "{said:?}");
}

#[test]
fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let files = Files::new();
    let (a, a_file) = files.server("a.pem", &[NAME]);
    let (b, b_file) = files.server("b.pem", &["*.b.example", "b.example"]);
    let upstream = Upstream::echo();
    let tls = |more: &str| format!("tls = {{ certificates = [{a_file:?}, {b_file:?}]{more} }}\n");
    let proxy = run_with(&tls(""), upstream.address(), "").start();
    for (name, expected) in [
        (NAME, &a),
        ("A.Example", &a),
        ("b.example", &b),
        ("x.b.example", &b),
        // One label alone stands for the asterisk.
        ("x.y.b.example", &a),
        ("unknown.example", &a),
        // An address is no name.
        ("127.0.0.1", &a),
    ] {
        assert_eq!(
            shown_by(proxy.address(), &files, name),
            expected.certificate(),
            "{name}"
        );
    }

    let proxy = run_with(&tls(", strict = true"), upstream.address(), "").start();
    assert_eq!(shown_by(proxy.address(), &files, "x.b.example"), b.certificate());
    for asking in [&["-servername", "unknown.example"][..], &["-noservername"]] {
        let said = files.s_client(proxy.address(), asking);
        assert!(said.stderr.contains("unrecognized name"), "{said:?}");
        assert_ne!(said.code(), Some(0));
    }
    let ended = proxy.all_ended(3);
    let refused = ended.iter().filter(|ended| ended.outcome == "tls.unknown-name.client");
    assert_eq!(refused.count(), 2, "{ended:?}");
}

#[test]
fn what_is_negotiated_is_what_the_route_goes_by() {
    let one = Nginx::start_with(|port| format!("listen 127.0.0.1:{port}; location / {{ return 200 one; }}"));
    // Of prior knowledge: what comes out of TLS begins with the preface of HTTP/2.
    let two = Nginx::start_with(|port| format!("listen 127.0.0.1:{port} http2; location / {{ return 200 two; }}"));
    let files = Files::new();
    let routes = "[[listeners.routes]]\nname = \"two\"\nalpn = [\"h2\"]\nupstream = \"two\"\n";
    let more = format!("[upstreams.two]\nservers = [{:?}]\n", two.address());
    let tls = files.terminates(r#"alpn = ["h2", "http/1.1"]"#);
    let proxy = run_with(&format!("{tls}{routes}"), &one.address(), &more).start();
    for (option, version, page) in [
        ("--http2", "2", "two"),
        ("--http1.1", "1.1", "one"),
        ("--no-alpn", "1.1", "one"),
    ] {
        let got = files.folder.path().join("got");
        assert_eq!(
            files.curl(proxy.port(), "", &[option, "-o", text(&got)]),
            version,
            "{option}"
        );
        assert_eq!(fs::read_to_string(&got).expect("curl wrote it"), page, "{option}");
    }
}

#[test]
fn a_client_that_speaks_none_of_the_protocols_is_told_so() {
    let scene = Scene::terminating(r#"alpn = ["h2", "http/1.1"]"#);
    let said = scene.s_client(&["-servername", NAME, "-alpn", "imap"]);
    assert!(said.stderr.contains("alert no application protocol"), "{said:?}");
    assert_eq!(scene.proxy.all_ended(1)[0].outcome, "tls.tls-failed.client");
    // Ours is the preference.
    let said = scene.s_client(&["-servername", NAME, "-alpn", "http/1.1,h2"]);
    assert!(said.stdout.contains("ALPN protocol: h2"), "{said:?}");
}

// ---- how a stream ends ----

#[test]
fn a_client_that_has_finished_still_hears_the_server() {
    for with_fin in [false, true] {
        let scene = Scene::terminating("");
        let mut client = scene.connect();
        let mut server = scene.upstream.accept();
        client.send(b"question");
        client.close_notify();
        if with_fin {
            client.cut_off();
        }
        assert_eq!(server.receive_all(), b"question");
        server.send(b"answer");
        client.expect(b"answer");
        server.send(b", and more");
        server.half_close();
        client.hears_whole(b", and more");
        let ended = scene.proxy.ended(client.peer());
        assert_eq!((ended.up(), ended.down()), (8, 16));
        assert_eq!(ended.outcome, "relay.finished.client");
    }
}

#[test]
fn a_server_that_has_finished_still_hears_the_client() {
    let scene = Scene::terminating("");
    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    server.send(b"welcome");
    server.half_close();
    // Which ends with close_notify before FIN.
    client.hears_whole(b"welcome");
    client.send(b"question");
    server.expect(b"question");
    client.finish();
    server.expect_eof();
    assert_eq!(scene.proxy.ended(client.peer()).outcome, "relay.finished.upstream");
}

#[test]
fn openssl_is_told_the_end_before_the_socket_is() {
    let scene = Scene::of(
        "",
        Upstream::listen().serving(|mut peer| {
            peer.try_send(b"welcome\n").ok();
        }),
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let said = scene.s_client(&[version, "-servername", NAME, "-ign_eof", "-msg"]);
        assert!(said.stdout.contains("welcome"), "{said:?}");
        assert_eq!(said.code(), Some(0), "{said:?}");
        let is_received = |line: &&str| line.starts_with("<<<") && !line.contains("RecordHeader");
        let last = said.stdout.lines().rfind(is_received);
        assert!(
            last.is_some_and(|last| last.contains("warning close_notify")),
            "{said:?}"
        );
    }
}

#[test]
fn a_reset_is_a_reset_on_the_other_side() {
    let scene = Scene::terminating("");
    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    client.send(b"half a ques");
    server.expect(b"half a ques");
    let local = client.peer().local().to_owned();
    client.reset();
    server.expect_reset();
    assert_eq!(scene.proxy.all_ended_from(&local, 1)[0].outcome, "relay.reset.client");

    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    client.send(b"question");
    server.expect(b"question");
    server.reset();
    assert_eq!(client.hear_out().end, TlsEnd::Reset);
    assert_eq!(scene.proxy.ended(client.peer()).outcome, "relay.reset.upstream");
}

#[test]
fn a_client_that_is_cut_off_is_no_client_that_has_finished() {
    let scene = Scene::terminating("");
    let mut client = scene.connect();
    let mut server = scene.upstream.accept();
    client.send(b"half a ques");
    client.cut_off();
    assert_eq!(server.receive_all(), b"half a ques");
    // Where the server says no such thing itself, there is nothing to be passed on.
    server.send(b"pardon?");
    server.half_close();
    client.hears_whole(b"pardon?");
    let ended = scene.proxy.ended(client.peer());
    assert_eq!(
        (ended.outcome.as_str(), ended.up(), ended.down()),
        ("relay.truncated.client", 11, 7)
    );
}

#[test]
fn a_stream_that_is_cut_off_is_cut_off_on_the_other_side() {
    let scene = Encrypted::start("", "");
    let (mut client, mut server) = scene.connect();
    client.send(b"half a ques");
    client.cut_off();
    let heard = server.hear_out();
    assert_eq!((&*heard.bytes, heard.end), (&b"half a ques"[..], TlsEnd::Truncated));
    server.finish();
    client.hears_whole(b"");
    assert_eq!(scene.proxy.ended(client.peer()).outcome, "relay.truncated.client");

    let (mut client, mut server) = scene.connect();
    server.send(b"half an ans");
    server.cut_off();
    let heard = client.hear_out();
    assert_eq!((&*heard.bytes, heard.end), (&b"half an ans"[..], TlsEnd::Truncated));
    client.finish();
    server.hears_whole(b"");
    assert_eq!(scene.proxy.ended(client.peer()).outcome, "relay.truncated.upstream");

    let (mut client, mut server) = scene.connect();
    client.send(b"question");
    client.finish();
    server.hears_whole(b"question");
    server.send(b"answer");
    server.finish();
    client.hears_whole(b"answer");
    assert_eq!(scene.proxy.ended(client.peer()).outcome, "relay.finished.client");
}

// ---- servers speak TLS ----

#[test]
fn a_server_proves_who_it_is() {
    let files = Files::new();
    let (_, right) = files.server("right.pem", &["db.example", "127.0.0.1"]);
    let (_, other) = files.server("other.pem", &["other.example"]);
    let expired = files
        .authority
        .expired(&["db.example"])
        .save(files.folder.path(), "expired.pem");
    let stranger = Authority::new("stranger").server(&["db.example"]);
    let unknown = stranger.save(files.folder.path(), "unknown.pem");

    let serves = OpenSsl::start(&right, &[]);
    let asking = files.originates(r#"name = "db.example""#);
    let proxy = run_with("", &serves.address(), &asking).start();
    assert_reversed(&proxy);
    // Without a name, it is the address that the certificate has to be for.
    let proxy = run_with("", &serves.address(), &files.originates("")).start();
    assert_reversed(&proxy);

    for (certificate, reason) in [
        (&other, "not valid for name"),
        (&expired, "expired"),
        (&unknown, "UnknownIssuer"),
    ] {
        let refused = OpenSsl::start(certificate, &[]);
        let proxy = run_with("", &refused.address(), &asking).start();
        let mut client = Client::connect(proxy.address());
        client.hears_fin();
        let ended = proxy.ended(&client);
        assert_eq!(
            ended.outcome,
            "connect.tls-failed.upstream",
            "{}",
            certificate.display()
        );
        let said = proxy.wait_for("no server answered", |_| true);
        assert!(said.text("error").contains(reason), "{said}");

        // Another one takes its place.
        let both = format!("{}\", \"{}", refused.address(), serves.address());
        let proxy = run_with("", &both, &asking).start();
        for _ in 0..4 {
            assert_reversed(&proxy);
        }
        proxy.wait_for("a server did not answer", |event| {
            event.text("server") == refused.address()
        });

        // Or nobody asks.
        let proxy = run_with("", &refused.address(), "tls = { verify = false }\n").start();
        assert_reversed(&proxy);
    }
}

#[test]
fn a_server_without_tls_is_none() {
    let plain = Upstream::named("220 welcome\r\n");
    let proxy = run_with("", plain.address(), "tls = { verify = false }\n").start();
    let mut client = Client::connect(proxy.address());
    client.hears_fin();
    assert_eq!(proxy.ended(&client).outcome, "connect.tls-failed.upstream");
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_ours() {
    let files = Files::new();
    let server = files.authority.server(&["127.0.0.1"]);
    let ours = files.authority.client("proxy");
    let own = ours.save(files.folder.path(), "own.pem");
    let shown = Arc::new(showing_to(&server, &files.authority));
    let upstream = Upstream::listen();
    let proxy = run_with(
        "",
        upstream.address(),
        &files.originates(&format!("certificate = {own:?}")),
    )
    .start();
    let mut client = Client::connect(proxy.address());
    let mut server = TlsPeer::server(upstream.accept(), &shown);
    assert_eq!(server.shown(), Some(ours.certificate()));
    client.send(b"hello");
    server.expect(b"hello");

    let proxy = run_with("", upstream.address(), &files.originates("")).start();
    let mut client = Client::connect(proxy.address());
    let refused = TlsPeer::try_server(upstream.accept(), &shown);
    assert!(refused.is_err_and(|error| error.to_string().contains("peer sent no certificates")));
    client.hear_out();
    // In TLS 1.3 a server says so behind the handshake.
    assert_eq!(proxy.ended(&client).outcome, "relay.tls-failed.upstream");
}

#[test]
fn a_server_is_offered_what_was_negotiated_with_the_client() {
    let scene = Encrypted::start(r#"alpn = ["h2", "http/1.1"]"#, "");
    for offered in [Some("h2"), Some("http/1.1"), None] {
        let mut config = trusting(&scene.files.authority);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (client, server) = scene.connect_with(&Arc::new(config));
        assert_eq!((client.alpn().as_deref(), server.alpn().as_deref()), (offered, offered));
    }
    let scene = Encrypted::start(r#"alpn = ["h2"]"#, r#"alpn = ["http/1.1"], name = "db.example""#);
    let mut config = trusting(&scene.files.authority);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (client, server) = scene.connect_with(&Arc::new(config));
    assert_eq!(
        (client.alpn().as_deref(), server.alpn().as_deref()),
        (Some("h2"), Some("http/1.1"))
    );
    assert_eq!(server.asked_for().as_deref(), Some("db.example"));
}

#[test]
fn a_server_is_checked_in_the_way_that_it_is_spoken_to() {
    let files = Files::new();
    let plain = Upstream::echo();
    let shown = Arc::new(showing(&files.authority.server(&["127.0.0.1"])));
    let encrypted = Upstream::listen().serving(move |peer| {
        if let Ok(mut server) = TlsPeer::try_server(peer, &shown) {
            server.send(b"welcome");
            server.hear_out();
        }
    });
    let health = r#"health = { interval = "100ms", fast-interval = "100ms", timeout = "90ms", rise = 1, fall = 1, start = "down", expect = "welcome" }"#;
    let servers = format!("{}\", \"{}", plain.address(), encrypted.address());
    let proxy = run_with("", &servers, &format!("{}{health}\n", files.originates(""))).start();
    proxy.wait_for("server up", |event| event.text("server") == encrypted.address());
    for _ in 0..4 {
        Client::connect(proxy.address()).expect(b"welcome");
    }
    assert!(
        proxy
            .logged("server up")
            .iter()
            .all(|event| event.text("server") != plain.address())
    );

    let health = health.replace(r#"start = "down""#, r#"start = "up""#);
    let proxy = run_with("", plain.address(), &format!("{}{health}\n", files.originates(""))).start();
    let down = proxy.wait_for("server down", |event| event.text("server") == plain.address());
    assert!(down.text("reason").contains("no TLS"), "{down}");
}

#[test]
fn nginx_is_told_who_the_client_is_in_front_of_tls() {
    let files = Files::new();
    let (_, certificate) = files.server("nginx.pem", &["127.0.0.1"]);
    let nginx = Nginx::start_with(|port| {
        format!(
            "listen 127.0.0.1:{port} ssl proxy_protocol; ssl_certificate {0}; ssl_certificate_key {0};\n\
             location / {{ return 200 $proxy_protocol_addr:$proxy_protocol_port; }}",
            certificate.display()
        )
    });
    for version in ["v1", "v2"] {
        let more = format!("{}proxy-protocol = \"{version}\"\n", files.originates(""));
        let proxy = run_with(&files.terminates(""), &nginx.address(), &more).start();
        let got = files.folder.path().join("got");
        let said = files.curl(proxy.port(), "", &["-o", text(&got), "-w", "127.0.0.1:%{local_port}"]);
        assert_eq!(fs::read_to_string(&got).expect("curl wrote it"), said, "{version}");
    }
}

#[test]
fn a_connection_that_was_made_before_is_encrypted_when_it_is_used() {
    let files = Files::new();
    let shown = Arc::new(showing(&files.authority.server(&["127.0.0.1"])));
    let upstream = Upstream::listen();
    let more = format!("{}preconnect = 1\n", files.originates(""));
    // Each worker has connections of its own.
    let proxy = Proxy::run(&format!("workers = 1\n{}", config("", upstream.address(), &more))).start();
    let spare = upstream.accept();
    let mut client = Client::connect(proxy.address());
    let mut server = TlsPeer::server(spare, &shown);
    client.send(b"hello");
    server.expect(b"hello");
    server.send(b"welcome");
    server.finish();
    client.expect(b"welcome");
    client.expect_eof();
}

#[test]
fn curl_and_nginx_speak_tls_with_the_proxy_between_them() {
    let files = Files::new();
    let (_, certificate) = files.server("nginx.pem", &["127.0.0.1"]);
    let nginx = Nginx::start_with(|port| {
        format!(
            "listen 127.0.0.1:{port} ssl http2; ssl_certificate {0}; ssl_certificate_key {0}; dav_methods PUT;",
            certificate.display()
        )
    });
    let body = pattern(3, 8 * MIB);
    let (sent, got) = (files.folder.path().join("sent"), files.folder.path().join("got"));
    fs::write(&sent, &body).expect("a file in a folder of the test's");
    let tls = files.terminates(r#"alpn = ["h2", "http/1.1"]"#);
    let proxy = run_with(&tls, &nginx.address(), &files.originates("")).start();
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let page = format!("page-{version}");
        assert_eq!(files.curl(proxy.port(), &page, &[option, "-T", text(&sent)]), version);
        assert_eq!(
            digest(&fs::read(nginx.files().join(&page)).expect("nginx wrote it")),
            digest(&body)
        );
        assert_eq!(files.curl(proxy.port(), &page, &[option, "-o", text(&got)]), version);
        assert_eq!(digest(&fs::read(&got).expect("curl wrote it")), digest(&body));
    }
}

#[test]
fn a_server_that_was_found_by_a_name_is_asked_for_by_it() {
    let files = Files::new();
    let shown = Arc::new(showing(&files.authority.server(&["localhost"])));
    let upstream = Upstream::listen();
    let server = format!("localhost:{}", upstream.port());
    let proxy = run_with("", &server, &files.originates("")).start();
    let mut client = Client::connect(proxy.address());
    let mut server = TlsPeer::server(upstream.accept(), &shown);
    assert_eq!(server.asked_for().as_deref(), Some("localhost"));
    client.send(b"hello");
    server.expect(b"hello");
}

// ---- clients show certificates ----

#[test]
fn who_has_no_certificate_is_not_served() {
    let scene = Clients::start("");
    let mut alice = scene.connect_as(&scene.alice);
    alice.expect(b"welcome");
    for refused in [None, Some(&scene.stranger)] {
        let mut client = scene.connect_with(refused);
        assert!(matches!(client.hear_out().end, TlsEnd::Failed(_)));
        assert_eq!(scene.proxy.ended(client.peer()).outcome, "tls.tls-failed.client");
    }
    // As others see it.
    let said = scene
        .files
        .s_client(scene.proxy.address(), &["-servername", NAME, "-ign_eof"]);
    assert!(said.stderr.contains("certificate required"), "{said:?}");
}

#[test]
fn curl_shows_its_certificate() {
    let nginx = Nginx::start_with(|port| format!("listen 127.0.0.1:{port}; location / {{ return 200 welcome; }}"));
    let files = Files::new();
    let own = files.authority.client("alice").save(files.folder.path(), "alice.pem");
    let tls = files.terminates(&format!("client-auth = {{ authorities = {:?} }}", files.ca()));
    let proxy = run_with(&tls, &nginx.address(), "").start();
    let got = files.folder.path().join("got");
    files.curl(proxy.port(), "", &["--cert", text(&own), "-o", text(&got)]);
    assert_eq!(fs::read_to_string(&got).expect("curl wrote it"), "welcome");
    let said = files.try_curl(proxy.port(), "", &[]);
    assert!(
        said.code() != Some(0) && said.stderr.contains("certificate required"),
        "{said:?}"
    );
}

#[test]
fn who_has_none_is_served_where_none_is_needed() {
    let scene = Clients::start(", required = false");
    scene.connect_as(&scene.alice).expect(b"welcome");
    scene.connect_with(None).expect(b"welcome");
    let mut stranger = scene.connect_as(&scene.stranger);
    assert!(matches!(stranger.hear_out().end, TlsEnd::Failed(_)));
}

#[test]
fn who_is_revoked_is_not_served() {
    let files = Files::new();
    let list = files.folder.path().join("revoked.pem");
    let scene = Clients::of(files, &format!(", revocations = {list:?}"));
    scene.connect_as(&scene.alice).expect(b"welcome");
    let mut bob = scene.connect_as(&scene.bob);
    let TlsEnd::Failed(reason) = bob.hear_out().end else {
        panic!("a client whose certificate is revoked was served")
    };
    assert!(reason.contains("CertificateRevoked"), "{reason}");

    // And when the list is another one, it is the other one's turn.
    fs::write(&list, scene.files.authority.revoke(&[&scene.alice])).expect("a file in a folder of the test's");
    scene.proxy.wait_for("certificates reloaded", |_| true);
    scene.connect_as(&scene.bob).expect(b"welcome");
    assert!(matches!(
        scene.connect_as(&scene.alice).hear_out().end,
        TlsEnd::Failed(_)
    ));
}

#[test]
fn a_subject_decides_on_the_route_and_stands_in_the_access_log() {
    let alices = Upstream::named("alice's");
    let routes =
        "[[listeners.routes]]\nname = \"alice\"\nsubject = [\"CN=alice,O=Spliceway\"]\nupstream = \"alices\"\n";
    let scene = Clients::with(
        Files::new(),
        ", required = false",
        routes,
        &format!("[upstreams.alices]\nservers = [{:?}]\n", alices.address()),
    );
    let mut alice = scene.connect_as(&scene.alice);
    alice.expect(b"alice's");
    alice.finish();
    alice.hears_whole(b"");
    let line = scene.logged(alice.peer());
    let expected = json!({
        "client_subject": "CN=alice,O=Spliceway", "tls_version": "TLSv1.3", "sni": NAME, "alpn": "imap", "route": "alice",
    });
    for (field, value) in expected.as_object().expect("it is one") {
        assert_eq!(&line[field], value, "{field} in {line}");
    }
    for other in [Some(&scene.bob), None] {
        let mut client = scene.connect_with(other);
        client.expect(b"welcome");
        client.finish();
        client.hears_whole(b"");
        let line = scene.logged(client.peer());
        assert_eq!(line.get("route"), None, "{line}");
        assert_eq!(line.get("client_subject").is_some(), other.is_some(), "{line}");
    }
}

// ---- certificates are replaced ----

#[test]
fn a_certificate_that_is_replaced_is_shown_from_then_on() {
    let scene = Scene::of("", Upstream::echo());
    let file = scene.files.folder.path().join("server.pem");
    let mut live = scene.connect();
    live.send(b"before");
    live.expect(b"before");
    let renewed = scene.files.authority.server(&[NAME]);
    fs::rename(scene.files.put("beside.pem", &renewed.pem()), &file).expect("a file can be replaced");
    scene.reloaded(1);
    assert_eq!(scene.connect().shown(), Some(renewed.certificate()));
    // In place.
    let again = scene.files.authority.server(&[NAME]);
    fs::write(&file, again.pem()).expect("a file can be written to");
    scene.reloaded(2);
    assert_eq!(scene.connect().shown(), Some(again.certificate()));
    live.send(b"after");
    live.expect(b"after");
    live.finish();
    live.hears_whole(b"");
}

#[test]
fn a_session_goes_on_when_the_certificate_has_been_replaced() {
    for version in ["-tls1_2", "-tls1_3"] {
        let files = Files::new();
        let revoked = files.put("revoked.pem", &files.authority.revoke(&[]));
        let auth = format!(
            "client-auth = {{ authorities = {:?}, required = false, revocations = {revoked:?} }}",
            files.ca()
        );
        let upstream = Upstream::listen().serving(|mut peer| {
            peer.try_send(b"welcome\n").ok();
        });
        let proxy = run_with(&files.terminates(&auth), upstream.address(), "").start();
        let scene = Scene { proxy, upstream, files };
        let session = scene.files.folder.path().join("session");
        let asking = [version, "-servername", NAME, "-ign_eof"];
        let said = scene.s_client(&[&asking[..], &["-sess_out", text(&session)]].concat());
        assert!(said.stdout.contains("New, TLSv1"), "{said:?}");

        scene.files.server("server.pem", &[NAME]);
        scene.reloaded(1);
        let resumed = || scene.s_client(&[&asking[..], &["-sess_in", text(&session)]].concat());
        let said = resumed();
        assert!(
            said.stdout.contains("Reused, TLSv1") && said.stdout.contains("welcome"),
            "{said:?}"
        );

        // Not where it has changed who clients have to be.
        let list = scene.files.authority.revoke(&[&scene.files.authority.client("bob")]);
        fs::write(&revoked, list).expect("a file in a folder of the test's");
        scene.reloaded(2);
        let said = resumed();
        assert!(
            said.stdout.contains("New, TLSv1") && said.stdout.contains("welcome"),
            "{said:?}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_told_and_changes_nothing() {
    let files = Files::new();
    let (first, other) = (files.authority.server(&[NAME]), files.authority.server(&[NAME]));
    let expired = files.authority.expired(&[NAME]);
    let (chain, key) = (
        files.put("chain.pem", &first.chain_pem()),
        files.put("key.pem", &first.key_pem()),
    );
    let tls = format!("tls = {{ certificates = [{{ chain = {chain:?}, key = {key:?} }}] }}\n");
    let upstream = Upstream::echo();
    let proxy = run_with(&tls, upstream.address(), "").start();
    for (file, content, blamed, reason) in [
        (&chain, "nonsense".to_owned(), &chain, "holds no certificate in PEM"),
        (
            &chain,
            expired.chain_pem(),
            &chain,
            "the certificate has expired at 2021-01-01T00:00:00Z",
        ),
        (
            &chain,
            other.chain_pem(),
            &key,
            "the private key does not belong to the first certificate of",
        ),
        (&key, String::new(), &key, "holds no private key in PEM"),
    ] {
        let before = fs::read_to_string(file).expect("a file of the test's");
        fs::write(file, content).expect("a file in a folder of the test's");
        let expected = format!("{}: {reason}", blamed.display());
        let rejected = proxy.wait_for("certificates rejected: those before serve on", |event| {
            event.text("error").contains(&expected)
        });
        assert_eq!(
            (rejected.text("level"), rejected.text("of")),
            ("WARN", "listener \"front\""),
            "{rejected}"
        );
        assert_eq!(shown_by(proxy.address(), &files, NAME), first.certificate());
        fs::write(file, before).expect("a file in a folder of the test's");
    }
    assert!(proxy.logged("certificates reloaded").is_empty());
}

#[test]
fn all_that_is_wrong_with_certificates_is_told_at_once() {
    let files = Files::new();
    let empty = files.put("empty.pem", "");
    let expired = files
        .authority
        .expired(&[NAME])
        .save(files.folder.path(), "expired.pem");
    let missing = files.folder.path().join("missing.pem");
    let (_, good) = files.server("good.pem", &[NAME]);
    let listener = format!(
        "tls = {{ certificates = [{empty:?}, {good:?}, {missing:?}, {expired:?}] }}\n\
         [[listeners]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n\
         tls = {{ certificates = [{missing:?}] }}\n"
    );
    let more = format!("tls = {{ authorities = {empty:?} }}\n");
    let started = run_with(&listener, "127.0.0.1:1", &more);
    let config = started.folder().join("spliceway.toml");
    let checked = spliceway(["check", "--config", text(&config)], SOON);
    let failed = started.fail();
    for finished in [&failed, &checked] {
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        for (whose, file, reason) in [
            ("listener \"front\"", &empty, "holds no certificate in PEM"),
            (
                "listener \"front\"",
                &expired,
                "the certificate has expired at 2021-01-01T00:00:00Z",
            ),
            ("listener \"front\"", &missing, "cannot be read: No such file"),
            ("listener \"other\"", &missing, "cannot be read: No such file"),
            ("upstream \"only\"", &empty, "holds no certificate in PEM"),
        ] {
            let expected = format!("{whose}: {}: {reason}", file.display());
            assert!(finished.stderr.contains(&expected), "{expected} in {}", finished.stderr);
        }
    }
}

// ---- handshakes that do not go well ----

#[test]
fn a_handshake_has_its_time() {
    let scene = Scene::terminating(r#"timeout = "300ms""#);
    let hello = client_hello(&scene.files.trusting(), NAME);
    for begun in [0, 1, hello.len() / 2, hello.len()] {
        let mut client = Client::connect(scene.proxy.address());
        client.send(&hello[..begun]);
        let heard = client.hear_out();
        assert_eq!(heard.bytes.is_empty(), begun < hello.len(), "{begun}");
        assert_eq!(scene.proxy.ended(&client).outcome, "tls.timeout.client", "{begun}");
    }
    let mut client = Client::connect(scene.proxy.address());
    client.send(&hello[..hello.len() / 2]);
    client.half_close();
    client.hear_out();
    assert_eq!(scene.proxy.ended(&client).outcome, "tls.truncated.client");
    assert!(!scene.upstream.waiting(Duration::ZERO));
}

#[test]
fn a_client_that_is_slow_gets_there_within_its_time() {
    let scene = Scene::of("", Upstream::echo());
    let peer = Client::connect(scene.proxy.address());
    let mut client = TlsPeer::dribbling_client(peer, &scene.files.trusting(), NAME);
    client.send(b"hello");
    client.expect(b"hello");
}

#[test]
fn there_are_no_more_handshakes_than_there_may_be() {
    let scene = Scene::of("max-handshakes = 1", Upstream::echo());
    let hello = client_hello(&scene.files.trusting(), NAME);
    let mut first = Client::connect(scene.proxy.address());
    first.send(&hello);
    first.wait_until_readable();
    let mut second = Client::connect(scene.proxy.address());
    second.send(&hello);
    second.hears_fin();
    assert_eq!(scene.proxy.ended(&second).outcome, "tls.limited.client");
    let local = first.local().to_owned();
    first.reset();
    assert_eq!(scene.proxy.all_ended_from(&local, 1)[0].outcome, "tls.reset.client");
    // Who is through with it takes no place.
    let mut one = scene.connect();
    // A client is through a moment before the proxy knows.
    one.send(b"hello");
    one.expect(b"hello");
    let mut other = scene.connect();
    other.send(b"hello");
    other.expect(b"hello");
}

#[test]
fn who_speaks_no_tls_is_told_in_tls() {
    let scene = Scene::terminating("");
    let mut client = Client::connect(scene.proxy.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let heard = client.hear_out();
    let [21, 3, _, 0, 2, 2, _] = heard.bytes[..] else {
        panic!("no fatal alert: {:?}", heard.bytes)
    };
    assert_eq!(heard.end, End::Fin);
    assert_eq!(scene.proxy.ended(&client).outcome, "tls.tls-failed.client");
    let said = run(
        lasting("curl").args(["-sS", &format!("http://{}/", scene.proxy.address())]),
        SOON,
    );
    assert_ne!(said.code(), Some(0), "{said:?}");
    assert!(!scene.upstream.waiting(Duration::ZERO));
}

// ---- TLS that is decrypted for some ----

#[test]
fn with_tls_and_without_it_on_one_port() {
    let files = Files::new();
    let upstream = Upstream::named("welcome");
    let listener = format!(
        "{}detection = {{ timeout = \"100ms\" }}\n",
        files.terminates(r#"start = "detect""#)
    );
    let proxy = run_with(&listener, upstream.address(), "").start();
    let mut plain = Client::connect(proxy.address());
    plain.send(b"hello");
    plain.expect(b"welcomehello");
    let mut encrypted = TlsPeer::client(Client::connect(proxy.address()), &files.trusting(), NAME);
    encrypted.send(b"hello");
    encrypted.expect(b"welcomehello");
    // Who says nothing waits for the server to speak.
    let mut silent = Client::connect(proxy.address());
    silent.expect(b"welcome");
    silent.half_close();
    silent.expect_eof();
    assert_eq!(proxy.ended(&silent).outcome, "relay.finished.client");
    // What begins as TLS has to be TLS.
    let mut neither = Client::connect(proxy.address());
    neither.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
    assert_eq!(neither.hear_out().bytes.first(), Some(&21));
    assert_eq!(proxy.ended(&neither).outcome, "tls.tls-failed.client");
}

#[test]
fn what_is_passed_through_is_the_origin_s_own() {
    let files = Files::new();
    let origin = files.authority.server(&["pass.example"]);
    let bulk = pattern(1, 32 * MIB);
    let (shown, page) = (Arc::new(showing(&origin)), bulk.clone());
    let upstream = Upstream::listen().serving(move |peer| {
        if let Ok(mut server) = TlsPeer::try_server(peer, &shown) {
            server.expect(b"GET");
            server.send(&page);
            server.finish();
            server.hear_out();
        }
    });
    let tls = files.terminates(r#"passthrough = ["pass.example"], strict = true"#);
    let proxy = run_with(&tls, upstream.address(), "").start();
    let peer = Client::connect(proxy.address());
    let mut client = TlsPeer::client(peer, &files.trusting(), "pass.example");
    assert_eq!(client.shown(), Some(origin.certificate()));
    client.send(b"GET");
    client.hears_whole(&bulk);
    client.finish();
    let ended = proxy.ended(client.peer());
    assert_eq!(ended.outcome, "relay.finished.upstream");
    // A server that encrypts is slow enough for some of it to come in pieces that are better copied.
    assert!(ended.down_spliced > ended.down_copied, "{ended:?}");
    // Others get ours.
    assert_ne!(shown_by(proxy.address(), &files, NAME), origin.certificate());
}

// ---- filters ----

#[test]
fn psql_asks_for_tls_and_gets_it_and_is_still_routed_by_its_database() {
    let (blue, green) = (Postgres::start(), Postgres::start());
    Postgres::psql(blue.port(), "postgres", "create database sales").success();
    Postgres::psql(green.port(), "postgres", "create database billing").success();
    let files = Files::new();
    let (_, certificate) = files.server("server.pem", &["localhost", "127.0.0.1"]);
    let routes = "{ routes = [{ database = \"billing\", upstream = \"green\" }], default = \"only\" }";
    let listener = format!(
        "filters = [\"router\"]\ntls = {{ certificates = [{certificate:?}], start = \"on-request\" }}\n\
         [filters.router]\nsource = {:?}\nconfig = {routes}\n",
        filter("postgres-router")
    );
    let more = format!("[upstreams.green]\nservers = [{:?}]\n", green.address());
    let proxy = run_with(&listener, &blue.address(), &more).start();
    let psql = |mode: &str, database: &str, statement: &str| {
        let mut psql = lasting("psql");
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &proxy.port().to_string(),
            "-U",
            "postgres",
            "-d",
            database,
        ])
        .args(["-X", "-A", "-t", "-q", "-c", statement])
        .env("PGSSLMODE", mode)
        .env("PGSSLROOTCERT", files.ca())
        .env("PGCONNECT_TIMEOUT", "20");
        run(&mut psql, SOON).success()
    };
    for (mode, with_tls) in [
        ("disable", false),
        ("prefer", true),
        ("require", true),
        ("verify-full", true),
    ] {
        for (database, server) in [("sales", &blue), ("billing", &green)] {
            let port = psql(mode, database, "select current_setting('port')");
            assert_eq!(port.trim(), server.port().to_string(), "{mode} {database}");
            let said = psql(mode, database, r"\conninfo");
            assert_eq!(
                said.contains("SSL connection (protocol: TLSv1.3"),
                with_tls,
                "{mode}: {said}"
            );
        }
    }
    // Large answers, too.
    let long = psql("verify-full", "billing", "select repeat('spliceway ', 300000)");
    assert_eq!(
        digest(long.trim_end_matches('\n').as_bytes()),
        digest("spliceway ".repeat(300_000).as_bytes())
    );
    assert!(proxy.logged("filter failed").is_empty());
}

#[test]
fn plaintext_behind_a_request_for_tls_is_refused() {
    const REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
    const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
    let files = Files::new();
    let upstream = Upstream::listen();
    let listener = format!(
        "filters = [\"router\"]\n{}[filters.router]\nsource = {:?}\nconfig = {{ routes = [], default = \"only\" }}\n",
        files.terminates(r#"start = "on-request""#),
        filter("postgres-router")
    );
    let proxy = run_with(&listener, upstream.address(), "").start();
    let mut stuffed = Client::connect(proxy.address());
    stuffed.send(&[REQUEST, STARTUP].concat());
    assert_eq!(stuffed.expect_closed(), b"");
    assert_eq!(proxy.ended(&stuffed).outcome, "route.filter-refused.proxy");
    assert!(!upstream.waiting(Duration::ZERO));

    let mut honest = Client::connect(proxy.address());
    honest.send(REQUEST);
    honest.expect(b"S");
    let mut honest = TlsPeer::client(honest, &files.trusting(), NAME);
    honest.send(STARTUP);
    let mut server = upstream.accept();
    server.expect(STARTUP);
    server.send(b"R");
    honest.expect(b"R");
}

#[test]
fn filters_see_what_was_decrypted() {
    let redis = Upstream::listen();
    let files = Files::new();
    let listener = format!(
        "filters = [\"guard\"]\n{}[filters.guard]\nsource = {:?}\nconfig = {{ refuse = [\"FLUSHALL\"] }}\n",
        files.terminates(""),
        filter("redis-guard")
    );
    let proxy = run_with(&listener, redis.address(), "").start();
    let mut client = TlsPeer::client(Client::connect(proxy.address()), &files.trusting(), NAME);
    let mut server = redis.accept();
    client.send(b"*1\r\n$4\r\nPING\r\n");
    server.expect(b"*1\r\n$4\r\nPING\r\n");
    server.send(b"+PONG\r\n");
    client.expect(b"+PONG\r\n");
    client.send(b"*1\r\n$8\r\nFLUSHALL\r\n");
    client.hears_whole(b"");
    assert_eq!(server.expect_closed(), b"");
    let ended = proxy.ended(client.peer());
    assert_eq!(ended.outcome, "relay.filter-refused.proxy");
    assert_eq!(ended.up_copied, 0, "{ended:?}");
}

#[test]
fn a_filter_can_ask_what_a_handshake_has_settled() {
    let keys = [
        "tls.version",
        "tls.cipher",
        "tls.group",
        "tls.sni",
        "tls.alpn",
        "tls.resumed",
        "tls.ja4",
        "tls.client.subject",
        "tls.client.cn",
        "tls.client.issuer",
    ];
    let script = format!(
        "filters = [\"script\"]\n[filters.script]\nsource = {:?}\n\
         config = {{ decision = \"tell\", keys = {keys:?}, then = {{ decision = \"pass\" }} }}\n",
        guest("router-script")
    );
    let scene = Clients::with(Files::new(), "", &script, "");
    scene.connect_as(&scene.alice).expect(b"welcome");
    let told = scene.proxy.wait_for_guest("script", |event| event.message() == "told");
    let fields = told.field("fields");
    for (key, expected) in [
        ("tls.version", "TLSv1.3"),
        ("tls.sni", NAME),
        ("tls.alpn", "imap"),
        ("tls.client.subject", "CN=alice,O=Spliceway"),
        ("tls.client.cn", "alice"),
        ("tls.client.issuer", "CN=root,O=Spliceway"),
    ] {
        assert_eq!(fields[key], expected, "{key} in {told}");
    }
    assert_eq!(fields["tls.resumed"], false, "{told}");
    for (key, begins) in [("tls.cipher", "TLS_"), ("tls.group", ""), ("tls.ja4", "t13d")] {
        assert!(
            fields[key].as_str().is_some_and(|text| text.starts_with(begins)),
            "{key} in {told}"
        );
    }
}

// ---- the end of the process ----

#[test]
fn clients_are_told_the_end_when_the_process_ends() {
    let (files, upstream) = (Files::new(), Upstream::echo());
    let drain = "drain = { soft = \"1ms\", spread = \"0s\", hard = \"60s\" }\n";
    let proxy = Proxy::run(&format!(
        "{drain}{}",
        config(&files.terminates(""), upstream.address(), "")
    ))
    .start();
    let mut idle = TlsPeer::client(Client::connect(proxy.address()), &files.trusting(), NAME);
    idle.send(b"hello");
    idle.expect(b"hello");
    proxy.signal(Signal::TERM);
    let heard = idle.hear_out();
    assert_eq!(
        heard,
        TlsHeard {
            bytes: Vec::new(),
            end: TlsEnd::Whole
        }
    );
    assert_eq!(proxy.ended(idle.peer()).outcome, "relay.drained.proxy");
}

// ---- the scenes ----

/// An authority, and a folder for what it signs.
struct Files {
    authority: Authority,
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("root"), TempDir::new().expect("a temporary folder"));
        let files = Self { authority, folder };
        files.put("ca.pem", &files.authority.pem());
        files
    }

    fn put(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, content).expect("a file in a folder of the test's");
        file
    }

    /// The certificate of a server, in a file.
    fn server(&self, file: &str, names: &[&str]) -> (Identity, PathBuf) {
        let identity = self.authority.server(names);
        let file = identity.save(self.folder.path(), file);
        (identity, file)
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A listener's `tls` with a certificate for [`NAME`], and more.
    fn terminates(&self, more: &str) -> String {
        let (_, file) = self.server("server.pem", &[NAME]);
        format!("tls = {{ certificates = [{file:?}]{}{more} }}\n", comma(more))
    }

    /// An upstream's `tls` that trusts this authority, and more.
    fn originates(&self, more: &str) -> String {
        format!("tls = {{ authorities = {:?}{}{more} }}\n", self.ca(), comma(more))
    }

    fn trusting(&self) -> Arc<ClientConfig> {
        Arc::new(trusting(&self.authority))
    }

    /// Gets a page in TLS. Returns the version of HTTP.
    #[track_caller]
    fn curl(&self, port: u16, page: &str, options: &[&str]) -> String {
        let finished = self.try_curl(port, page, options);
        finished.success()
    }

    fn try_curl(&self, port: u16, page: &str, options: &[&str]) -> Finished {
        let mut curl = lasting("curl");
        curl.args(["-sS", "-f", "-w", "%{http_version}", "--cacert", text(&self.ca())])
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
            .args(options)
            .arg(format!("https://{NAME}:{port}/{page}"));
        run(&mut curl, SOON)
    }

    /// `openssl s_client`, which has nothing to say.
    fn s_client(&self, address: &str, options: &[&str]) -> Finished {
        let mut openssl = lasting("openssl");
        openssl
            .args(["s_client", "-connect", address, "-CAfile", text(&self.ca())])
            .args(["-verify_return_error"])
            .args(options);
        run(&mut openssl, SOON)
    }
}

/// A proxy whose clients speak TLS, and whose server is driven by hand.
struct Scene {
    proxy: Proxy,
    upstream: Upstream,
    files: Files,
}

impl Scene {
    /// With more in the listener's `tls`.
    fn terminating(tls: &str) -> Self {
        Self::of(tls, Upstream::listen())
    }

    fn of(tls: &str, upstream: Upstream) -> Self {
        let files = Files::new();
        let proxy = run_with(&files.terminates(tls), upstream.address(), "").start();
        Self { proxy, upstream, files }
    }

    #[track_caller]
    fn connect(&self) -> TlsPeer {
        let peer = Client::connect(self.proxy.address());
        TlsPeer::client(peer, &self.files.trusting(), NAME)
    }

    /// Waits until so many files of certificates were read that were new.
    #[track_caller]
    fn reloaded(&self, times: usize) {
        eventually("new certificates are used", || {
            (self.proxy.logged("certificates reloaded").len() >= times).then_some(())
        });
    }

    fn s_client(&self, options: &[&str]) -> Finished {
        self.files.s_client(self.proxy.address(), options)
    }
}

/// A proxy with TLS on both sides.
struct Encrypted {
    proxy: Proxy,
    upstream: Upstream,
    files: Files,
    shown: Arc<ServerConfig>,
}

impl Encrypted {
    /// With more in the listener's `tls`, and in the upstream's.
    fn start(inside: &str, outside: &str) -> Self {
        let (files, upstream) = (Files::new(), Upstream::listen());
        let mut shown = showing(&files.authority.server(&["127.0.0.1", "db.example"]));
        shown.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).to_vec();
        let more = files.originates(outside);
        let proxy = run_with(&files.terminates(inside), upstream.address(), &more).start();
        Self {
            proxy,
            upstream,
            files,
            shown: Arc::new(shown),
        }
    }

    #[track_caller]
    fn connect(&self) -> (TlsPeer, TlsPeer) {
        self.connect_with(&self.files.trusting())
    }

    #[track_caller]
    fn connect_with(&self, config: &Arc<ClientConfig>) -> (TlsPeer, TlsPeer) {
        let client = TlsPeer::client(Client::connect(self.proxy.address()), config, NAME);
        (client, TlsPeer::server(self.upstream.accept(), &self.shown))
    }
}

/// A proxy whose clients show certificates: alice and bob have some of the authority, and bob's is revoked in the list
/// `revoked.pem`; a stranger has one of another authority. Whom nobody else serves is welcomed.
struct Clients {
    proxy: Proxy,
    files: Files,
    alice: Identity,
    bob: Identity,
    stranger: Identity,
}

impl Clients {
    /// With more in `client-auth`.
    fn start(more: &str) -> Self {
        Self::of(Files::new(), more)
    }

    fn of(files: Files, more: &str) -> Self {
        Self::with(files, more, "", "")
    }

    /// With more in the listener, and in the upstream.
    fn with(files: Files, auth: &str, listener: &str, more: &str) -> Self {
        let [alice, bob] = ["alice", "bob"].map(|name| files.authority.client(name));
        files.put("revoked.pem", &files.authority.revoke(&[&bob]));
        let stranger = Authority::new("stranger").client("alice");
        let upstream = Upstream::named("welcome");
        let auth = format!("client-auth = {{ authorities = {:?}{auth} }}", files.ca());
        let tls = format!("{auth}, alpn = [\"imap\"]");
        let log = files.folder.path().join("access.log");
        let listener = format!("{}{listener}", files.terminates(&tls));
        let proxy = Proxy::run(&format!(
            "access-log = {{ file = {log:?} }}\n{}",
            config(&listener, upstream.address(), more)
        ));
        Self {
            proxy: proxy.start(),
            files,
            alice,
            bob,
            stranger,
        }
    }

    #[track_caller]
    fn connect_as(&self, identity: &Identity) -> TlsPeer {
        self.connect_with(Some(identity))
    }

    #[track_caller]
    fn connect_with(&self, identity: Option<&Identity>) -> TlsPeer {
        let mut config = match identity {
            Some(identity) => trusting_as(&self.files.authority, identity),
            None => trusting(&self.files.authority),
        };
        config.alpn_protocols = vec![b"imap".to_vec()];
        TlsPeer::client(Client::connect(self.proxy.address()), &Arc::new(config), NAME)
    }

    /// Waits for the line of this client's end in the access log.
    #[track_caller]
    fn logged(&self, client: &Peer) -> Value {
        let file = self.files.folder.path().join("access.log");
        eventually("a line of the access log", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut lines = whole.map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
            lines.find(|line| line["event"] == "close" && line["client"] == client.local())
        })
    }
}

/// OpenSSL's server answers, which serves one at a time.
#[track_caller]
fn assert_reversed(proxy: &Proxy) {
    let mut client = Client::connect(proxy.address());
    client.send(b"hello\n");
    client.expect(b"olleh\n");
}

/// The certificate that a client is shown who asks for `name`.
#[track_caller]
fn shown_by(address: &str, files: &Files, name: &str) -> rustls::pki_types::CertificateDer<'static> {
    let mut config = trusting(&files.authority);
    config.dangerous().set_certificate_verifier(Arc::new(Credulous));
    let client = TlsPeer::client(Client::connect(address), &Arc::new(config), name);
    client.shown().expect("a server shows a certificate")
}

/// A configuration with one server. `more` belongs to the upstream, `listener` to the listener.
fn run_with(listener: &str, server: &str, more: &str) -> Builder {
    Proxy::run(&config(listener, server, more))
}

fn config(listener: &str, server: &str, more: &str) -> String {
    format!(
        "[upstreams.only]\nservers = [\"{server}\"]\n{more}\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n{listener}"
    )
}

fn comma(more: &str) -> &'static str {
    if more.is_empty() { "" } else { ", " }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's")
}

//! The filters of the library do in the proxy what their transcripts say, with real programs where there are any.

use serde_json::{Value, json};
use spliceway_tests::artifacts::filter;
use spliceway_tests::hello::Hello;
use spliceway_tests::servers::{Mariadb, Mosquitto, Sshd};
use spliceway_tests::{Client, Proxy, Upstream};

/// A filter in front of an upstream that the test plays.
fn guarded(name: &str, config: Value) -> (Proxy, Upstream) {
    let upstream = Upstream::listen();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(filter(name), config)
        .start();
    (proxy, upstream)
}

#[test]
fn sni_tenant_sends_a_name_to_its_tenant_and_tells_others_in_tls() {
    let (default, acme) = (Upstream::named("default"), Upstream::named("acme"));
    let proxy = Proxy::forward(default.address())
        .upstream("tenant-acme", acme.address())
        .filter_with(
            filter("sni-tenant"),
            json!({"names": {"*.tenants.example": "tenant-*"}}),
        )
        .start();
    let mut client = Client::connect(proxy.address());
    let hello = Hello::of("acme.tenants.example").bytes();
    let (first, second) = hello.split_at(20);
    client.send(first);
    client.send(second);
    client.expect(b"acme");
    client.expect(&hello);

    for hello in [Hello::of("nobody.tenants.example"), Hello::nameless()] {
        let mut client = Client::connect(proxy.address());
        client.send(&hello.bytes());
        client.expect(b"\x15\x03\x03\0\x02\x02\x70");
        client.expect_eof();
        assert_eq!(proxy.ended(&client).outcome, "route.filter-refused.proxy");
    }
}

#[test]
fn connect_rate_resets_who_comes_too_often() {
    let config = json!({"limits": [{"by": "client", "per-second": 0.001, "burst": 2}]});
    let (proxy, upstream) = guarded("connect-rate", config);
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address());
        client.send(b"x");
        upstream.accept().expect(b"x");
    }
    Client::connect(proxy.address()).expect_reset();
    let other = Client::connect_from([127, 0, 0, 2], proxy.address());
    upstream.accept();
    drop(other);
}

#[test]
fn ssh_banner_lets_openssh_in_or_does_not() {
    let sshd = Sshd::start();
    let through = |config: Value| {
        let proxy = Proxy::forward(sshd.address())
            .filter_with(filter("ssh-banner"), config)
            .start();
        sshd.ssh(proxy.port(), "echo hello")
    };
    assert_eq!(through(json!({"allow": ["OpenSSH_*"]})).success(), "hello\n");
    assert!(!through(json!({"refuse": ["OpenSSH_*"]})).status.success());
}

#[test]
fn ip_reputation_reads_a_hundred_thousand_networks_and_resets_who_is_in_one() {
    let networks = (0..100_000_u32).map(|number| (number << 9 | 0xc000_0000).to_be_bytes());
    let lines: String = networks.map(|[a, b, c, _]| format!("{a}.{b}.{c}.0/24\n")).collect();
    let upstream = Upstream::listen();
    let config = format!(
        "[filters.reputation]\nsource = \"{}\"\n[filters.reputation.config.deny]\nown = [\"127.0.0.2\"]\nbig = '''\n{lines}'''\n\
         [upstreams.u]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\nfilters = [\"reputation\"]\nupstream = \"u\"\n",
        filter("ip-reputation").display(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    Client::connect_from([127, 0, 0, 2], proxy.address()).expect_reset();
    let mut client = Client::connect(proxy.address());
    client.send(b"x");
    upstream.accept().expect(b"x");
}

#[test]
fn vpce_router_goes_by_the_endpoint_of_a_proxy_header() {
    let (default, acme) = (Upstream::named("default"), Upstream::named("acme"));
    let proxy = Proxy::run(&format!(
        "[filters.customers]\nsource = \"{}\"\nconfig = {{ aws = {{ vpce-1 = \"acme\" }} }}\n\
         [upstreams.default]\nservers = [\"{}\"]\n[upstreams.acme]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\nfilters = [\"customers\"]\nupstream = \"default\"\n\
         proxy-protocol = {{ trusted = [\"127.0.0.1\"] }}\n",
        filter("vpce-router").display(),
        default.address(),
        acme.address()
    ))
    .start();
    let header = |endpoint: &str| {
        let tlv = [&[0xea, 0, endpoint.len() as u8 + 1, 1], endpoint.as_bytes()].concat();
        let addresses = [192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 1, 0xbb];
        let length = (addresses.len() + tlv.len()) as u8;
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..], &[length], &addresses, &tlv].concat()
    };
    let mut client = Client::connect(proxy.address());
    client.send(&header("vpce-1"));
    client.expect(b"acme");
    let mut client = Client::connect(proxy.address());
    client.send(&header("vpce-2"));
    client.expect_eof();
}

#[test]
fn redact_masks_what_comes_in_pieces() {
    let (proxy, upstream) = guarded("redact", json!({"patterns": ["card", "bearer"], "direction": "down"}));
    let mut client = Client::connect(proxy.address());
    let mut server = upstream.accept();
    server.send(b"pay with 4111 11");
    client.expect(b"pay with ");
    server.send(b"11 1111 1111\r\nBearer abc\r\n");
    client.expect(b"*******************\r\nBearer ***\r\n");
    client.send(b"4111111111111111");
    server.expect(b"4111111111111111");
}

#[test]
fn mqtt_guard_lets_clients_publish_and_subscribe_to_their_own() {
    let broker = Mosquitto::start();
    let config = json!({"client-ids": ["sensor-*"], "publish": ["sensors/%c/#"], "subscribe": ["sensors/%c/#"]});
    let proxy = Proxy::forward(broker.address())
        .filter_with(filter("mqtt-guard"), config)
        .start();
    let message = "x".repeat(100_000);
    Mosquitto::publish(proxy.port(), "sensor-7", "sensors/sensor-7/t", &message).success();
    let received = Mosquitto::subscribe(proxy.port(), "sensor-7", "sensors/sensor-7/+");
    assert_eq!(received.success().trim_end().len(), message.len());
    let refused = Mosquitto::publish(proxy.port(), "evil", "sensors/evil/t", "x");
    assert!(refused.stderr.contains("ot authori"), "{refused:?}");

    // By hand, since its programs try again and again.
    let subscribe = b"\x82\x10\0\x01\0\x0bsensors/+/t\0";
    for refused in [&subscribe[..], b"\x30\x12\0\x10sensors/sensor-8"] {
        let mut client = Client::connect(proxy.address());
        client.send(b"\x10\x14\0\x04MQTT\x04\x02\0\x3c\0\x08sensor-7");
        client.expect(b"\x20\x02\0\0");
        client.send(refused);
        client.expect_eof();
        assert_eq!(proxy.ended(&client).outcome, "relay.filter-refused.proxy");
    }
}

#[test]
fn mysql_router_leaves_the_password_between_client_and_server() {
    let server = Mariadb::start();
    let unused = Upstream::listen();
    let config =
        json!({"routes": [{"database": "blue", "upstream": "blue"}], "server-version": "5.5.5-10.11.6-MariaDB"});
    let proxy = Proxy::forward(unused.address())
        .upstream("blue", server.address())
        .filter_with(filter("mysql-router"), config)
        .start();
    let sql = |password: &str, database: &str| server.sql(proxy.port(), password, database, "select database(), 1 + 1");
    assert_eq!(sql("secret", "blue").success(), "blue\t2\n");
    let wrong = sql("wrong", "blue");
    assert!(
        wrong
            .stderr
            .contains("ERROR 1045 (28000): Access denied for user 'app'"),
        "{wrong:?}"
    );
    let nowhere = sql("secret", "green");
    assert!(
        nowhere
            .stderr
            .contains("ERROR 1049 (42000): no upstream for database \"green\", user \"app\""),
        "{nowhere:?}"
    );
}

//! A collector of OpenTelemetry's is told of connections, and gets the log; and nobody minds where there is none.

use std::time::Duration;

use spliceway_tests::bytes::pattern;
use spliceway_tests::collector::{Collector, Span};
use spliceway_tests::{Client, Proxy, Upstream, eventually, skip, spliceway};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// What `cargo build` makes without `--features otel` cannot do any of this, and says so where it is configured.
fn has_opentelemetry() -> bool {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("spliceway.toml");
    std::fs::write(&file, config("http://127.0.0.1:1", "127.0.0.1:1", "")).expect("a file in a folder of the test's");
    let said = spliceway(["check", "--config", &file.display().to_string()], PATIENCE);
    if said.code() != Some(0) {
        assert!(said.stderr.contains("built without OpenTelemetry"), "{}", said.stderr);
        assert!(said.stderr.contains("--features otel"), "{}", said.stderr);
    }
    said.code() == Some(0)
}

fn config(endpoint: &str, server: &str, more: &str) -> String {
    format!(
        "workers = 1\n\
         telemetry = {{ endpoint = \"{endpoint}\"{more} }}\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"back\"\n\
         [upstreams.back]\nservers = [\"{server}\"]\n"
    )
}

#[test]
fn a_connection_is_a_span_and_a_line_of_the_log_is_a_record() {
    if !has_opentelemetry() {
        skip!("the proxy was built without the feature `otel`");
    }
    let (collector, upstream) = (Collector::start(), Upstream::echo());
    let proxy = Proxy::run(&config(&collector.endpoint(), upstream.address(), "")).start();
    let sent = pattern(1, 100_000);
    let mut client = Client::connect(proxy.listener("front"));
    let address = client.local().to_owned();
    client.send(&sent);
    client.half_close();
    assert_eq!(client.receive_all(), sent);
    let span = only(&collector);
    assert_eq!(
        (&*span.service, &*span.name, span.failed),
        ("spliceway", "front", false)
    );
    assert!(span.nanoseconds > 0);
    let (ip, port) = address.rsplit_once(':').expect("an address of TCP");
    for (key, value) in [
        ("spliceway.listener", "front"),
        ("spliceway.upstream", "back"),
        ("spliceway.server", upstream.address()),
        ("spliceway.outcome", "relay.finished.client"),
        ("spliceway.up.bytes", "100000"),
        ("spliceway.down.bytes", "100000"),
        ("network.transport", "tcp"),
        ("client.address", ip),
        ("client.port", port),
    ] {
        assert_eq!(
            span.attributes.get(key).map(String::as_str),
            Some(value),
            "{key} of {span:?}"
        );
    }
    let ready = collector.log("ready");
    assert_eq!(ready.severity, "INFO");
    assert_eq!(ready.attributes.get("workers").map(String::as_str), Some("1"));
}

#[test]
fn one_that_fails_says_so() {
    if !has_opentelemetry() {
        skip!("the proxy was built without the feature `otel`");
    }
    let collector = Collector::start();
    let (_reserved, nobody) = Upstream::refusing();
    let proxy = Proxy::run(&config(&collector.endpoint(), &nobody, ", logs = false")).start();
    Client::connect(proxy.listener("front")).expect_closed();
    let span = only(&collector);
    assert!(span.failed);
    assert_eq!(
        span.attributes.get("spliceway.outcome").map(String::as_str),
        Some("connect.refused.upstream")
    );
    assert_eq!(span.attributes.get("spliceway.server"), None);
}

#[test]
fn what_has_not_been_sent_is_sent_at_the_end() {
    if !has_opentelemetry() {
        skip!("the proxy was built without the feature `otel`");
    }
    let (collector, upstream) = (Collector::start(), Upstream::echo());
    let proxy = Proxy::run(&config(&collector.endpoint(), upstream.address(), "")).start();
    for _ in 0..50 {
        let mut client = Client::connect(proxy.listener("front"));
        client.half_close();
        client.expect_eof();
    }
    assert!(proxy.terminate().success());
    assert_eq!(collector.spans().len(), 50);
    collector.log("stopped");
}

#[test]
fn a_part_of_all_connections_can_be_enough() {
    if !has_opentelemetry() {
        skip!("the proxy was built without the feature `otel`");
    }
    let (collector, upstream) = (Collector::start(), Upstream::echo());
    let proxy = Proxy::run(&config(&collector.endpoint(), upstream.address(), ", traces = \"20%\"")).start();
    for _ in 0..200 {
        let mut client = Client::connect(proxy.listener("front"));
        client.half_close();
        client.expect_eof();
    }
    assert!(proxy.terminate().success());
    let spans = collector.spans().len();
    assert!((30..=50).contains(&spans), "{spans} of 200 at 20%");
}

#[test]
fn without_a_collector_nobody_waits() {
    if !has_opentelemetry() {
        skip!("the proxy was built without the feature `otel`");
    }
    let (_reserved, nobody) = Upstream::refusing();
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&config(&format!("http://{nobody}"), upstream.address(), "")).start();
    for _ in 0..50 {
        let mut client = Client::connect(proxy.listener("front"));
        client.send(b"x");
        client.expect(b"x");
    }
    assert!(proxy.terminate().success());
}

/// Waits for the span of the only connection that there was.
#[track_caller]
fn only(collector: &Collector) -> Span {
    eventually("a span", || collector.spans().first().cloned())
}

//! A collector of OpenTelemetry's: OTLP over HTTP (opentelemetry.io/docs/specs/otlp), as far as a proxy speaks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::{Peer, Upstream, eventually};

/// Takes whatever it is sent.
pub struct Collector {
    upstream: Upstream,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    logs: Vec<Log>,
}

/// Of a connection.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub nanoseconds: u64,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct Log {
    pub severity: String,
    pub text: String,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    #[track_caller]
    pub fn start() -> Self {
        let got = Arc::new(Mutex::new(Got::default()));
        let upstream = Upstream::listen().serving({
            let got = Arc::clone(&got);
            move |peer| serve(peer, &got)
        });
        Self { upstream, got }
    }

    /// As a configuration names it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.upstream.address())
    }

    pub fn spans(&self) -> Vec<Span> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// Waits for a line of that text.
    #[track_caller]
    pub fn log(&self, text: &str) -> Log {
        eventually(text, || {
            let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
            got.logs.iter().find(|log| log.text == text).cloned()
        })
    }
}

fn serve(mut peer: Peer, got: &Mutex<Got>) {
    while let Some((path, body)) = request(&mut peer) {
        let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
        match &*path {
            "/v1/traces" => got.spans.extend(spans(&body)),
            "/v1/logs" => got.logs.extend(logs(&body)),
            other => panic!("nothing is sent to {other}"),
        }
        drop(got);
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
    }
}

/// Its path and its body; `None` where no more come.
fn request(peer: &mut Peer) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(peer.try_receive(1)?);
    }
    let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("a length").parse().expect("a number");
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    Some((path, peer.try_receive(length)?))
}

fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("traces");
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let service = service(group.resource.as_ref());
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: service.clone(),
                name: span.name,
                nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: words(&span.attributes),
            });
        }
    }
    spans
}

fn logs(body: &[u8]) -> Vec<Log> {
    let request = ExportLogsServiceRequest::decode(body).expect("logs");
    let scopes = request.resource_logs.into_iter().flat_map(|group| group.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    let log = |record: opentelemetry_proto::tonic::logs::v1::LogRecord| Log {
        severity: record.severity_text,
        text: word(record.body.as_ref()),
        attributes: words(&record.attributes),
    };
    records.map(log).collect()
}

fn service(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| words(&resource.attributes)).unwrap_or_default();
    attributes.get("service.name").cloned().unwrap_or_default()
}

fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let word = |pair: &KeyValue| (pair.key.clone(), word(pair.value.as_ref()));
    attributes.iter().map(word).collect()
}

fn word(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

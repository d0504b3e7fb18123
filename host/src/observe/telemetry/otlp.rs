//! With OpenTelemetry.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::{Span, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Key, KeyValue, StringValue, Value};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use tracing::{Event as Record, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::super::{Entry, Event};
use super::Spans;
use crate::config::{LogField, TelemetryConfig};
use crate::outcome::Cause;

/// Spans that wait for the collector; the access log's thread gives several hundred at a time.
const QUEUE: usize = 16 << 10;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);

/// How long a collector may take for what it is told at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Spans and log are the process's, as the log is.
static SPANS: OnceLock<Spans> = OnceLock::new();
static BRIDGE: OnceLock<OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>> = OnceLock::new();

/// Tells the collector until it is dropped, and then what is left.
pub struct Telemetry {
    spans: SdkTracerProvider,
    log: Option<SdkLoggerProvider>,
}

#[derive(Clone)]
pub struct Tracer(SdkTracer);

/// What tracing records, as records of OpenTelemetry's, once there is a collector.
pub struct Log;

impl Telemetry {
    /// Once for the process. A collector that is not there yet is no error.
    ///
    /// # Errors
    /// There is no way to speak HTTP.
    pub fn start(config: &TelemetryConfig) -> anyhow::Result<Self> {
        // The libraries read OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES themselves.
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("spliceway");
        }
        let resource = resource.build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", config.endpoint))
            .build()
            .context("cannot start OpenTelemetry")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build());
        let spans = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(processor.build())
            .build();
        if let Some(spans) = Spans::new(Tracer(spans.tracer("spliceway")), config) {
            let _ = SPANS.set(spans);
        }
        let log = config.logs.then(|| {
            let exporter = LogExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("{}/v1/logs", config.endpoint))
                .build()
                .context("cannot start OpenTelemetry")?;
            let log = SdkLoggerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(exporter)
                .build();
            let _ = BRIDGE.set(OpenTelemetryTracingBridge::new(&log));
            anyhow::Ok(log)
        });
        Ok(Self {
            spans,
            log: log.transpose()?,
        })
    }

    /// Where connections become spans, if somewhere.
    pub fn spans() -> Option<Spans> {
        SPANS.get().cloned()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Who is not told at the end cannot be told of that either.
        let _ = self.spans.shutdown_with_timeout(LAST_WORDS);
        if let Some(log) = &self.log {
            let _ = log.shutdown_with_timeout(LAST_WORDS);
        }
    }
}

impl Tracer {
    /// One span, as the semantic conventions for networks and TLS call its attributes where they have a name for them
    /// (opentelemetry.io/docs/specs/semconv).
    pub fn write(&self, entry: &Entry) {
        let Event::Close(outcome) = entry.event else { return };
        let start = entry.time - entry.duration;
        let span = self.0.span_builder(entry.listener.to_string());
        let mut span = span
            .with_kind(SpanKind::Server)
            .with_start_time(start)
            .with_attributes(attributes(entry, &outcome.to_string()))
            .start(&self.0);
        if outcome.cause != Cause::Finished {
            span.set_status(Status::error(outcome.to_string()));
        }
        span.end_with_timestamp(entry.time);
    }
}

fn attributes(entry: &Entry, outcome: &str) -> Vec<KeyValue> {
    let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
    let number = |key: &'static str, value: u64| KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX));
    let seconds = |key: &'static str, time: Duration| KeyValue::new(key, time.as_secs_f64());
    let mut attributes = vec![
        number("spliceway.connection", entry.connection),
        text("spliceway.listener", &entry.listener),
        text("spliceway.outcome", outcome),
        number("spliceway.up.bytes", entry.up.total()),
        number("spliceway.down.bytes", entry.down.total()),
        number("spliceway.up.spliced", entry.up.spliced),
        number("spliceway.down.spliced", entry.down.spliced),
        number("spliceway.up.filtered", entry.up.filtered),
        number("spliceway.down.filtered", entry.down.filtered),
    ];
    match entry.client {
        Some(client) => attributes.extend([
            text("network.transport", "tcp"),
            text("client.address", &client.ip().to_string()),
            number("client.port", client.port().into()),
        ]),
        None => attributes.push(text("network.transport", "unix")),
    }
    attributes.extend(entry.upstream.as_deref().map(|name| text("spliceway.upstream", name)));
    attributes.extend(
        entry
            .server
            .as_deref()
            .map(|server| text("spliceway.server", &server.to_string())),
    );
    attributes.extend(entry.route.as_deref().map(|route| text("spliceway.route", route)));
    attributes.extend(entry.connect.map(|time| seconds("spliceway.connect.duration", time)));
    attributes.extend(
        entry
            .first_byte
            .map(|time| seconds("spliceway.first_byte.duration", time)),
    );
    attributes.extend(
        entry
            .known
            .iter()
            .filter_map(|(field, value)| Some(text(known(*field)?, value))),
    );
    attributes.extend(entry.annotations.iter().map(|(key, value)| {
        let key = Key::new(format!("filter.{key}"));
        KeyValue::new(key, said(value))
    }));
    attributes
}

fn known(field: LogField) -> Option<&'static str> {
    match field {
        LogField::Protocol => Some("network.protocol.name"),
        LogField::Sni => Some("tls.client.server_name"),
        LogField::Alpn => Some("tls.next_protocol"),
        LogField::TlsVersion => Some("tls.protocol.version"),
        LogField::Ja4 => Some("tls.client.ja4"),
        LogField::ClientSubject => Some("tls.client.subject"),
        _ => None,
    }
}

fn said(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::String(text) => Value::String(StringValue::from(text.clone())),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::I64(whole),
            (None, Some(number)) => Value::F64(number),
            (None, None) => Value::String(number.to_string().into()),
        },
        other => Value::String(other.to_string().into()),
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_event(&self, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(bridge) = BRIDGE.get() {
            bridge.on_event(record, context);
        }
    }
}

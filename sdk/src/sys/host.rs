//! The proxy's functions, in this crate's own types.

use std::net::{IpAddr, SocketAddr};

use super::bindings::base::spliceway::filter as wit;
use super::bindings::log::spliceway::filter as borrowed;
use crate::log::{Field, FieldValue, Level};
use crate::metrics::Kind;
use crate::store::Error;
use crate::upstreams::Upstream;
use crate::{Attribute, Value};

pub(crate) fn connection_id() -> u64 {
    wit::connection::id()
}

pub(crate) fn client() -> Option<SocketAddr> {
    wit::connection::client().map(address)
}

pub(crate) fn local() -> Option<SocketAddr> {
    wit::connection::local().map(address)
}

pub(crate) fn listener() -> String {
    wit::connection::listener()
}

pub(crate) fn attribute(key: &str) -> Option<Value> {
    wit::connection::attribute(key).map(Value::from)
}

pub(crate) fn annotate(key: &str, value: Value) {
    wit::connection::annotate(key, &value.into());
}

pub(crate) fn start_tls() -> bool {
    wit::connection::start_tls()
}

pub(crate) fn now() -> u64 {
    wit::environment::now()
}

pub(crate) fn monotonic() -> u64 {
    wit::environment::monotonic()
}

pub(crate) fn random() -> u64 {
    wit::environment::random()
}

pub(crate) fn log_enabled(level: Level) -> bool {
    borrowed::log::enabled(level.into())
}

pub(crate) fn log_emit(level: Level, message: &str, fields: &[Field<'_>]) {
    let fields: Vec<_> = fields.iter().map(borrowed::types::AttributeParam::from).collect();
    borrowed::log::emit(level.into(), message, &fields);
}

pub(crate) fn log_emit_batch(level: Level, message: &str, keys: &[&str], values: &[Option<FieldValue<'_>>]) {
    let values: Vec<_> = values
        .iter()
        .map(|value| value.as_ref().map(borrowed::types::ValueParam::from))
        .collect();
    borrowed::log::emit_batch(level.into(), message, keys, &values);
}

pub(crate) fn metric_define(name: &str, kind: Kind, help: &str) -> Result<u32, String> {
    let kind = match kind {
        Kind::Counter => wit::metrics::Kind::Counter,
        Kind::Gauge => wit::metrics::Kind::Gauge,
        Kind::Histogram => wit::metrics::Kind::Histogram,
    };
    wit::metrics::define(name, kind, help)
}

pub(crate) fn metric_add(metric: u32, by: u64) {
    wit::metrics::add(metric, by);
}

pub(crate) fn metric_set(metric: u32, value: f64) {
    wit::metrics::set(metric, value);
}

pub(crate) fn metric_observe(metric: u32, value: f64) {
    wit::metrics::observe(metric, value);
}

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    wit::store::get(key)
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), Error> {
    wit::store::set(key, value, ttl_ms).map_err(Error::from)
}

pub(crate) fn store_delete(key: &str) {
    wit::store::delete(key);
}

pub(crate) fn store_add(key: &str, by: i64, ttl_ms: u64) -> Result<i64, Error> {
    wit::store::add(key, by, ttl_ms).map_err(Error::from)
}

pub(crate) fn store_take(key: &str, tokens: u32, per_second: f64, burst: u32) -> bool {
    wit::store::take(key, tokens, per_second, burst)
}

pub(crate) fn upstream(name: &str) -> Option<Upstream> {
    wit::upstreams::get(name).map(Upstream::from)
}

pub(crate) fn upstreams() -> Vec<Upstream> {
    wit::upstreams::all().into_iter().map(Upstream::from).collect()
}

pub(super) fn address(endpoint: wit::types::Endpoint) -> SocketAddr {
    use wit::types::IpAddress;
    match endpoint.address {
        IpAddress::V4((a, b, c, d)) => SocketAddr::from(([a, b, c, d], endpoint.port)),
        IpAddress::V6((a, b, c, d, e, f, g, h)) => SocketAddr::from(([a, b, c, d, e, f, g, h], endpoint.port)),
    }
}

fn endpoint(address: SocketAddr) -> wit::types::Endpoint {
    wit::types::Endpoint {
        address: match address.ip() {
            IpAddr::V4(ip) => wit::types::IpAddress::V4(ip.octets().into()),
            IpAddr::V6(ip) => wit::types::IpAddress::V6(ip.segments().into()),
        },
        port: address.port(),
    }
}

impl From<wit::types::Value> for Value {
    fn from(value: wit::types::Value) -> Self {
        match value {
            wit::types::Value::Text(text) => Self::Text(text),
            wit::types::Value::Integer(integer) => Self::Integer(integer),
            wit::types::Value::Boolean(boolean) => Self::Boolean(boolean),
            wit::types::Value::Bytes(bytes) => Self::Bytes(bytes),
            wit::types::Value::Address(endpoint) => Self::Address(address(endpoint)),
        }
    }
}

impl From<Value> for wit::types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Integer(integer) => Self::Integer(integer),
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Address(address) => Self::Address(endpoint(address)),
        }
    }
}

impl From<wit::types::Attribute> for Attribute {
    fn from(attribute: wit::types::Attribute) -> Self {
        Self {
            key: attribute.key,
            value: attribute.value.into(),
        }
    }
}

impl From<Attribute> for wit::types::Attribute {
    fn from(attribute: Attribute) -> Self {
        Self {
            key: attribute.key,
            value: attribute.value.into(),
        }
    }
}

impl<'a> From<&'a Field<'_>> for borrowed::types::AttributeParam<'a> {
    fn from(field: &'a Field<'_>) -> Self {
        Self {
            key: field.key,
            value: (&field.value).into(),
        }
    }
}

impl<'a> From<&'a FieldValue<'_>> for borrowed::types::ValueParam<'a> {
    fn from(value: &'a FieldValue<'_>) -> Self {
        match value {
            FieldValue::Text(text) => Self::Text(text),
            FieldValue::Integer(integer) => Self::Integer(*integer),
            FieldValue::Boolean(boolean) => Self::Boolean(*boolean),
            FieldValue::Bytes(bytes) => Self::Bytes(bytes),
            FieldValue::Address(address) => Self::Address(endpoint(*address)),
        }
    }
}

impl From<Level> for borrowed::log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl From<wit::store::Error> for Error {
    fn from(error: wit::store::Error) -> Self {
        match error {
            wit::store::Error::Full => Self::Full,
            wit::store::Error::TooLarge => Self::TooLarge,
        }
    }
}

impl From<wit::upstreams::Group> for Upstream {
    fn from(group: wit::upstreams::Group) -> Self {
        Self::new(group.name, group.servers, group.healthy, group.connections)
    }
}

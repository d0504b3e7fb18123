//! Between the contract's types and ours.

use std::net::{IpAddr, SocketAddr};

use crate::filter::abi::types::{self, Endpoint, IpAddress};
use crate::filter::facts::{Attribute, Value};
use crate::filter::instance::State;
use crate::flow::Direction;

/// The interface has types only.
impl types::Host for State {}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: match address.ip() {
                IpAddr::V4(ip) => IpAddress::V4(ip.octets().into()),
                IpAddr::V6(ip) => IpAddress::V6(ip.segments().into()),
            },
            port: address.port(),
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint.address {
            IpAddress::V4((a, b, c, d)) => Self::from(([a, b, c, d], endpoint.port)),
            IpAddress::V6((a, b, c, d, e, f, g, h)) => Self::from(([a, b, c, d, e, f, g, h], endpoint.port)),
        }
    }
}

impl From<Direction> for types::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up,
            Direction::Down => Self::Down,
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Text(text) => Self::Text(text),
            types::Value::Integer(number) => Self::Integer(number),
            types::Value::Boolean(truth) => Self::Boolean(truth),
            types::Value::Bytes(bytes) => Self::Bytes(bytes),
            types::Value::Address(address) => Self::Address(address.into()),
        }
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(truth) => Self::Boolean(truth),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Address(address) => Self::Address(address.into()),
        }
    }
}

impl From<Attribute> for types::Attribute {
    fn from(attribute: Attribute) -> Self {
        Self {
            key: attribute.key,
            value: attribute.value.into(),
        }
    }
}

impl From<types::Attribute> for Attribute {
    fn from(attribute: types::Attribute) -> Self {
        Self {
            key: attribute.key,
            value: attribute.value.into(),
        }
    }
}

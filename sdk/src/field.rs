use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::Value;

/// A field of a log record. It borrows what it can, since a record lives for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// "redis.command", ...
    pub key: &'a str,
    /// What it is.
    pub value: FieldValue<'a>,
}

/// A [`Value`] that need not own its text or its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// Anything else.
    Bytes(Cow<'a, [u8]>),
    /// Of a peer.
    Address(SocketAddr),
}

impl<'a> Field<'a> {
    /// Takes anything that a [`Value`] can be made of.
    pub fn new(key: &'a str, value: impl Into<FieldValue<'a>>) -> Self {
        Self {
            key,
            value: value.into(),
        }
    }
}

impl<'a> From<&'a Value> for FieldValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.into()),
            Value::Integer(integer) => Self::Integer(*integer),
            Value::Boolean(boolean) => Self::Boolean(*boolean),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Address(address) => Self::Address(*address),
        }
    }
}

impl From<Value> for FieldValue<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.into()),
            Value::Integer(integer) => Self::Integer(integer),
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Address(address) => Self::Address(address),
        }
    }
}

impl From<&FieldValue<'_>> for Value {
    fn from(value: &FieldValue<'_>) -> Self {
        match value {
            FieldValue::Text(text) => Self::from(text.as_ref()),
            FieldValue::Integer(integer) => Self::Integer(*integer),
            FieldValue::Boolean(boolean) => Self::Boolean(*boolean),
            FieldValue::Bytes(bytes) => Self::from(bytes.as_ref()),
            FieldValue::Address(address) => Self::Address(*address),
        }
    }
}

macro_rules! borrowed {
    ($($variant:ident: $($type:ty)+;)+) => {$($(
        impl<'a> From<$type> for FieldValue<'a> {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+)+};
}

borrowed! {
    Text: &'a str &'a String Cow<'a, str>;
    Bytes: &'a [u8] &'a Vec<u8> Cow<'a, [u8]>;
}

/// Where there is nothing to borrow, a field says the same as a [`Value`].
macro_rules! owned {
    ($($type:ty)+) => {$(
        impl From<$type> for FieldValue<'_> {
            fn from(value: $type) -> Self {
                Value::from(value).into()
            }
        }
    )+};
}

owned!(String Vec<u8> bool SocketAddr IpAddr u8 u16 u32 u64 usize i8 i16 i32 i64);

//! `log`: a guest's records, under its filter's name.
//!
//! An access log calls this once for each connection, with a dozen strings. They are read where they lie, in the guest's
//! memory: hence no function of the generator's, whose strings are copies.

use std::borrow::Cow;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmList, WasmStr};

use crate::filter::abi::base::spliceway::filter::log::Level;
use crate::filter::abi::types::Endpoint;
use crate::filter::instance::State;
use crate::observe::log;

/// Records of one call.
const MOST_RECORDS: usize = 64;
const MOST_RECORDS_OFF_PATH: usize = 4096;

const LONGEST_MESSAGE: usize = 4 << 10;
const MOST_FIELDS: usize = 32;
const LONGEST_FIELD: usize = 1 << 10;

/// The contract's `attribute`.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Attribute {
    key: WasmStr,
    value: Value,
}

/// The contract's `value`.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum Value {
    #[component(name = "text")]
    Text(WasmStr),
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "bytes")]
    Bytes(WasmList<u8>),
    #[component(name = "address")]
    Address(Endpoint),
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut log = linker.instance("spliceway:filter/log@0.1.0")?;
    log.func_wrap("enabled", |_: StoreContextMut<'_, State>, (level,): (Level,)| {
        Ok((log::guest_enabled(level.into()),))
    })?;
    log.func_wrap("emit", |store: StoreContextMut<'_, State>, (level, message, fields)| {
        emit(store, level, &message, &fields)
    })
}

fn emit(
    mut store: StoreContextMut<'_, State>,
    level: Level,
    message: &WasmStr,
    fields: &WasmList<Attribute>,
) -> wasmtime::Result<()> {
    if matches!(level, Level::Error) {
        let words = cut(message.to_str(&store)?, LONGEST_MESSAGE).into_owned();
        store.data_mut().last_words = Some(words);
    }
    if !log::guest_enabled(level.into()) || !store.data_mut().may_log() {
        return Ok(());
    }
    let mut attributes: Vec<Attribute> = Vec::with_capacity(fields.len().min(MOST_FIELDS));
    for attribute in fields.iter(&mut store)?.take(MOST_FIELDS) {
        attributes.push(attribute?);
    }
    let message = cut(message.to_str(&store)?, LONGEST_MESSAGE);
    let mut fields: Vec<log::Field<'_>> = Vec::with_capacity(attributes.len());
    for attribute in &attributes {
        let key = cut(attribute.key.to_str(&store)?, LONGEST_FIELD);
        if fields.iter().all(|(known, _)| *known != key) {
            fields.push((key, attribute.value.read(&store)?));
        }
    }
    let state = store.data();
    log::guest(&log::Guest {
        level: level.into(),
        filter: state.generation.name(),
        generation: state.generation.number(),
        connection: state.facts.as_ref().map(|facts| facts.id),
        message: &message,
        fields: &fields,
    });
    Ok(())
}

impl State {
    /// A call about a connection is made by a worker, which writes the record itself; an observer has a thread of its own, and
    /// hundreds of connections in one call.
    fn may_log(&mut self) -> bool {
        let most = if self.facts.is_some() {
            MOST_RECORDS
        } else {
            MOST_RECORDS_OFF_PATH
        };
        self.logged += 1;
        if self.logged == most + 1 {
            tracing::warn!(
                filter = %self.generation.name(),
                generation = self.generation.number(),
                most,
                "a call logs too much: the rest is dropped"
            );
        }
        self.logged <= most
    }
}

impl Value {
    fn read<'a>(&self, store: &'a StoreContextMut<'_, State>) -> wasmtime::Result<log::Value<'a>> {
        Ok(match self {
            Self::Text(text) => log::Value::Text(cut(text.to_str(store)?, LONGEST_FIELD)),
            Self::Integer(number) => log::Value::Integer(*number),
            Self::Boolean(truth) => log::Value::Boolean(*truth),
            Self::Bytes(bytes) => {
                let bytes = bytes.as_le_slice(store);
                let kept = &bytes[..bytes.len().min(LONGEST_FIELD / 4)];
                log::Value::Text(kept.escape_ascii().to_string().into())
            }
            Self::Address(address) => log::Value::Address((*address).into()),
        })
    }
}

fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    match text {
        text if text.len() <= most => text,
        Cow::Borrowed(text) => text[..text.floor_char_boundary(most)].into(),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(most));
            text.into()
        }
    }
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

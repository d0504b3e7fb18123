//! `log`: a guest's records, under its filter's name.
//!
//! An access log has a dozen strings for each connection. They are read where they lie, in the guest's memory: hence no
//! functions of the generator's, whose strings are copies.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmList, WasmStr};

use crate::filter::abi::base::spliceway::filter::log::Level;
use crate::filter::abi::types::Endpoint;
use crate::filter::allowance::Allowance;
use crate::filter::instance::State;
use crate::filter::witness::{Record, Witness};
use crate::observe::log;

/// Records of one call.
const MOST_RECORDS: usize = 64;
const MOST_RECORDS_OFF_PATH: usize = 4096;

const LONGEST_MESSAGE: usize = 4 << 10;
const MOST_FIELDS: usize = 32;
const MOST_KEYS: usize = 64;
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

type Store<'a> = StoreContextMut<'a, State>;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut log = linker.instance("spliceway:filter/log@0.1.0")?;
    log.func_wrap("enabled", |store: Store<'_>, (level,): (Level,)| {
        Ok((is_heard(&store, level),))
    })?;
    log.func_wrap("emit", |store: Store<'_>, (level, message, fields)| {
        emit(store, level, &message, &fields)
    })?;
    log.func_wrap("emit-batch", |store: Store<'_>, (level, message, keys, values)| {
        emit_batch(store, level, &message, &keys, &values)
    })
}

fn emit(mut store: Store<'_>, level: Level, message: &WasmStr, fields: &WasmList<Attribute>) -> wasmtime::Result<()> {
    heed(&mut store, level, message)?;
    if !is_heard(&store, level) || store.data_mut().may_log(1) == 0 {
        return Ok(());
    }
    let attributes = lift(&mut store, fields, MOST_FIELDS)?;
    let keys = distinct(&store, attributes.iter().map(|attribute| &attribute.key))?;
    let values = attributes.iter().map(|attribute| Some(&attribute.value));
    let mut fields = Vec::with_capacity(keys.len());
    read(&store, &keys, values, &mut fields)?;
    if let Some(records) = records(&store, level, message)? {
        records.write(&fields);
    }
    Ok(())
}

fn emit_batch(
    mut store: Store<'_>,
    level: Level,
    message: &WasmStr,
    keys: &WasmList<WasmStr>,
    values: &WasmList<Option<Value>>,
) -> wasmtime::Result<()> {
    let width = keys.len();
    wasmtime::ensure!(
        width <= MOST_KEYS && values.len().is_multiple_of(width),
        "it logs a batch of {} values for {width} keys: each record has one for each key, and there may be {MOST_KEYS} keys",
        values.len()
    );
    heed(&mut store, level, message)?;
    if !is_heard(&store, level) || values.len() == 0 {
        return Ok(());
    }
    let count = store.data_mut().may_log(values.len() / width);
    let keys = lift(&mut store, keys, MOST_KEYS)?;
    let values = lift(&mut store, values, count * width)?;
    let keys = distinct(&store, keys.iter())?;
    let mut fields = Vec::with_capacity(keys.len());
    if let Some(records) = records(&store, level, message)? {
        for values in values.chunks_exact(width) {
            fields.clear();
            read(&store, &keys, values.iter().map(Option::as_ref), &mut fields)?;
            records.write(&fields);
        }
    }
    Ok(())
}

fn is_heard(store: &Store<'_>, level: Level) -> bool {
    store.data().generation.kept().witness.is_some() || log::guest_enabled(level.into())
}

/// If the guest traps next, this was its reason.
fn heed(store: &mut Store<'_>, level: Level, message: &WasmStr) -> wasmtime::Result<()> {
    if matches!(level, Level::Error) {
        let words = cut(message.to_str(&*store)?, LONGEST_MESSAGE).into_owned();
        store.data_mut().last_words = Some(words);
    }
    Ok(())
}

/// The first so many.
fn lift<T: Lift + 'static>(store: &mut Store<'_>, list: &WasmList<T>, most: usize) -> wasmtime::Result<Vec<T>> {
    let mut lifted = Vec::with_capacity(list.len().min(most));
    for value in list.iter(store)?.take(most) {
        lifted.push(value?);
    }
    Ok(lifted)
}

/// The keys, with none in the place of one that an earlier one is like.
fn distinct<'a, 'b>(
    store: &'a Store<'_>,
    keys: impl Iterator<Item = &'b WasmStr>,
) -> wasmtime::Result<Vec<Option<Cow<'a, str>>>> {
    let mut distinct: Vec<Option<Cow<'a, str>>> = Vec::with_capacity(keys.size_hint().0);
    for key in keys {
        let key = Some(cut(key.to_str(store)?, LONGEST_FIELD));
        let known = distinct.contains(&key);
        distinct.push(key.filter(|_| !known));
    }
    Ok(distinct)
}

/// Adds the fields of one record.
fn read<'a, 'b>(
    store: &'a Store<'_>,
    keys: &'a [Option<Cow<'a, str>>],
    values: impl Iterator<Item = Option<&'b Value>>,
    fields: &mut Vec<log::Field<'a>>,
) -> wasmtime::Result<()> {
    for (key, value) in keys.iter().zip(values) {
        if let (Some(key), Some(value)) = (key, value) {
            fields.push((key, value.read(store)?));
        }
    }
    fields.truncate(MOST_FIELDS);
    Ok(())
}

/// Who takes a guest's records down.
enum Scribe {
    Log(log::Records),
    Witness(Arc<Witness>, tracing::Level, String),
}

impl Scribe {
    fn write(&self, fields: &[log::Field<'_>]) {
        match self {
            Self::Log(records) => records.write(fields),
            Self::Witness(witness, level, message) => witness.record(Record {
                level: *level,
                message: message.clone(),
                fields: fields
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), plain(value)))
                    .collect(),
            }),
        }
    }
}

fn plain(value: &log::Value<'_>) -> String {
    match value {
        log::Value::Text(text) => text.clone().into_owned(),
        other => other.to_string(),
    }
}

fn records(store: &Store<'_>, level: Level, message: &WasmStr) -> wasmtime::Result<Option<Scribe>> {
    let state = store.data();
    if let Some(witness) = &state.generation.kept().witness {
        let message = cut(message.to_str(store)?, LONGEST_MESSAGE).into_owned();
        return Ok(Some(Scribe::Witness(Arc::clone(witness), level.into(), message)));
    }
    let records = log::Records::of(&log::Guest {
        level: level.into(),
        filter: state.generation.name(),
        generation: state.generation.number(),
        connection: state.facts.as_ref().map(|facts| facts.id),
        message: &cut(message.to_str(store)?, LONGEST_MESSAGE),
    });
    Ok(records.map(Scribe::Log))
}

impl State {
    /// How many of so many records; what is over is dropped, counted and said now and then. A call about a connection is made
    /// by a worker, which writes them itself; an observer has a thread of its own, and hundreds of connections in one call.
    pub(super) fn may_log(&mut self, records: usize) -> usize {
        let most = if self.facts.is_some() {
            MOST_RECORDS
        } else {
            MOST_RECORDS_OFF_PATH
        };
        let kept = self.generation.kept();
        let allowed = records.min(most.saturating_sub(self.logged));
        kept.log.lose(records - allowed);
        let besides = allowed.min(self.logs_besides);
        self.logs_besides -= besides;
        let granted = besides + kept.log.take(allowed - besides);
        self.logged += allowed;
        say_lost(&kept.log, &kept.name);
        granted
    }
}

/// A filter that logs without end is not to fill the log with what is said about it.
pub(in crate::filter) fn say_lost(allowance: &Allowance, filter: &str) {
    if let Some(lost) = allowance.lost() {
        tracing::warn!(filter, lost, "a filter logs too much: records were dropped");
    }
}

impl Value {
    fn read<'a>(&self, store: &'a Store<'_>) -> wasmtime::Result<log::Value<'a>> {
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

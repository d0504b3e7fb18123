//! `[filters.NAME]`

use std::path::Path;

use super::canary::canary;
use super::given::{count_or_default, or_default, table_or_default, within, word_or_default};
use super::names::FirstUse;
use super::pull::{pull, source};
use super::quarantine::quarantine;
use super::retire::retire;
use crate::config::diagnostics::{Problems, Reported, all};
use crate::config::named::Entry;
use crate::config::reader::Given;
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{FilterConfig, FilterLimits, Grant, defaults, file, ranges};

pub fn filter(entry: Entry<file::Filter>, directory: &Path, problems: &mut Problems) -> Result<FilterConfig, Reported> {
    let typed = entry.table.value()?;
    let source = source(typed.source, directory, problems);
    let pull = pull(typed.pull, &source, problems);
    let config = typed.config.map_or(Ok(serde_json::Value::Null), Given::value);
    let on_error = word_or_default(typed.on_error);
    let limits = table_or_default(typed.limits).and_then(|typed| limits(typed, problems));
    let sessions = or_default(
        typed.sessions_per_instance,
        &ranges::SESSIONS_PER_INSTANCE,
        i64::from(defaults::SESSIONS_PER_INSTANCE),
        problems,
    );
    let canary = typed.canary.map(|typed| canary(typed, problems)).transpose();
    let quarantine = quarantine(typed.quarantine, problems);
    let at_budget = word_or_default(typed.at_budget);
    let most_memory = limits.as_ref().ok().map(|limits| limits.memory);
    let retire = table_or_default(typed.retire).and_then(|typed| retire(typed, most_memory, problems));
    let grants = typed
        .grants
        .map_or_else(|| Ok(defaults::GRANTS.to_vec()), |given| grants(given, problems));
    let name = entry.name?.0;
    Ok(FilterConfig {
        pull: pull?,
        config: config?,
        on_error: on_error?,
        limits: limits?,
        sessions_per_instance: sessions.map(|count| u32::try_from(count).unwrap_or(u32::MAX))?,
        canary: canary?,
        quarantine: quarantine?,
        at_budget: at_budget?,
        retire: retire?,
        grants: grants?,
        ..FilterConfig::new(&name, source?)
    })
}

fn grants(given: Given<Vec<Given<Word<Grant>>>>, problems: &mut Problems) -> Result<Vec<Grant>, Reported> {
    let mut granted = FirstUse::new(|grant: &Word<Grant>| format!("`{}` is granted already", Word::of(grant.0)));
    all(given
        .value()?
        .into_iter()
        .map(|grant| granted.check(grant.0?, problems).map(|word| word.0)))
}

fn limits(typed: file::FilterLimits, problems: &mut Problems) -> Result<FilterLimits, Reported> {
    let default = defaults::FILTER_LIMITS;
    let memory = or_default(typed.memory, &ranges::MEMORY, Size(default.memory), problems);
    let call = or_default(typed.call, &ranges::CALL, Period(default.call), problems);
    let init = or_default(typed.init, &ranges::INIT, Period(default.init), problems);
    let output = or_default(typed.output, &ranges::OUTPUT, Size(default.output), problems);
    let log_lines = count_or_default(typed.log_lines, &ranges::LOG_LINES, default.log_lines, problems);
    let metrics = count_or_default(typed.metrics, &ranges::METRICS, default.metrics, problems);
    let entries = typed
        .store_entries
        .map(|given| within(given, &ranges::STORE_ENTRIES, problems));
    let bytes = or_default(
        typed.store_bytes,
        &ranges::STORE_BYTES,
        Size(default.store_bytes),
        problems,
    );
    Ok(FilterLimits {
        memory: memory?.0,
        call: call?.0,
        init: init?.0,
        output: output?.0,
        log_lines: log_lines?,
        metrics: metrics?,
        store_entries: entries
            .transpose()?
            .map_or(default.store_entries, |count| u64::try_from(count).unwrap_or(0)),
        store_bytes: bytes?.0,
    })
}

//! `[filters.NAME]`

use std::path::{Path, PathBuf};

use super::given::{apart, or_default, path, table_or_default, word_or_default};
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::named::Entry;
use crate::config::reader::Given;
use crate::config::units::{Period, Size};
use crate::config::{FilterConfig, FilterLimits, defaults, file, ranges};

pub fn filter(entry: Entry<file::Filter>, directory: &Path, problems: &mut Problems) -> Result<FilterConfig, Reported> {
    let typed = entry.table.value()?;
    let source = source(typed.source, directory, problems);
    let config = typed.config.map_or(Ok(serde_json::Value::Null), Given::value);
    let on_error = word_or_default(typed.on_error);
    let limits = table_or_default(typed.limits).and_then(|typed| limits(typed, problems));
    let sessions = or_default(
        typed.sessions_per_instance,
        &ranges::SESSIONS_PER_INSTANCE,
        i64::from(defaults::SESSIONS_PER_INSTANCE),
        problems,
    );
    Ok(FilterConfig {
        name: entry.name?.0,
        source: source?,
        config: config?,
        on_error: on_error?,
        limits: limits?,
        sessions_per_instance: sessions.map(|count| u32::try_from(count).unwrap_or(u32::MAX))?,
    })
}

fn source(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let (source, span) = apart(given.0?);
    if source.contains("://") {
        let problem = Problem::at(span, "only files can be the source of a filter so far");
        return Err(problems.report(problem.label(format!("expected {SOURCE}"))));
    }
    path(&source, span, SOURCE, directory, problems)
}

const SOURCE: &str = "a path, as in \"filters/router.wasm\"";

fn limits(typed: file::FilterLimits, problems: &mut Problems) -> Result<FilterLimits, Reported> {
    let FilterLimits { memory, call, init } = defaults::FILTER_LIMITS;
    let memory = or_default(typed.memory, &ranges::MEMORY, Size(memory), problems);
    let call = or_default(typed.call, &ranges::CALL, Period(call), problems);
    let init = or_default(typed.init, &ranges::INIT, Period(init), problems);
    Ok(FilterLimits {
        memory: memory?.0,
        call: call?.0,
        init: init?.0,
    })
}

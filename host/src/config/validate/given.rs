//! What stands in the file, or its default; and whether it is in its range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::named::{Entry, Named};
use crate::config::reader::Given;
use crate::config::units::{Period, Timeout};
use crate::config::word::{Word, Words};

pub fn entries<T>(given: Option<Given<Named<T>>>) -> impl Iterator<Item = Result<Entry<T>, Reported>> {
    let (entries, reported) = match given.map(Given::value) {
        None => (Vec::new(), None),
        Some(Ok(named)) => (named.0, None),
        Some(Err(reported)) => (Vec::new(), Some(Err(reported))),
    };
    entries.into_iter().map(Ok).chain(reported)
}

pub fn word_or_default<T: Words + Default>(given: Option<Given<Word<T>>>) -> Result<T, Reported> {
    given.map_or_else(|| Ok(T::default()), |given| given.value().map(|word| word.0))
}

pub fn table_or_default<T: Default>(given: Option<Given<T>>) -> Result<T, Reported> {
    given.map_or(Ok(T::default()), Given::value)
}

pub fn or_default<T: PartialOrd + Display>(
    given: Option<Given<T>>,
    range: &RangeInclusive<T>,
    default: T,
    problems: &mut Problems,
) -> Result<T, Reported> {
    given.map_or(Ok(default), |given| within(given, range, problems))
}

/// A number whose range fits 32 bits.
pub fn count_or_default(
    given: Option<Given<i64>>,
    range: &RangeInclusive<i64>,
    default: u32,
    problems: &mut Problems,
) -> Result<u32, Reported> {
    let count = or_default(given, range, i64::from(default), problems);
    count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

pub fn within<T: PartialOrd + Display>(
    given: Given<T>,
    range: &RangeInclusive<T>,
    problems: &mut Problems,
) -> Result<T, Reported> {
    let (value, span) = apart(given.0?);
    in_range(value, span, range, problems)
}

pub fn in_range<T: PartialOrd + Display>(
    value: T,
    span: Span,
    range: &RangeInclusive<T>,
    problems: &mut Problems,
) -> Result<T, Reported> {
    if range.contains(&value) {
        return Ok(value);
    }
    let problem = Problem::at(span, format!("{value} is out of range"));
    Err(problems.report(problem.label(format!("expected {} to {}", range.start(), range.end()))))
}

pub fn timeout_or_default(
    given: Option<Given<Timeout>>,
    range: &RangeInclusive<Period>,
    default: Option<Duration>,
    problems: &mut Problems,
) -> Result<Option<Duration>, Reported> {
    given.map_or(Ok(default), |given| timeout(given, range, problems))
}

pub fn timeout(
    given: Given<Timeout>,
    range: &RangeInclusive<Period>,
    problems: &mut Problems,
) -> Result<Option<Duration>, Reported> {
    let (timeout, span) = apart(given.0?);
    let checked = timeout.0.map(|period| in_range(period, span, range, problems));
    checked.map(|period| Ok(period?.0)).transpose()
}

/// The path of a file. A relative one starts at `directory`.
pub fn path(
    path: &str,
    span: Span,
    expected: &str,
    directory: &Path,
    problems: &mut Problems,
) -> Result<PathBuf, Reported> {
    if path.is_empty() || path.contains('\0') {
        let problem = Problem::at(span, "this is no path of a file");
        return Err(problems.report(problem.label(format!("expected {expected}"))));
    }
    Ok(directory.join(path))
}

pub fn apart<T>(spanned: Spanned<T>) -> (T, Span) {
    let span = spanned.span();
    (spanned.into_inner(), span)
}

/// Where something stands, if it could be read.
pub fn place<T>(given: &Option<Given<T>>) -> Option<Span> {
    given.as_ref()?.0.as_ref().ok().map(Spanned::span)
}

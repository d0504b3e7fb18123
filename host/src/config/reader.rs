//! From TOML's tree to the types of a file as typed, past every mistake to the end.
//!
//! serde stops at its first error; a person who waits for a restart wants all of them.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Absence, Problem, Problems, Reported, Span, all};
use super::suggest;

/// A value and where it stands.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A type that knows how it is typed in a file.
pub(super) trait Read: Sized {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported>;
}

/// What stands at a place of the file; or that it was no such thing, which is reported already.
#[derive(Debug)]
pub(super) struct Given<T>(pub(super) Result<Spanned<T>, Reported>);

impl<T> Given<T> {
    pub(super) fn value(self) -> Result<T, Reported> {
        self.0.map(Spanned::into_inner)
    }
}

impl<T: Read> Read for Given<T> {
    /// Never fails: the failure is inside, so that what stands around it can be read on.
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        Ok(Self(
            T::read(value, problems).map(|inner| Spanned::new(value.span(), inner)),
        ))
    }
}

/// A table whose keys are known. Keys that `read` does not ask for are reported.
pub(super) fn read_table<T>(
    value: &Value<'_>,
    expected: &str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Result<T, Reported> {
    match value.get_ref() {
        DeValue::Table(entries) => Ok(read_entries(entries, Some(value.span()), problems, read)),
        _ => Err(wrong_type(value, expected, problems)),
    }
}

/// As [`read_table`], for a table that is known to be one: the file, which has no place of its own.
pub(super) fn read_entries<T>(
    entries: &DeTable<'_>,
    at: Option<Span>,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> T {
    let mut table = Table {
        entries,
        at,
        asked: Vec::new(),
        missing: Vec::new(),
        problems,
    };
    let value = read(&mut table);
    table.report_unknown_keys();
    value
}

/// A table while it is read.
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    at: Option<Span>,
    asked: Vec<&'static str>,
    missing: Vec<(&'static str, Absence)>,
    problems: &'a mut Problems,
}

impl Table<'_> {
    pub(super) fn required<T: Read>(&mut self, key: &'static str) -> Given<T> {
        if let Some(given) = self.optional(key) {
            return given;
        }
        let problem = Problem::absence(self.at.clone(), format!("missing key `{key}`"));
        let problem = problem.label(format!("expected `{key} = ...` in this table"));
        self.report_missing(&[key], problem)
    }

    /// Two keys of which there must be one.
    pub(super) fn either<A: Read, B: Read>(
        &mut self,
        one: &'static str,
        other: &'static str,
    ) -> (Option<Given<A>>, Option<Given<B>>) {
        let (first, second) = (self.optional(one), self.optional(other));
        if first.is_some() || second.is_some() {
            return (first, second);
        }
        let problem = Problem::absence(self.at.clone(), format!("neither `{one}` nor `{other}`"));
        let problem = problem.label(format!("expected `{one} = ...` or `{other} = ...` in this table"));
        (Some(self.report_missing(&[one, other], problem)), None)
    }

    /// Several keys of which there must be one, and none is: stands for the first of them.
    pub(super) fn none_of<T>(&mut self, keys: &[&'static str]) -> Given<T> {
        let what = format!("none of {}", suggest::list(keys.iter().copied()));
        let problem = Problem::absence(self.at.clone(), what).label("expected one of them in this table");
        self.report_missing(keys, problem)
    }

    fn report_missing<T>(&mut self, keys: &[&'static str], problem: Problem) -> Given<T> {
        let (reported, absence) = self.problems.report_absence(problem);
        self.missing.extend(keys.iter().map(|key| (*key, absence)));
        Given(Err(reported))
    }

    pub(super) fn optional<T: Read>(&mut self, key: &'static str) -> Option<Given<T>> {
        self.asked.push(key);
        let value = self.entries.get(key)?;
        Some(Given(
            T::read(value, self.problems).map(|inner| Spanned::new(value.span(), inner)),
        ))
    }

    fn report_unknown_keys(mut self) {
        for key in self.entries.keys() {
            let word = key.get_ref().as_ref();
            if self.asked.contains(&word) {
                continue;
            }
            let problem = Problem::at(key.span(), format!("unknown key `{word}`"))
                .note(format!("known keys: {}", suggest::list(self.asked.iter().copied())));
            let Some(meant) = suggest::similar(word, self.asked.iter().copied()) else {
                self.problems.report(problem);
                continue;
            };
            let problem = problem.label(format!("did you mean `{meant}`?"));
            // A key that is there with a slip in it is not missing as well.
            match self.missing.iter().position(|(key, _)| *key == meant) {
                Some(found) => {
                    let (_, absence) = self.missing[found];
                    self.missing.retain(|(_, other)| *other != absence);
                    self.problems.replace(absence, problem);
                }
                None => _ = self.problems.report(problem),
            }
        }
    }
}

/// A string that is parsed further.
pub(super) fn read_text<T>(value: &Value<'_>, expected: &str, problems: &mut Problems) -> Result<T, Reported>
where
    T: FromStr<Err: Display>,
{
    let DeValue::String(text) = value.get_ref() else {
        return Err(wrong_type(value, expected, problems));
    };
    text.parse().map_err(|error: T::Err| {
        let problem = Problem::at(value.span(), format!("expected {expected}"));
        problems.report(problem.label(error.to_string()))
    })
}

/// Where a part of a string stands in the file. That is the whole string if escapes make it look different there.
pub(super) fn part_of_string(part: Span, text: &str, value: &Value<'_>, problems: &Problems) -> Span {
    let span = value.span();
    match problems.text(span.clone()).find(text) {
        Some(start) => span.start + start + part.start..span.start + start + part.end,
        None => span,
    }
}

pub(super) fn wrong_type(value: &Value<'_>, expected: &str, problems: &mut Problems) -> Reported {
    problems.report(mismatch(value, expected))
}

fn mismatch(value: &Value<'_>, expected: &str) -> Problem {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Problem::at(value.span(), format!("expected {expected}")).label(format!("this is {found}"))
}

impl Read for String {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(wrong_type(value, "a string", problems)),
        }
    }
}

impl Read for bool {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => Err(wrong_type(value, "true or false", problems)),
        }
    }
}

impl Read for i64 {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(wrong_type(value, "an integer", problems));
        };
        Self::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
            let problem = Problem::at(value.span(), "this integer is out of range");
            problems.report(problem.label("expected one that fits 64 bits"))
        })
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Array(items) = value.get_ref() else {
            // `[table]` and `scalar` alike become what is expected by one more pair of brackets.
            let brackets = format!("write `[{}]`", problems.text(value.span()));
            return Err(problems.report(mismatch(value, "an array").help(brackets)));
        };
        all(items.iter().map(|item| T::read(item, problems)))
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

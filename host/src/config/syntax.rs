//! The TOML parser's complaints, in our words where its own would puzzle.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::diagnostics::{Problem, Span, line_start};
use super::reader::Value;

/// The problems that make a text something else than TOML.
pub(super) fn problems(root: &Spanned<DeTable<'_>>, errors: &[Error], text: &str) -> Vec<Problem> {
    let repeated: Vec<usize> = errors.iter().filter_map(|error| repeated_header(error, text)).collect();
    // The keys of a table that is there twice are there twice as well: the table is enough to say.
    let echo = |error: &&Error| {
        let at = place(error, text).start;
        is_repetition(error) && repeated_header(error, text).is_none() && repeated.contains(&header_before(at, text))
    };
    let told = errors.iter().filter(|error| !echo(error));
    let mut problems: Vec<Problem> = told.map(|error| problem(error, text)).collect();
    if errors.iter().any(is_unclosed) {
        let unclosed = first_unclosed(root.get_ref(), text);
        problems.extend(unclosed.map(|(at, what)| Problem::unclosed(at, what).label("opened here")));
    }
    problems
}

fn problem(error: &Error, text: &str) -> Problem {
    let at = place(error, text);
    if is_repetition(error) {
        return repetition(at, text);
    }
    // "expected nothing" is what the parser says where it could read a value and found something behind it.
    let message = error.message();
    let message = message.strip_suffix(", expected nothing").unwrap_or(message);
    let (what, expected) = match message.split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (message, None),
    };
    let problem = Problem::syntax(at.clone(), what);
    match what {
        "string values must be quoted" => match text.get(at).unwrap_or_default() {
            "" => problem.label("expected a value"),
            bare => problem.label(format!("expected {bare:?}")),
        },
        // `address = 10.0.0.1:80` begins like a number, over whose rest the parser stumbles.
        "invalid float" | "invalid integer number" | "invalid boolean" => problem.help("text goes in quotes"),
        _ => match expected {
            Some(expected) => problem.label(format!("expected {expected}")),
            None => problem,
        },
    }
}

fn place(error: &Error, text: &str) -> Span {
    error.span().unwrap_or(text.len()..text.len())
}

fn is_repetition(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// The start of the line, if the error is about a table that was declared before.
fn repeated_header(error: &Error, text: &str) -> Option<usize> {
    let start = line_start(text, place(error, text).start);
    (is_repetition(error) && text[start..].starts_with('[')).then_some(start)
}

/// The start of the line that opens the table around a place.
fn header_before(at: usize, text: &str) -> usize {
    text[..at].rfind("\n[").map_or(0, |newline| newline + 1)
}

fn repetition(at: Span, text: &str) -> Problem {
    let line = line_start(text, at.start);
    let header = text[line..].lines().next().unwrap_or_default();
    let problem = Problem::syntax(at.clone(), format!("`{}` is declared twice", &text[at.clone()]));
    let mut same = text[..line].match_indices(header).map(|(at, _)| at);
    match same.find(|&at| header.starts_with('[') && line_start(text, at) == at) {
        Some(first) => problem
            .label("and here again")
            .related(first..first + header.trim_end().len(), "first here"),
        None => problem,
    }
}

fn is_unclosed(error: &Error) -> bool {
    let message = error.message();
    ["unclosed array", "unclosed inline table", "invalid multi-line"]
        .iter()
        .any(|start| message.starts_with(start))
}

/// The first value that opens and never closes: everything behind it was read as a part of it, with a complaint for each line.
fn first_unclosed(entries: &DeTable<'_>, text: &str) -> Option<(Span, &'static str)> {
    let in_entry = |(key, value): (&Spanned<_>, &Value<'_>)| {
        let header = value.span().start <= key.span().start;
        match value.get_ref() {
            DeValue::Table(inner) if header => first_unclosed(inner, text),
            DeValue::Array(items) if header => {
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                tables.filter_map(|table| first_unclosed(table, text)).next()
            }
            DeValue::Table(_) => unclosed(value, text, "{", "}").map(|at| (at, "this table is never closed")),
            DeValue::Array(_) => unclosed(value, text, "[", "]").map(|at| (at, "this array is never closed")),
            DeValue::String(_) => ["\"\"\"", "'''"]
                .iter()
                .find_map(|quotes| unclosed(value, text, quotes, quotes))
                .map(|at| (at, "this string is never closed")),
            _ => None,
        }
    };
    entries.iter().filter_map(in_entry).min_by_key(|(at, _)| at.start)
}

/// The opening of a value that has one and no closing. A closing at the end of the file may be that of something inside.
fn unclosed(value: &Value<'_>, text: &str, open: &str, close: &str) -> Option<Span> {
    let span = value.span();
    let whole = &text[span.clone()];
    let last = span.end >= text.trim_end().len();
    (whole.starts_with(open) && (last || !whole.ends_with(close))).then(|| span.start..span.start + open.len())
}

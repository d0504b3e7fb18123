//! Where a guest was when it failed, for its author.

use std::fmt::Write as _;

use wasmtime::{Error, FrameInfo, FrameSymbol, WasmBacktrace};

/// What is written of one backtrace: the functions that called the one that failed, and a name may be as long as its author
/// likes.
const MOST_LINES: usize = 20;
const MOST_BYTES: usize = 4 << 10;
const LONGEST_NAME: usize = 256;

/// Before it is made readable.
const LONGEST_MANGLED: usize = 4 << 10;

/// A line for each function, the innermost first; `None` where there is nothing to tell.
pub(super) fn of(error: &Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let text = join(frames.iter().flat_map(lines));
    (!text.is_empty()).then_some(text)
}

/// What wasmtime says of an error, without the backtrace that it puts in front of it.
pub(super) fn message(error: &Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let parts = error.chain().map(ToString::to_string);
    let parts: Vec<_> = parts.filter(|part| Some(part) != backtrace.as_ref()).collect();
    parts.join(": ")
}

fn join(lines: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines.take(MOST_LINES) {
        if text.len() + line.len() >= MOST_BYTES {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}

/// One for each function that was compiled into this one, where the component says so, or else one.
fn lines(frame: &FrameInfo) -> Vec<String> {
    if frame.symbols().is_empty() {
        return vec![name(frame.func_name(), frame)];
    }
    frame.symbols().iter().map(|symbol| line(symbol, frame)).collect()
}

fn line(symbol: &FrameSymbol, frame: &FrameInfo) -> String {
    let mut line = name(symbol.name().or_else(|| frame.func_name()), frame);
    if let Some(file) = symbol.file() {
        let _ = write!(line, " at {}", cut(file, LONGEST_NAME));
        if let Some(number) = symbol.line() {
            let _ = write!(line, ":{number}");
        }
    }
    line
}

/// As its author wrote it, or by its number.
fn name(name: Option<&str>, frame: &FrameInfo) -> String {
    match name {
        Some(name) => {
            let mut name = format!("{:#}", rustc_demangle::demangle(cut(name, LONGEST_MANGLED)));
            name.truncate(name.floor_char_boundary(LONGEST_NAME));
            name
        }
        None => format!("function {}", frame.func_index()),
    }
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_has_an_end() {
        let short = join((0..100).map(|number| number.to_string()));
        assert_eq!(short.lines().count(), MOST_LINES);
        assert!(short.starts_with("0\n1\n"));
        let long = join((0..100).map(|_| "x".repeat(LONGEST_NAME)));
        assert!(long.len() < MOST_BYTES && long.lines().count() > 10, "{}", long.len());
    }
}

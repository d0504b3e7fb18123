//! How a transcript writes bytes: `"text"`, `{ hex = "00 ff" }`, `{ file = "hello.bin" }`, `{ repeat = "x", times = 9 }`, or an
//! array of these, one after the other.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// More than any filter may hold, and little enough to be played a few hundred times.
const MOST: usize = 16 << 20;

/// Files are looked for in `directory`, where the transcript is.
pub(crate) fn read(json: &Json, directory: &Path) -> Result<Vec<u8>, String> {
    match json {
        Json::String(text) => Ok(text.clone().into_bytes()),
        Json::Array(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| read(part, directory))
                .collect::<Result<_, _>>()?;
            bounded(parts.concat())
        }
        Json::Object(table) => from_table(table, directory).unwrap_or_else(|| Err(unfit(json))),
        _ => Err(unfit(json)),
    }
}

/// None where it has other keys than it may have.
fn from_table(table: &Map<String, Json>, directory: &Path) -> Option<Result<Vec<u8>, String>> {
    let text = |key| table.get(key).and_then(Json::as_str);
    match table.len() {
        1 if let Some(digits) = text("hex") => Some(from_hex(digits)),
        1 if let Some(file) = text("file") => Some(from_file(&directory.join(file))),
        2 => {
            let times = table.get("times")?.as_u64()?;
            Some(read(table.get("repeat")?, directory).and_then(|bytes| repeated(&bytes, times)))
        }
        _ => None,
    }
}

/// Spaces and line ends between digits mean nothing; a `#` begins a comment that ends with its line.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let without_comments = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: String = without_comments.flat_map(str::split_whitespace).collect();
    if let Some(other) = digits.chars().find(|digit| !digit.is_ascii_hexdigit()) {
        return Err(format!("{other:?} is no hexadecimal digit"));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(format!("{} hexadecimal digits: a byte has two", digits.len()));
    }
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|error| error.to_string());
    (0..digits.len()).step_by(2).map(byte).collect()
}

pub(crate) fn from_file(path: &Path) -> Result<Vec<u8>, String> {
    bounded(fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
}

pub(crate) fn repeated(bytes: &[u8], times: u64) -> Result<Vec<u8>, String> {
    let length = usize::try_from(times)
        .ok()
        .and_then(|times| times.checked_mul(bytes.len()));
    match length {
        Some(0..=MOST) => Ok(bytes.repeat(usize::try_from(times).unwrap_or_default())),
        _ => Err(too_many()),
    }
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.len() <= MOST {
        Ok(bytes)
    } else {
        Err(too_many())
    }
}

fn too_many() -> String {
    format!(
        "more than {} MiB at once: a play of several steps may have more",
        MOST >> 20
    )
}

fn unfit(json: &Json) -> String {
    format!(
        "{json} is not bytes: expected \"text\", {{ hex = \"00 ff\" }}, {{ file = \"hello.bin\" }}, {{ repeat = \"x\", times = \
         9 }}, or an array of these"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(json: &Json) -> Result<Vec<u8>, String> {
        read(json, Path::new("/nowhere"))
    }

    #[test]
    fn bytes_are_written_in_any_of_four_ways_or_in_several() {
        assert_eq!(bytes(&json!("a\r\n")).unwrap(), b"a\r\n");
        assert_eq!(
            bytes(&json!({"hex": "16 03\n 01FF # the header\n0a"})).unwrap(),
            b"\x16\x03\x01\xff\x0a"
        );
        assert_eq!(bytes(&json!({"repeat": "ab", "times": 3})).unwrap(), b"ababab");
        assert_eq!(bytes(&json!({"repeat": {"hex": "00"}, "times": 2})).unwrap(), b"\0\0");
        assert_eq!(bytes(&json!([{"hex": "00"}, "x", []])).unwrap(), b"\0x");
    }

    #[test]
    fn what_is_not_bytes_is_said_to_be_none() {
        let error = |json| bytes(&json).unwrap_err();
        assert_eq!(error(json!({"hex": "1"})), "1 hexadecimal digits: a byte has two");
        assert_eq!(error(json!({"hex": "0x"})), "'x' is no hexadecimal digit");
        assert!(error(json!({"file": "a"})).starts_with("/nowhere/a cannot be read: "));
        assert!(error(json!({"repeat": "a", "times": u64::MAX})).starts_with("more than 16 MiB"));
        for unfit in [
            json!(7),
            json!({}),
            json!({"hex": 7}),
            json!({"repeat": "a"}),
            json!({"hex": "00", "file": "a"}),
        ] {
            assert!(error(unfit.clone()).contains("is not bytes: expected"), "{unfit}");
        }
    }
}

//! Bytes, as a person types them: text, and escapes for what is none.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problem, Problems, Reported, Span, all};
use super::reader::{Read, Value, part_of_string, wrong_type};

/// `'PING\r\n'`, `'\x00\x01'`: text stands for its UTF-8, a backslash begins one of `\xHH`, `\r`, `\n`, `\t` and `\\`.
///
/// In single quotes TOML leaves backslashes alone. In double quotes it has escapes of its own, which come first: `"\r\n"` is
/// the same bytes either way, but `"\xff"` is the character `ÿ`, two bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Octets(pub(super) Vec<u8>);

/// The bytes; or everything that is wrong with the text.
fn parse(text: &str) -> Result<Vec<u8>, Vec<Mistake>> {
    let mut bytes = Vec::new();
    let mut mistakes = Vec::new();
    let mut rest = 0;
    while let Some(distance) = text[rest..].find('\\') {
        let at = rest + distance;
        bytes.extend_from_slice(&text.as_bytes()[rest..at]);
        let (length, byte) = escape(&text[at..]);
        rest = at + length;
        match byte {
            Ok(byte) => bytes.push(byte),
            Err(what) => mistakes.push(Mistake { at: at..rest, what }),
        }
    }
    bytes.extend_from_slice(&text.as_bytes()[rest..]);
    if mistakes.is_empty() { Ok(bytes) } else { Err(mistakes) }
}

/// The escape at the beginning of a text that begins with a backslash, and how much of the text it is.
fn escape(text: &str) -> (usize, Result<u8, What>) {
    let mut characters = text.chars().skip(1);
    let Some(letter) = characters.next() else {
        return (1, Err(What::Alone));
    };
    match letter {
        'r' => (2, Ok(b'\r')),
        'n' => (2, Ok(b'\n')),
        't' => (2, Ok(b'\t')),
        '\\' => (2, Ok(b'\\')),
        'x' => {
            let digits: String = characters.take(2).take_while(char::is_ascii_hexdigit).collect();
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
            (2 + digits.len(), byte.ok_or(What::Digits))
        }
        _ => (1 + letter.len_utf8(), Err(What::Unknown { letter })),
    }
}

/// Something wrong with a text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    at: Range<usize>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A backslash at the end.
    Alone,
    /// Fewer than two hexadecimal digits behind `\x`.
    Digits,
    /// No such escape.
    Unknown { letter: char },
}

impl What {
    fn problem(&self, at: Span) -> Problem {
        match self {
            Self::Alone => {
                Problem::at(at, "this backslash begins nothing").label(r"a backslash that is meant as such is `\\`")
            }
            Self::Digits => Problem::at(at, r"`\x` without two hexadecimal digits")
                .label(r"expected the value of one byte, as in `\x0a`"),
            Self::Unknown { letter } => Problem::at(at, format!(r"unknown escape `\{letter}`"))
                .note(r"known escapes: `\xHH`, `\r`, `\n`, `\t`, `\\`"),
        }
    }
}

const EXPECTED: &str = r"text, with escapes for what is none, as in 'PING\r\n'";

impl Read for Octets {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(wrong_type(value, EXPECTED, problems));
        };
        if let Some(at) = character_for_a_byte(problems.text(value.span())) {
            let start = value.span().start;
            let problem = Problem::at(start + at.start..start + at.end, "in double quotes, this is two bytes");
            let label = r"TOML takes it for a character: write the text in single quotes";
            return Err(problems.report(problem.label(label)));
        }
        parse(text).map(Self).or_else(|mistakes| {
            let reported = mistakes.into_iter().map(|mistake| {
                let at = part_of_string(mistake.at, text, value, problems);
                Err(problems.report(mistake.what.problem(at)))
            });
            all(reported).map(Self)
        })
    }
}

/// The first `\xHH` of 80 and more in a string as it stands in the file, in double quotes: one byte was meant.
fn character_for_a_byte(typed: &str) -> Option<Range<usize>> {
    let mut rest = 0;
    while typed.starts_with('"') {
        let at = rest + typed[rest..].find('\\')?;
        let escape = typed.get(at..at + 4).filter(|escape| escape.starts_with(r"\x"));
        if let Some(escape) = escape
            && u8::from_str_radix(&escape[2..], 16).is_ok_and(|byte| !byte.is_ascii())
        {
            return Some(at..at + 4);
        }
        // Whatever follows the backslash is not the beginning of another escape.
        rest = at + 1 + typed[at + 1..].chars().next()?.len_utf8();
    }
    None
}

impl JsonSchema for Octets {
    fn schema_name() -> Cow<'static, str> {
        "Octets".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": [r"PING\r\n", r"\x00\x01"] })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mistake, What, character_for_a_byte, parse};

    #[test]
    fn text_is_itself_and_an_escape_is_a_byte() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("PING", b"PING"),
            (r"PING\r\n", b"PING\r\n"),
            ("PING\r\n", b"PING\r\n"),
            (r"\x00\x01\xfF", b"\x00\x01\xff"),
            (r"\\x00", br"\x00"),
            (r"a\tb\\", b"a\tb\\"),
            ("é", b"\xc3\xa9"),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn every_bad_escape_is_found_where_it_stands() {
        let mistake = |at, what| Mistake { at, what };
        for (text, mistakes) in [
            (r"a\", vec![mistake(1..2, What::Alone)]),
            (r"\x", vec![mistake(0..2, What::Digits)]),
            (r"\x1", vec![mistake(0..3, What::Digits)]),
            (r"\x1g", vec![mistake(0..3, What::Digits)]),
            (r"\x+1", vec![mistake(0..2, What::Digits)]),
            (r"\xé", vec![mistake(0..2, What::Digits)]),
            (r"\é", vec![mistake(0..3, What::Unknown { letter: 'é' })]),
            (
                r"\0 \n \q",
                vec![
                    mistake(0..2, What::Unknown { letter: '0' }),
                    mistake(6..8, What::Unknown { letter: 'q' }),
                ],
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), mistakes, "{text}");
        }
    }

    #[test]
    fn a_character_that_looks_like_a_byte_is_found() {
        for (typed, found) in [
            (r#""\xff""#, Some(1..5)),
            (r#""\\\x80""#, Some(3..7)),
            (r#""""a\xC3""""#, Some(4..8)),
            (r#""\x7f""#, None),
            (r#""\\xff""#, None),
            (r"'\xff'", None),
            (r#""é\é""#, None),
            (r#""\x""#, None),
            ("", None),
        ] {
            assert_eq!(character_for_a_byte(typed), found, "{typed}");
        }
    }
}

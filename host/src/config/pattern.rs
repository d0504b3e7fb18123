//! What a name or another text is compared with, as a person types it: all of it, its end, or an expression.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Pattern;
use super::address::{AddressError, parse_name};
use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// Bytes of a compiled expression: many times what one for names takes. What is larger is mostly a repetition that nobody meant.
const LARGEST: usize = 1 << 20;

/// Of host names, which have no case: `a.example.com`, `*.example.com`, `~db[0-9]+\.example\.com`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NamePattern(pub(super) Pattern);

/// Of any other text, in which every character counts: `CN=alice,O=Example`, `*,O=Example`, `~CN=bob.*`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextPattern(pub(super) Pattern);

/// Why a text is no pattern, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("there is nothing to compare with")]
    Nothing,
    #[error("clients ask for names only: TLS has no place for an IP address here (RFC 6066, section 3)")]
    Ip,
    #[error("`*.` stands for the beginning of a name and nothing else: write '~{meant}'")]
    NameStar { meant: String },
    #[error(
        "`*` stands for the beginning of a text and nothing else: write '~{meant}', or '~{exact}' for the character"
    )]
    TextStar { meant: String, exact: String },
    #[error("{0}")]
    Expression(String),
    #[error(transparent)]
    Name(#[from] AddressError),
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if let Some(typed) = text.strip_prefix('~') {
            return expression(typed, true).map(Self);
        }
        let ending = text.strip_prefix("*.");
        let name = ending.unwrap_or(text);
        if name.is_empty() {
            return Err(PatternError::Nothing);
        }
        if name.contains('*') {
            return Err(PatternError::NameStar { meant: starred(text) });
        }
        if is_ip(name) {
            return Err(PatternError::Ip);
        }
        let name = without_dot(parse_name(name)?);
        Ok(Self(match ending {
            Some(_) => Pattern::Ending(format!(".{name}")),
            None => Pattern::Exactly(name),
        }))
    }
}

impl FromStr for TextPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if let Some(typed) = text.strip_prefix('~') {
            return expression(typed, false).map(Self);
        }
        let ending = text.strip_prefix('*');
        let rest = ending.unwrap_or(text);
        if rest.contains('*') {
            return Err(PatternError::TextStar {
                meant: starred(text),
                exact: escaped(text),
            });
        }
        match ending {
            None if text.is_empty() => Err(PatternError::Nothing),
            None => Ok(Self(Pattern::Exactly(text.to_owned()))),
            Some(ending) => Ok(Self(Pattern::Ending(ending.to_owned()))),
        }
    }
}

/// The expression that somebody means who writes `*` for anything.
fn starred(text: &str) -> String {
    let parts: Vec<String> = text.split('*').map(escaped).collect();
    parts.join(".*")
}

/// Without what only matters within `[]`.
fn escaped(text: &str) -> String {
    regex::escape(text).replace(r"\-", "-")
}

/// One that has to fit all of a text.
fn expression(typed: &str, any_case: bool) -> Result<Pattern, PatternError> {
    if typed.is_empty() {
        return Err(PatternError::Nothing);
    }
    // On its own first: `a)|(b` would be an expression in the brackets that come around it.
    compile(typed, any_case)?;
    let compiled = compile(&format!("^(?:{typed})$"), any_case)?;
    Ok(Pattern::Expression {
        typed: typed.to_owned(),
        compiled,
    })
}

fn compile(expression: &str, any_case: bool) -> Result<Regex, PatternError> {
    let compiled = RegexBuilder::new(expression)
        .case_insensitive(any_case)
        .size_limit(LARGEST)
        .build();
    compiled.map_err(|error| {
        // Several lines, of which the last says what is wrong: the others repeat the expression.
        let said = error.to_string();
        let last = said.lines().last().unwrap_or_default();
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large: repeat less in it",
            _ => last.strip_prefix("error: ").unwrap_or(last),
        };
        PatternError::Expression(format!("this is no regular expression: {reason}"))
    })
}

pub(super) fn is_ip(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.unwrap_or(text).parse::<IpAddr>().is_ok()
}

/// The dot at the end says that a name is complete; in TLS there is none.
pub(super) fn without_dot(mut name: String) -> String {
    if name.ends_with('.') {
        name.pop();
    }
    name
}

impl Read for NamePattern {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a host name, as in \"a.example.com\", or a pattern, as in \"*.example.com\"";
        read_text(value, expected, problems)
    }
}

impl Read for TextPattern {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(
            value,
            "a text, or a pattern, as in \"*end\" or \"~expression\"",
            problems,
        )
    }
}

const NAMES: [&str; 3] = ["a.example.com", "*.example.com", r"~db[0-9]+\.example\.com"];
const TEXTS: [&str; 3] = ["exactly this", "*ends with this", "~an (expression|example)"];

impl JsonSchema for NamePattern {
    fn schema_name() -> Cow<'static, str> {
        "NamePattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(~.+|(\*\.)?[^*~]+)$", "examples": NAMES })
    }
}

impl JsonSchema for TextPattern {
    fn schema_name() -> Cow<'static, str> {
        "TextPattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(~.+|\*[^*]*|[^*~][^*]*)$", "examples": TEXTS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema refuses as well as the reader, or takes as well.
    fn agree<T: FromStr<Err = PatternError> + JsonSchema>(texts: &[&str]) {
        let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
        let shape = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
        let examples = schema["examples"].as_array().unwrap();
        let examples = examples.iter().map(|example| example.as_str().unwrap());
        for example in examples {
            assert!(shape.is_match(example) && example.parse::<T>().is_ok(), "{example}");
        }
        for text in texts {
            assert_eq!(shape.is_match(text), text.parse::<T>().is_ok(), "{text}");
        }
    }

    #[test]
    fn the_schema_takes_the_forms_that_are_taken() {
        agree::<NamePattern>(&[
            "a", "*.a", "~a", "~", "*", "*.", "", "a*", "*a", "**", "*.*", "*.~a", "a.", "~.*",
        ]);
        agree::<TextPattern>(&["a", "*a", "~a", "~", "*", "", "a*", "**", "*a*", "*~a", "a~", "~\\*"]);
    }

    #[test]
    fn what_is_shown_is_what_was_meant() {
        for typed in ["A.Example.", "*.Example", "~A|b", "a_b-c.d"] {
            let pattern: NamePattern = typed.parse().unwrap();
            assert_eq!(pattern.0.to_string().parse(), Ok(pattern), "{typed}");
        }
        for typed in ["A", "*", "*,O=~b", "~A|b", " a "] {
            let pattern: TextPattern = typed.parse().unwrap();
            assert_eq!(pattern.0.to_string(), typed);
        }
    }

    #[test]
    fn what_is_advised_fits_what_was_meant() {
        for (typed, meant, fitting) in [
            ("a.*.example", r"~a\..*\.example", "a.b.example"),
            ("db-*.example", r"~db-.*\.example", "db-7.example"),
            ("*", "~.*", "a"),
        ] {
            let error = typed.parse::<NamePattern>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{meant}'")), "{error}");
            assert!(meant.parse::<NamePattern>().unwrap().0.matches(fitting));
        }
        let error = "a-*".parse::<TextPattern>().unwrap_err().to_string();
        let exact: TextPattern = r"~a-\*".parse().unwrap();
        assert!(error.contains("'~a-.*'") && error.contains(r"'~a-\*'"), "{error}");
        assert!(exact.0.matches("a-*") && !exact.0.matches("a-b"));
    }

    #[test]
    fn addresses_are_no_names() {
        for typed in ["10.0.0.1", "::1", "[::1]", "[10.0.0.1]", "*.10.0.0.1"] {
            assert_eq!(typed.parse::<NamePattern>(), Err(PatternError::Ip), "{typed}");
        }
    }
}

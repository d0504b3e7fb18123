//! How a line of the access log looks: `json`, or a template with `{placeholders}`.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problem, Problems, Reported, Span, all};
use super::log_field::LogField;
use super::reader::{Read, Value, part_of_string, wrong_type};
use super::{LogFormat, suggest};

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it is.
    Text(String),
    /// What the connection has there.
    Field(LogField),
}

/// The parts of a template, in their order; or everything that is wrong with it. `{{` and `}}` are braces.
fn parse(template: &str) -> Result<Vec<TemplatePart>, Vec<Mistake>> {
    let mut parts = Vec::new();
    let mut mistakes = Vec::new();
    let mut text = String::new();
    let mut rest = 0;
    while let Some(distance) = template[rest..].find(['{', '}']) {
        let at = rest + distance;
        text.push_str(&template[rest..at]);
        let from = &template[at..];
        if from.starts_with("{{") || from.starts_with("}}") {
            text.push_str(&from[..1]);
            rest = at + 2;
            continue;
        }
        let (length, field) = placeholder(from);
        rest = at + length;
        match field {
            Ok(field) => {
                if !text.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut text)));
                }
                parts.push(TemplatePart::Field(field));
            }
            Err(what) => mistakes.push(Mistake { at: at..rest, what }),
        }
    }
    text.push_str(&template[rest..]);
    if !text.is_empty() {
        parts.push(TemplatePart::Text(text));
    }
    if mistakes.is_empty() { Ok(parts) } else { Err(mistakes) }
}

/// The placeholder at the beginning of a text that begins with a brace, and how much of the text it is.
fn placeholder(text: &str) -> (usize, Result<LogField, What>) {
    let Some(after) = text.strip_prefix('{') else {
        return (1, Err(What::Unopened));
    };
    // A second opening brace before the closing one: the first of them is the slip.
    let name = after.split(['{', '}']).next().unwrap_or_default();
    if !after[name.len()..].starts_with('}') {
        return (1, Err(What::Unclosed));
    }
    let field = LogField::named(name).ok_or_else(|| match name {
        "" => What::Nameless,
        _ => What::Unknown { name: name.to_owned() },
    });
    (name.len() + 2, field)
}

/// Something wrong with a template, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    at: Range<usize>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A `{` without its `}`.
    Unclosed,
    /// A `}` without its `{`.
    Unopened,
    /// `{}`.
    Nameless,
    /// There is no such field.
    Unknown { name: String },
}

impl What {
    fn problem(&self, at: Span) -> Problem {
        let known = || format!("known placeholders: {}", suggest::list(LogField::names()));
        match self {
            Self::Unclosed => Problem::at(at, "this placeholder is never closed")
                .label("expected a `}` after the name; a brace that is meant as such is `{{`"),
            Self::Unopened => {
                Problem::at(at, "this closes no placeholder").label("a brace that is meant as such is `}}`")
            }
            Self::Nameless => Problem::at(at, "this placeholder has no name").note(known()),
            Self::Unknown { name } => {
                let problem = Problem::at(at, format!("unknown placeholder `{{{name}}}`"));
                match suggest::similar(name, LogField::names()) {
                    Some(meant) => problem.label(format!("did you mean `{{{meant}}}`?")),
                    None => problem.note(known()),
                }
            }
        }
    }
}

const JSON: &str = "json";
const FORMAT: &str = "\"json\" or a template, as in \"{time} {client} {outcome}\"";

impl Read for LogFormat {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(wrong_type(value, FORMAT, problems));
        };
        if text == JSON {
            return Ok(Self::Json);
        }
        let parts = match parse(text) {
            Ok(parts) => parts,
            Err(mistakes) => {
                let reported = mistakes.into_iter().map(|mistake| {
                    let at = part_of_string(mistake.at, text, value, problems);
                    Err(problems.report(mistake.what.problem(at)))
                });
                return all(reported).map(Self::Template);
            }
        };
        // Every line would be the same.
        if !parts.iter().any(|part| matches!(part, TemplatePart::Field(_))) {
            let problem = Problem::at(value.span(), format!("expected {FORMAT}"));
            return Err(problems.report(match suggest::similar(text, [JSON]) {
                Some(meant) => problem.label(format!("did you mean `{meant}`?")),
                None => problem.label("this has no placeholder"),
            }));
        }
        Ok(Self::Template(parts))
    }
}

impl JsonSchema for LogFormat {
    fn schema_name() -> Cow<'static, str> {
        "LogFormat".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": [JSON, "{time} {client} {outcome} {up} {down}"] })
    }
}

#[cfg(test)]
mod tests {
    use super::LogField::{Client, Down, Time, Up};
    use super::TemplatePart::{Field, Text};
    use super::{LogField, Mistake, What, parse};

    #[test]
    fn placeholders_stand_between_text() {
        let text = |text: &str| Text(text.to_owned());
        for (template, parts) in [
            ("{time}", vec![Field(Time)]),
            ("{up}{down}", vec![Field(Up), Field(Down)]),
            (
                "<{client}> {up}/{down}\t",
                vec![
                    text("<"),
                    Field(Client),
                    text("> "),
                    Field(Up),
                    text("/"),
                    Field(Down),
                    text("\t"),
                ],
            ),
            ("é{time}日", vec![text("é"), Field(Time), text("日")]),
            ("no placeholder", vec![text("no placeholder")]),
            ("", vec![]),
        ] {
            assert_eq!(parse(template), Ok(parts), "{template}");
        }
    }

    #[test]
    fn braces_are_typed_twice() {
        let text = |text: &str| Text(text.to_owned());
        for (template, parts) in [
            ("{{{time}}}", vec![text("{"), Field(Time), text("}")]),
            ("{{time}}", vec![text("{time}")]),
            ("{{}}{{", vec![text("{}{")]),
        ] {
            assert_eq!(parse(template), Ok(parts), "{template}");
        }
    }

    #[test]
    fn every_mistake_is_found_where_it_is() {
        let unknown = |name: &str| What::Unknown { name: name.to_owned() };
        for (template, found) in [
            ("a {time", vec![(2..3, What::Unclosed)]),
            ("{", vec![(0..1, What::Unclosed)]),
            ("{time {up}", vec![(0..1, What::Unclosed)]),
            ("{time {{up}}", vec![(0..1, What::Unclosed)]),
            ("é}", vec![(2..3, What::Unopened)]),
            ("{time}}", vec![(6..7, What::Unopened)]),
            ("a {}", vec![(2..4, What::Nameless)]),
            ("{nmae}", vec![(0..6, unknown("nmae"))]),
            ("{ time }", vec![(0..8, unknown(" time "))]),
            (
                "{} {x} } {",
                vec![
                    (0..2, What::Nameless),
                    (3..6, unknown("x")),
                    (7..8, What::Unopened),
                    (9..10, What::Unclosed),
                ],
            ),
        ] {
            let found: Vec<_> = found.into_iter().map(|(at, what)| Mistake { at, what }).collect();
            assert_eq!(parse(template), Err(found), "{template}");
        }
    }

    #[test]
    fn every_field_has_a_placeholder_of_its_own() {
        for &field in LogField::ALL {
            assert_eq!(parse(&format!("{{{}}}", field.name())), Ok(vec![Field(field)]));
        }
    }
}

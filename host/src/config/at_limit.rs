//! What becomes of a new connection at a limit, as a person types it: a word, one of them with a time.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problem, Problems, Reported};
use super::reader::{Read, Value};
use super::units::Period;
use super::{AtLimit, suggest};

const QUEUE: &str = "queue";
const WORDS: [(&str, AtLimit); 3] = [("delay", AtLimit::Delay), ("fin", AtLimit::Fin), ("rst", AtLimit::Rst)];

impl fmt::Display for AtLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(longest) => write!(f, "{QUEUE}({})", Period(*longest)),
            Self::Delay => f.write_str("delay"),
            Self::Fin => f.write_str("fin"),
            Self::Rst => f.write_str("rst"),
        }
    }
}

impl Read for AtLimit {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = String::read(value, problems)?;
        if let Some((_, meant)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*meant);
        }
        let time = text.strip_prefix(QUEUE).and_then(|rest| rest.strip_prefix('('));
        if let Some(time) = time.and_then(|rest| rest.strip_suffix(')')) {
            return time
                .parse()
                .map(|longest: Period| Self::Queue(longest.0))
                .map_err(|error| {
                    let problem = Problem::at(value.span(), "expected a length of time, as in `queue(5s)`");
                    problems.report(problem.label(error.to_string()))
                });
        }
        let problem = Problem::at(value.span(), format!("unknown value `{text}`"))
            .note("known values: `queue(TIME)`, `delay`, `fin`, `rst`");
        Err(problems.report(match meant(&text) {
            Some(meant) => problem.label(format!("did you mean `{meant}`?")),
            None => problem,
        }))
    }
}

/// By its first word. The time of a queue is the one that was typed, if there is one.
fn meant(text: &str) -> Option<String> {
    let word = text
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    let words = WORDS.iter().map(|(word, _)| *word);
    let meant = suggest::similar(word, words.chain([QUEUE]))?;
    if meant != QUEUE {
        return Some(meant.to_owned());
    }
    let time = text[word.len()..].trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let time = if time.parse::<Period>().is_ok() { time } else { "5s" };
    Some(format!("{QUEUE}({time})"))
}

impl JsonSchema for AtLimit {
    fn schema_name() -> Cow<'static, str> {
        "AtLimit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let examples = ["queue(5s)", "delay", "fin", "rst"];
        json_schema!({ "type": "string", "pattern": r"^(queue\(.+\)|delay|fin|rst)$", "examples": examples })
    }
}

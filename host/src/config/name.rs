//! The names of filters, upstreams and listeners.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problem, Problems, Reported, Span};
use super::reader::{Read, Value};

/// 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, a letter or digit first: a name becomes a metric's label, a column of a log and
/// perhaps a part of a path or a command line, so that it needs no quoting anywhere and is never `..` or `-x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) String);

impl Name {
    pub(super) const PATTERN: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";

    pub(super) fn check(text: &str, span: Span, problems: &mut Problems) -> Result<Self, Reported> {
        if is_name(text) {
            return Ok(Self(text.to_owned()));
        }
        let problem = Problem::at(span, format!("`{text}` cannot be a name"))
            .label("expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit");
        let lower = text.to_ascii_lowercase().replace(' ', "-");
        Err(problems.report(match is_name(&lower) {
            true => problem.help(format!("write `{lower}`")),
            false => problem,
        }))
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
}

impl Read for Name {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = String::read(value, problems)?;
        Self::check(&text, value.span(), problems)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_need_no_quoting_and_are_no_paths() {
        for name in ["a", "0", "tenant-router", "v1.2_3", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "-x",
            "_x",
            "A",
            "a b",
            "a/b",
            "é",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}

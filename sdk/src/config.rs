use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::metrics::Metric;

/// What the operator can set: the `config` of the filter in `spliceway.toml`.
///
/// It is read once in each instance, before anything else. One that does not parse, or that [`check`](Self::check)
/// refuses, keeps the filter from being loaded, and the operator is shown the reason. Put
/// `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is such a reason and not a surprise; and prefer types
/// that cannot hold nonsense (`#[serde(try_from = "String")]`) to a check, since their errors name the place.
///
/// Several roles of a filter can share one type. Name it to [`export_config!`](crate::export_config) once.
pub trait Config: DeserializeOwned + JsonSchema + 'static {
    /// What serde cannot say: an error tells the operator what is wrong, and where.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The metrics that the roles count with, so that they exist before the first connection.
    fn metrics() -> Vec<&'static dyn Metric> {
        Vec::new()
    }
}

/// For a role with nothing to set.
impl Config for () {}

/// From the operator's JSON to a configuration that is known to be good, with its metrics defined.
pub(crate) fn load<C: Config>(json: &str) -> Result<C, String> {
    let config: C = parse(json)?;
    config.check()?;
    for metric in C::metrics() {
        metric.define()?;
    }
    Ok(config)
}

pub(crate) fn schema<C: Config>() -> schemars::Schema {
    schemars::schema_for!(C)
}

fn parse<C: Config>(json: &str) -> Result<C, String> {
    if json.trim() == "null" {
        // Nothing was configured. A type that has no use for null may still have a default for every field.
        return serde_json::from_str(json).or_else(|_| from_object("{}"));
    }
    from_object(json)
}

fn from_object<C: Config>(json: &str) -> Result<C, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = in_words(&error.into_inner());
        if path == "." {
            reason
        } else {
            format!("{path}: {reason}")
        }
    })?;
    deserializer.end().map_err(|error| in_words(&error))?;
    Ok(config)
}

/// The operator wrote TOML: a line and column of the JSON that the host made of it would mislead, and so would the names of
/// Rust's types.
fn in_words(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    let Some(place) = text.rfind(EXPECTED).map(|place| place + EXPECTED.len()) else {
        return text;
    };
    if let Some(words) = kind(&text[place..]) {
        text.replace_range(place.., &words);
    }
    text
}

const EXPECTED: &str = ", expected ";

/// What serde calls a type, as operators do.
fn kind(expected: &str) -> Option<String> {
    let (expected, least) = match expected.strip_prefix("a nonzero ") {
        Some(expected) => (expected, 1),
        None => (expected, 0),
    };
    Some(match expected {
        "u8" => format!("a whole number from {least} to {}", u8::MAX),
        "u16" => format!("a whole number from {least} to {}", u16::MAX),
        // In a component, a `usize` is no larger.
        "u32" | "usize" => format!("a whole number from {least} to {}", u32::MAX),
        "u64" | "u128" => format!("a whole number from {least} on"),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        name: String,
        #[serde(default)]
        most: u16,
    }

    impl Config for Limits {
        fn check(&self) -> Result<(), String> {
            match self.rules.iter().find(|rule| rule.name.is_empty()) {
                Some(_) => Err("a rule has no name".into()),
                None => Ok(()),
            }
        }
    }

    #[test]
    fn nothing_configured_is_an_empty_object_or_null() {
        assert_eq!(load::<Limits>("null"), Ok(Limits { rules: vec![] }));
        load::<()>("null").unwrap();
    }

    #[test]
    fn an_error_names_the_place() {
        let error = |json| load::<Limits>(json).unwrap_err();
        assert_eq!(
            error(r#"{"rules":[{"name":"a"},{"nmae":"b"}]}"#),
            "rules[1].nmae: unknown field `nmae`, expected `name` or `most`"
        );
        assert_eq!(error(r#"{"rules":[{}]}"#), "rules[0]: missing field `name`");
        assert_eq!(
            error(r#"{"rules":7}"#),
            "rules: invalid type: integer `7`, expected a sequence"
        );
        assert_eq!(
            error(r#"{"rules":[{"name":"a","most":"many"}]}"#),
            "rules[0].most: invalid type: string \"many\", expected a whole number from 0 to 65535"
        );
        assert_eq!(
            error(r#"{"rules":["a"]}"#),
            "rules[0]: invalid type: string \"a\", expected a table"
        );
        assert_eq!(error(r#"{"rules":[]} x"#), "trailing characters");
        assert_eq!(error(r#"{"rules":[{"name":""}]}"#), "a rule has no name");
    }

    #[test]
    fn numbers_are_called_numbers() {
        let words = |expected| kind(expected).unwrap();
        assert_eq!(words("a nonzero usize"), "a whole number from 1 to 4294967295");
        assert_eq!(words("u64"), "a whole number from 0 on");
        assert_eq!(words("f64"), "a number");
        assert_eq!(kind("a string"), None);
    }
}

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
        let reason = without_position(&error.into_inner());
        if path == "." {
            reason
        } else {
            format!("{path}: {reason}")
        }
    })?;
    deserializer.end().map_err(|error| without_position(&error))?;
    Ok(config)
}

/// The operator wrote TOML: a line and column of the JSON that the host made of it would mislead.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
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
            "rules[1].nmae: unknown field `nmae`, expected `name`"
        );
        assert_eq!(error(r#"{"rules":[{}]}"#), "rules[0]: missing field `name`");
        assert_eq!(
            error(r#"{"rules":7}"#),
            "rules: invalid type: integer `7`, expected a sequence"
        );
        assert_eq!(error(r#"{"rules":[]} x"#), "trailing characters");
        assert_eq!(error(r#"{"rules":[{"name":""}]}"#), "a rule has no name");
    }
}

use std::borrow::Borrow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// "a.example", or "*.example", in lower case.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn is_pattern(&self) -> bool {
        self.0.starts_with('*')
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if labels.split('.').all(is_label) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(format!(
                "{name:?} is neither a name, as in \"a.example\", nor \"*.\" and a name"
            ))
        }
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upstream, or a part of its name and a `*` for the rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Target(String);

impl Target {
    pub(crate) fn is_pattern(&self) -> bool {
        self.0.contains('*')
    }

    pub(crate) fn with(&self, label: &str) -> String {
        self.0.replace('*', label)
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(target: String) -> Result<Self, String> {
        match target.matches('*').count() {
            _ if target.is_empty() => Err("an upstream without a name".into()),
            0 | 1 => Ok(Self(target)),
            _ => Err(format!("{target:?} has more than one *")),
        }
    }
}

use schemars::JsonSchema;
use serde::Deserialize;

/// A name, or a part of one with a `*` at its beginning, its end, or both.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether a name is this one, or has this part where it has to be. Case counts.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_ref());
        match (pattern.strip_prefix(b"*"), pattern.strip_suffix(b"*")) {
            (Some(b""), _) => true,
            (Some(rest), Some(_)) => contains(name, rest.strip_suffix(b"*").unwrap_or(rest)),
            (Some(end), None) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => name == pattern,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        let inner = pattern.strip_prefix('*').unwrap_or(&pattern);
        let inner = inner.strip_suffix('*').unwrap_or(inner);
        if pattern.is_empty() {
            Err("an empty pattern matches nothing".into())
        } else if inner.contains('*') {
            Err(format!("a * can only be the first or the last of {pattern:?}"))
        } else {
            Ok(Self(pattern))
        }
    }
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    part.is_empty() || name.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_at_an_end() {
        let matches = |pattern: &str, name: &str| Pattern::try_from(pattern.to_owned()).unwrap().matches(name);
        assert!(matches("blue", "blue") && !matches("blue", "blue2") && !matches("blue", "Blue"));
        assert!(matches("blue*", "blue") && matches("blue*", "blue2") && !matches("blue*", "a-blue"));
        assert!(matches("*_ro", "app_ro") && !matches("*_ro", "app_row"));
        assert!(matches("*app*", "my_app_1") && matches("*app*", "app") && !matches("*app*", "ap"));
        assert!(matches("*", "") && matches("**", "x"));
    }

    #[test]
    fn a_star_in_the_middle_is_refused() {
        assert!(Pattern::try_from("a*b".to_owned()).is_err());
        assert!(Pattern::try_from(String::new()).is_err());
    }
}

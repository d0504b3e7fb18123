use schemars::JsonSchema;
use serde::Deserialize;

/// A name, or a part of one with a `*` at its beginning, its end, or both.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether a name is this one, or has this part where it has to be. Case counts.
    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        self.fits(name.as_ref(), |part, pattern| part == pattern)
    }

    /// Likewise; the case of ASCII letters does not count.
    pub fn matches_in_any_case(&self, name: impl AsRef<[u8]>) -> bool {
        self.fits(name.as_ref(), <[u8]>::eq_ignore_ascii_case)
    }

    fn fits(&self, name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
        let pattern = self.0.as_bytes();
        let at = |from: usize, part: &[u8]| name.get(from..from + part.len()).is_some_and(|name| same(name, part));
        match (pattern.strip_prefix(b"*"), pattern.strip_suffix(b"*")) {
            (Some(b""), _) => true,
            (Some(rest), Some(_)) => {
                let part = rest.strip_suffix(b"*").unwrap_or(rest);
                (0..=name.len()).any(|from| at(from, part))
            }
            (Some(end), None) => name.len().checked_sub(end.len()).is_some_and(|from| at(from, end)),
            (None, Some(start)) => at(0, start),
            (None, None) => same(name, pattern),
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
    fn case_counts_only_where_it_is_to() {
        let pattern = |text: &str| Pattern::try_from(text.to_owned()).unwrap();
        for (text, name) in [
            ("Blue", "bLUE"),
            ("Blue*", "blue2"),
            ("*_RO", "app_ro"),
            ("*App*", "my_aPP_1"),
        ] {
            assert!(
                pattern(text).matches_in_any_case(name) && !pattern(text).matches(name),
                "{text}"
            );
        }
        assert!(!pattern("blue").matches_in_any_case("blue2") && !pattern("*_ro").matches_in_any_case("ro"));
    }

    #[test]
    fn a_star_in_the_middle_is_refused() {
        assert!(Pattern::try_from("a*b".to_owned()).is_err());
        assert!(Pattern::try_from(String::new()).is_err());
    }
}

//! "Did you mean ...?"

/// The candidate that a person who typed `word` probably meant, if one is near enough.
pub(super) fn similar<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters wrong: cargo's measure. More, and the suggestion puzzles rather than helps.
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= length.max(3) / 3 && *distance < length)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and so on, for a sentence.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The distance takes the product of both lengths; nobody means a name by something longer than this.
const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let keys = ["a", "address", "filters", "name", "on-error", "timeouts", "upstream"];
        for (typed, meant) in [
            ("adress", Some("address")),
            ("Upstream", Some("upstream")),
            ("upsteram", Some("upstream")),
            ("on_error", Some("on-error")),
            ("timeout", Some("timeouts")),
            ("nmae", Some("name")),
            ("backend", None),
            ("x", None),
            ("", None),
            (&"a".repeat(1000), None),
        ] {
            assert_eq!(similar(typed, keys), meant, "{typed}");
        }
    }
}

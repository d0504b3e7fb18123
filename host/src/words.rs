//! Words for people that more than one part of the program has to say.

/// So many of them: "1 byte", "2 bytes".
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

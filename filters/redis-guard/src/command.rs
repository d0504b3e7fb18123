use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A command's name, or its name and its first argument, in upper case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Command(#[schemars(with = "String")] Vec<String>);

/// A name and one argument tell the subcommands of Redis apart.
pub(crate) const MAX_WORDS: usize = 2;

impl Command {
    /// Whether these are all the words that it has.
    pub(crate) fn is(&self, words: &[Vec<u8>]) -> bool {
        self.0.len() == words.len()
            && self
                .0
                .iter()
                .zip(words)
                .all(|(own, word)| own.as_bytes().eq_ignore_ascii_case(word))
    }

    pub(crate) fn longest_word(&self) -> usize {
        self.0.iter().map(String::len).max().unwrap_or_default()
    }
}

impl TryFrom<String> for Command {
    type Error = String;

    fn try_from(command: String) -> Result<Self, String> {
        let words: Vec<String> = command.split_whitespace().map(str::to_ascii_uppercase).collect();
        match words.len() {
            1..=MAX_WORDS => Ok(Self(words)),
            _ => Err(format!(
                "{command:?} is neither a command nor a command and its first argument"
            )),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

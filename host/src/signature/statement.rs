//! What a signature of ours is about: the words of minisign's trusted comment.

use std::fmt;

use crate::digest::Digest;

/// `name=redis-guard version=1.2.0 digest=sha256:... contract=0.1.0`. Signed with the bytes, so that a good filter under
/// another name is as little use as a forged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What the file or the last part of the repository is called.
    pub name: String,
    pub version: Option<String>,
    pub digest: Digest,
    /// The version of the contract that it was built for.
    pub contract: Option<String>,
}

impl Statement {
    /// From a trusted comment. Words that are not ours (`timestamp:...`, as minisign's own) are nobody's concern.
    pub fn parse(comment: &str) -> Result<Self, String> {
        let find = |key: &str| {
            let mut values = comment
                .split_ascii_whitespace()
                .filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            match (values.next(), values.next()) {
                (Some(_), Some(_)) => Err(format!("its trusted comment says `{key}` twice")),
                (value, _) => Ok(value.map(str::to_owned)),
            }
        };
        let missing = |key: &str| {
            format!(
                "its trusted comment does not say `{key}=`: sign with `spliceway filter sign`, or with \
                 `minisign -S -t \"name=NAME digest=sha256:...\"`"
            )
        };
        let digest = find("digest")?.ok_or_else(|| missing("digest"))?;
        Ok(Self {
            name: find("name")?.ok_or_else(|| missing("name"))?,
            version: find("version")?,
            digest: digest
                .parse()
                .map_err(|error| format!("its trusted comment says no digest: {error}"))?,
            contract: find("contract")?,
        })
    }

    /// Whether a value can be a word of it.
    pub fn is_word(text: &str) -> bool {
        !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name={}", self.name)?;
        if let Some(version) = &self.version {
            write!(f, " version={version}")?;
        }
        write!(f, " digest={}", self.digest)?;
        if let Some(contract) = &self.contract {
            write!(f, " contract={contract}")?;
        }
        Ok(())
    }
}

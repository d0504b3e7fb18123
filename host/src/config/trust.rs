//! Whose signatures filters have to have.

use std::path::PathBuf;

use crate::signature::PublicKey;

/// Where filters need a signature, and of which keys.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustConfig {
    pub scope: Scope,
    /// At least one.
    pub keys: Vec<KeySource>,
}

/// What a table is about, and everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A registry, or the beginning of its repositories: whole parts, without a slash at the end.
    Repository(String),
    Path(PathBuf),
}

#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    Given(PublicKey),
    /// Read each time that it is needed: keys change.
    File(PathBuf),
}

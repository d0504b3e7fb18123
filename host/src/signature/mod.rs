//! Who says that a filter is theirs: signatures of minisign and of cosign, and what they are about.
//!
//! A signature of minisign's is of the component's bytes, and its trusted comment says what those are ([`Statement`]): it is
//! worth the same in a file and in a registry. One of cosign's is of a manifest in a registry. Nothing here reads a file or
//! a network.

mod cosign;
mod key;
mod minisign;
mod secret;
mod statement;

use std::fmt;

use crate::digest::Digest;
#[cfg(test)]
pub use key::KeyError;
pub use key::PublicKey;
pub use minisign::{signer, statement_in};
pub use secret::{Pair, Password, SecretError, SecretKey};
pub use statement::Statement;

/// What somebody has published beside a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// The text of a `.minisig` file.
    Minisign(String),
    /// Simple signing: a payload that names a manifest, and a signature of it (ECDSA, ASN.1 DER).
    Cosign { payload: Vec<u8>, signature: Vec<u8> },
}

/// What is to be loaded, as it is known without a signature.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What it has to be called.
    pub name: &'a str,
    pub bytes: &'a [u8],
    /// Of these bytes.
    pub digest: Digest,
    /// Of the manifest, where it comes from a registry.
    pub manifest: Option<Digest>,
    /// The version of the contract that this host speaks.
    pub contract: &'a str,
}

/// Who has signed, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The id of the key.
    pub key: String,
    pub version: Option<String>,
}

/// Finds a signature of one of the keys that is about the candidate.
///
/// # Errors
/// There is none; then the reason of the one that came the furthest.
pub fn verify(candidate: Candidate<'_>, signatures: &[Signature], keys: &[PublicKey]) -> Result<Verified, Refusal> {
    let mut refusal = Refusal::Unsigned;
    for signature in signatures {
        let verified = match signature {
            Signature::Minisign(text) => minisign::verify(candidate, text, keys),
            Signature::Cosign { payload, signature } => cosign::verify(candidate, payload, signature, keys),
        };
        match verified {
            Ok(verified) => return Ok(verified),
            Err(other) => {
                if other.progress() > refusal.progress() {
                    refusal = other;
                }
            }
        }
    }
    Err(refusal)
}

/// The keys of a list, for a message.
pub fn ids(keys: &[PublicKey]) -> String {
    let ids: Vec<&str> = keys.iter().map(PublicKey::id).collect();
    ids.join(", ")
}

/// Why nothing that was published makes a candidate trustworthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Unsigned,
    Unreadable(String),
    /// Signed by another key: its id, where the signature says it.
    OtherKey(Option<String>),
    /// Signed by this key, and it does not fit.
    Forged(String),
    /// The signature is right, and about something else.
    Other {
        key: String,
        says: String,
    },
}

impl Refusal {
    fn progress(&self) -> u8 {
        match self {
            Self::Unsigned => 0,
            Self::Unreadable(_) => 1,
            Self::OtherKey(_) => 2,
            Self::Forged(_) => 3,
            Self::Other { .. } => 4,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("it is not signed"),
            Self::Unreadable(why) => write!(f, "its signature cannot be read: {why}"),
            Self::OtherKey(None) => f.write_str("it is signed by another key"),
            Self::OtherKey(Some(id)) => write!(f, "it is signed by another key: {id}"),
            Self::Forged(id) => write!(
                f,
                "its signature by key {id} is not of these bytes: one of them has been changed"
            ),
            Self::Other { key, says } => write!(f, "its signature by key {key} is about something else: {says}"),
        }
    }
}

#[cfg(test)]
mod tests;

//! What a filter that has loaded is, for whoever asks.

use super::component::{TYPES, ours};
use super::generation::Generation;
use crate::config::FilterLimits;
use crate::digest::Digest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub name: String,
    pub digest: Digest,
    /// Bytes of its file.
    pub size: usize,
    pub roles: Vec<&'static str>,
    /// Interfaces: the contract's by their own names, others by package and name.
    pub imports: Vec<String>,
    /// Those in force.
    pub limits: FilterLimits,
}

impl Generation {
    pub fn about(&self) -> About {
        let linked = self.linked();
        About {
            name: self.name().to_string(),
            digest: self.digest(),
            size: linked.size,
            roles: linked.roles.names(),
            imports: linked
                .imports
                .iter()
                .map(|import| short(import))
                .filter(|import| import != TYPES)
                .collect(),
            limits: self.limits(),
        }
    }
}

/// Versions are checked: they tell nobody anything.
fn short(import: &str) -> String {
    let name = ours(import).or_else(|| Some(import.split_once('@')?.0));
    name.unwrap_or(import).to_owned()
}

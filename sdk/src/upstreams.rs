//! Where a connection may go.

use crate::sys::host;

/// An upstream of the configuration, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// How many servers it has.
    pub servers: u32,
    /// How many of them are healthy.
    pub healthy: u32,
    /// How many connections they have from this proxy.
    pub connections: u64,
}

impl Upstream {
    pub(crate) fn new(name: String, servers: u32, healthy: u32, connections: u64) -> Self {
        Self {
            name,
            servers,
            healthy,
            connections,
        }
    }
}

/// The upstream of this name, if there is one.
pub fn get(name: &str) -> Option<Upstream> {
    host::upstream(name)
}

/// All of them.
pub fn all() -> Vec<Upstream> {
    host::upstreams()
}

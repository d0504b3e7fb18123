//! The configuration as it is meant: checked, complete, with every default filled in.
//!
//! `load` goes from a path to these types: `file` reads what a person typed, `validate` turns it into what is meant, and
//! both report everything that is wrong to `diagnostics`. `defaults` and `ranges` hold the numbers and their reasons.
//! Nothing else in the proxy sees a configuration file.

mod address;
pub mod defaults;
mod diagnostics;
mod file;
mod json;
mod load;
mod name;
mod named;
mod ranges;
mod reader;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod units;
mod validate;
mod word;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use address::{Address, ListenAddress};
pub use file::schema;
pub use load::{LoadError, load};

/// Everything that one process serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Worker threads; `None` is one for each CPU that this process may run on.
    pub workers: Option<NonZeroUsize>,
    pub filters: Vec<FilterConfig>,
    pub upstreams: Vec<UpstreamConfig>,
    pub listeners: Vec<ListenerConfig>,
}

/// One filter: a component, its configuration, and what it may use.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterConfig {
    pub name: String,
    /// The component's file. A relative path in a configuration file starts at that file's directory.
    pub source: PathBuf,
    /// Given to the filter's `init` as JSON; `Null` where the file has none.
    pub config: serde_json::Value,
    pub on_error: OnError,
    pub limits: FilterLimits,
    /// How many connections share one instance of an inspector: 1 isolates each of them from the others.
    pub sessions_per_instance: u32,
}

/// What becomes of a connection whose filter trapped, overran a limit or gave an answer that the contract forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The connection is closed.
    #[default]
    Close,
    /// The connection goes on as if the filter were not there.
    Pass,
}

/// What one filter may use. Nothing here is shared between filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Bytes of linear memory for one instance, 64 KiB to 16 MiB.
    pub memory: u64,
    /// CPU time of one call, 1 ms to 1 s.
    pub call: Duration,
    /// CPU time of `init`, 1 ms to 60 s.
    pub init: Duration,
}

/// A group of servers that do the same.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    pub name: String,
    pub balance: Balance,
    /// At least one.
    pub servers: Vec<ServerConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    #[default]
    RoundRobin,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    pub address: Address,
}

/// One place where clients connect.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerConfig {
    pub name: String,
    pub address: ListenAddress,
    /// Names of `Config::filters`, in the order in which they are asked.
    pub filters: Vec<String>,
    /// The name of one of `Config::upstreams`, where no filter decides otherwise.
    pub upstream: Option<String>,
    pub timeouts: Timeouts,
}

/// How long a connection may take, per stage. `None` is: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the choice of an upstream until one of its servers has answered.
    pub connect: Option<Duration>,
    /// How long router filters may wait for bytes of the client's, all of them together.
    pub route: Option<Duration>,
    /// How long both directions together may be silent.
    pub idle: Option<Duration>,
}

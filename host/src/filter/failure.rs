//! The ways in which a filter fails, as the log and the metrics name them.

use std::fmt;

use super::facts::Facts;
use super::generation::Generation;

#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    /// Where it was then, where that is known: the innermost function first, a line for each.
    pub backtrace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It panicked, or did what WebAssembly forbids.
    Trap,
    /// A call took too long.
    Deadline,
    /// It wanted more memory than it may have.
    Memory,
    /// It gave an answer that the contract forbids.
    Contract,
    /// Its `init` refused the configuration.
    Init,
    /// There is no instance to be had for it.
    Budget,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Contract,
        Self::Init,
        Self::Budget,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Contract => "contract",
            Self::Init => "init",
            Self::Budget => "budget",
        }
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, message: String) -> Self {
        Self {
            kind,
            message,
            backtrace: None,
        }
    }

    pub(super) fn contract(message: impl Into<String>) -> Self {
        Self::new(Kind::Contract, message.into())
    }

    /// Says what failed, in a call about which connection, if it was about one, and what is done about it.
    pub(super) fn log(&self, generation: &Generation, facts: Option<&Facts>, action: &str) {
        if let Some(witness) = &generation.kept().witness {
            return witness.failure(self);
        }
        tracing::warn!(
            filter = %generation.name(),
            generation = generation.number(),
            connection = facts.map(|facts| facts.id),
            listener = facts.map(|facts| tracing::field::display(&facts.listener)),
            kind = %self.kind,
            error = %self,
            backtrace = self.backtrace.as_deref(),
            action,
            "filter failed"
        );
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! The two peers of a connection and the two directions between them. These words are the same in code, configuration,
//! logs and the filters' contract.

use std::fmt;

/// One of the two that a connection joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Client,
    Upstream,
}

/// Where bytes go: `Up` from the client to the upstream, `Down` back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    /// Who sends in this direction.
    pub fn from(self) -> Side {
        match self {
            Self::Up => Side::Client,
            Self::Down => Side::Upstream,
        }
    }

    /// Who receives in this direction.
    pub fn to(self) -> Side {
        match self {
            Self::Up => Side::Upstream,
            Self::Down => Side::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

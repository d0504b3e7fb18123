//! What becomes of live connections when a reload changes or removes what they came through.

use std::fmt;
use std::time::Duration;

use super::units::Period;

/// The fate of connections that came by what is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// They go on as they began.
    #[default]
    Keep,
    /// They have so long to end: idle ones end over the first fifth of it, all others at its end.
    Drain(Duration),
    /// They end at once.
    Kill,
}

impl fmt::Display for OnChange {
    /// What is said of the connections.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("go on"),
            Self::Drain(time) => write!(f, "have {} to end", Period(*time)),
            Self::Kill => f.write_str("are ended"),
        }
    }
}

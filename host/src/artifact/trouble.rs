//! What can go wrong between here and a registry.

use crate::digest::Digest;

/// Why something could not be pulled or pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{registry} cannot be reached: {reason}")]
    Unreachable { registry: String, reason: String },
    #[error("{registry} took longer than {seconds} s")]
    Slow { registry: String, seconds: u64 },
    #[error("{registry} has no {what}")]
    NotFound { registry: String, what: String },
    #[error(
        "{registry} refuses {what} ({status}): log in with `docker login {registry}`, or give this process a Docker \
         configuration that may ($DOCKER_CONFIG)"
    )]
    Denied {
        registry: String,
        what: String,
        status: u16,
    },
    #[error("{registry} answered {status} when asked for {what}: {said}")]
    Answer {
        registry: String,
        what: String,
        status: u16,
        said: String,
    },
    #[error("{what} has more than {most} bytes, which a filter may have")]
    TooLarge { what: String, most: u64 },
    #[error("{what} was expected to be {expected}, and is {found}: it has been changed on its way, or in the registry")]
    Tampered {
        what: String,
        expected: Digest,
        found: Digest,
    },
    #[error("{0}")]
    NoFilter(String),
    #[error("{0}")]
    Here(String),
}

impl Trouble {
    /// It may be gone by the next time that somebody asks.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } => true,
            Self::Answer { status, .. } => *status >= 500 || *status == 429,
            // A body that breaks off arrives as another one where its length is not known before.
            Self::Tampered { .. } => true,
            Self::NotFound { .. } | Self::Denied { .. } | Self::TooLarge { .. } | Self::NoFilter(_) | Self::Here(_) => {
                false
            }
        }
    }
}

//! Who the process is, and how another one takes its place, as it is meant.

use std::path::PathBuf;
use std::time::Duration;

use super::defaults;

/// What is said of the process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Who it becomes once everything is bound; `None`: it stays who it is.
    pub user: Option<Account>,
    pub upgrade_socket: UpgradeSocket,
    /// Until a new process has to serve.
    pub upgrade_timeout: Duration,
    /// From an upgrade until the old process drains; `None`: it never does.
    pub upgrade_linger: Option<Duration>,
}

/// Somebody that the process may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As typed: for messages.
    pub name: String,
    pub user: u32,
    pub group: u32,
    /// The other groups that it is a member of (group(5)).
    pub groups: Vec<u32>,
}

/// Where `spliceway upgrade` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeSocket {
    /// Where every process of its kind has it, if this one can.
    Usual,
    At(PathBuf),
    /// Nowhere.
    None,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            user: None,
            upgrade_socket: UpgradeSocket::Usual,
            upgrade_timeout: defaults::UPGRADE_TIMEOUT,
            upgrade_linger: defaults::UPGRADE_LINGER,
        }
    }
}

impl UpgradeSocket {
    /// The socket file, whether or not there is one.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Usual => Some(defaults::UPGRADE_SOCKET.into()),
            Self::At(path) => Some(path.clone()),
            Self::None => None,
        }
    }
}

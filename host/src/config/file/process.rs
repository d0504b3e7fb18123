//! `[process]`

use schemars::JsonSchema;

use super::timeouts::timeout;
use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Timeout};

/// Who the process is, and how another one takes its place. What changes here takes a restart or an upgrade.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Who it becomes once everything is bound, by the name in /etc/passwd or by number. Only root can become somebody else.
    pub user: Option<Given<String>>,
    /// The group of that, by the name in /etc/group or by number. Default: the user's own.
    pub group: Option<Given<String>>,
    /// The socket file at which `spliceway upgrade` asks. The default is used where its directory is there; none with "-".
    #[schemars(extend("default" = defaults::UPGRADE_SOCKET))]
    pub upgrade_socket: Option<Given<String>>,
    /// How long a new process may take until it serves, 100ms to 1h. It compiles its filters first.
    #[schemars(extend("default" = Period(defaults::UPGRADE_TIMEOUT).to_string()))]
    pub upgrade_timeout: Option<Given<Period>>,
    /// When the drain begins for the connections that an old process still has after an upgrade, 1ms to 8760h; 0 is never:
    /// they live until they end.
    #[schemars(extend("default" = timeout(defaults::UPGRADE_LINGER)))]
    pub upgrade_linger: Option<Given<Timeout>>,
}

impl Read for Process {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[process]`", problems, |table| Self {
            user: table.optional("user"),
            group: table.optional("group"),
            upgrade_socket: table.optional("upgrade-socket"),
            upgrade_timeout: table.optional("upgrade-timeout"),
            upgrade_linger: table.optional("upgrade-linger"),
        })
    }
}

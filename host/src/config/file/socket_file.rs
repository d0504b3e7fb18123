//! `socket-file` of a listener.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// Who may connect to a listener's unix socket: what is left out is as the process has it.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SocketFile {
    /// Permissions in octal, as in `"0660"`: who may write may connect (unix(7)).
    #[schemars(regex(pattern = "^0?[0-7]{3}$"))]
    pub mode: Option<Given<String>>,
    /// The file's owner, by the name in /etc/passwd or by number.
    pub owner: Option<Given<String>>,
    /// The file's group, by the name in /etc/group or by number.
    pub group: Option<Given<String>>,
}

impl Read for SocketFile {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ mode = \"0660\" }`", problems, |table| Self {
            mode: table.optional("mode"),
            owner: table.optional("owner"),
            group: table.optional("group"),
        })
    }
}

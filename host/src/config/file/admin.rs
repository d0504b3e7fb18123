//! `[admin]`

use schemars::JsonSchema;

use super::SocketFile;
use crate::config::address::ListenAddress;
use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// Where the proxy is asked what it does, and told what to do, while it runs. Without this table there is no such place.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admin {
    /// Where it is: `unix:/PATH`, or `IP:PORT` together with `token-file`.
    #[schemars(extend("default" = defaults::ADMIN_ADDRESS))]
    pub listen: Option<Given<ListenAddress>>,
    /// Who may connect, where `listen` is a unix socket. The mode is 0600 unless said.
    pub socket_file: Option<Given<SocketFile>>,
    /// A file with the token that whoever asks has to know: one line of 16 to 1024 visible ASCII characters. A relative path starts at
    /// the directory of this file.
    pub token_file: Option<Given<String>>,
}

impl Read for Admin {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[admin]`", problems, |table| Self {
            listen: table.optional("listen"),
            socket_file: table.optional("socket-file"),
            token_file: table.optional("token-file"),
        })
    }
}

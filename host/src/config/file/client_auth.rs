//! `client-auth` of a listener's `tls`.

use schemars::JsonSchema;

use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// Clients show certificates.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ClientAuth {
    /// A PEM file: the certificates of those who sign the clients'. A relative path starts at the directory of this file.
    pub authorities: Given<String>,
    /// Whether there is no service without a certificate.
    #[schemars(extend("default" = defaults::CLIENT_AUTH_REQUIRED))]
    pub required: Option<Given<bool>>,
    /// A PEM file: lists of the certificates that are revoked. A relative path starts at the directory of this file.
    pub revocations: Option<Given<String>>,
}

impl Read for ClientAuth {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ authorities = \"ca.pem\" }`";
        read_table(value, expected, problems, |table| Self {
            authorities: table.required("authorities"),
            required: table.optional("required"),
            revocations: table.optional("revocations"),
        })
    }
}

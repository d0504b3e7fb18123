//! A certificate and its key: `certificates` of a listener's `tls`, `certificate` of an upstream's.

use schemars::JsonSchema;
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};

/// A PEM file with both, or a table with two files.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Certificate {
    Short(String),
    Long(CertificateTable),
}

/// A certificate and its key in two files.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CertificateTable {
    /// A PEM file: the certificate, and behind it those between it and its root. A relative path starts at the directory
    /// of this file.
    pub chain: Given<String>,
    /// A PEM file: the private key, without a password. A relative path starts at the directory of this file.
    pub key: Given<String>,
}

impl Read for Certificate {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Self::Short(text.to_string())),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| CertificateTable {
                chain: table.required("chain"),
                key: table.required("key"),
            })
            .map(Self::Long),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "a PEM file, as in \"a.pem\", or a table, as in `{ chain = \"a.pem\", key = \"a.key\" }`";

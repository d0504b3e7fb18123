//! `tls` of a listener, and of an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::{Certificate, ClientAuth};
use crate::config::alpn_name::AlpnName;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::pattern::NamePattern;
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::server_name::ServerName;
use crate::config::units::Period;
use crate::config::word::Word;
use crate::config::{TlsStart, TlsVersion, defaults, ranges};

/// Clients speak TLS, which is decrypted here.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsIn {
    /// PEM files with a certificate and its key each, or tables with a `chain` and a `key`. The first that is for the name
    /// which a client asks for is shown; where none is, the first of all.
    #[schemars(length(min = 1))]
    pub certificates: Given<Vec<Given<Certificate>>>,
    /// Whether a client is turned away that asks for a name which no certificate is for, or for none.
    #[schemars(extend("default" = false))]
    pub strict: Option<Given<bool>>,
    /// When it is decrypted: `at-once` where clients begin with TLS, `detect` where some of them do and others go on as
    /// they are, `on-request` when a filter asks for it (STARTTLS).
    #[schemars(extend("default" = Word::of(TlsStart::default())))]
    pub start: Option<Given<Word<TlsStart>>>,
    /// Names whose connections are passed on as they are, encrypted: `a.example.com`, `*.example.com`, or `~` and a regular
    /// expression for all of the name.
    pub passthrough: Option<Given<Vec<Given<NamePattern>>>>,
    /// Whether clients show certificates. Without this table they are not asked for any.
    pub client_auth: Option<Given<ClientAuth>>,
    /// Protocols that are negotiated (ALPN), those that are preferred first, as in `h2`. Without this key: none.
    pub alpn: Option<Given<Vec<Given<AlpnName>>>>,
    /// The oldest version of TLS that is spoken.
    #[schemars(extend("default" = Word::of(defaults::TLS_MIN_VERSION)))]
    pub min_version: Option<Given<Word<TlsVersion>>>,
    /// How long a handshake may take, 1ms to 1h.
    #[schemars(extend("default" = Period(defaults::TLS_TIMEOUT).to_string()))]
    pub timeout: Option<Given<Period>>,
    /// How many clients may be in their handshakes at once, 1 to 1000000.
    #[schemars(extend(
        "default" = defaults::TLS_HANDSHAKES,
        "minimum" = ranges::TLS_HANDSHAKES.start(),
        "maximum" = ranges::TLS_HANDSHAKES.end(),
    ))]
    pub max_handshakes: Option<Given<i64>>,
}

impl Read for TlsIn {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ certificates = [\"a.pem\"] }`";
        read_table(value, expected, problems, |table| Self {
            certificates: table.required("certificates"),
            strict: table.optional("strict"),
            start: table.optional("start"),
            passthrough: table.optional("passthrough"),
            client_auth: table.optional("client-auth"),
            alpn: table.optional("alpn"),
            min_version: table.optional("min-version"),
            timeout: table.optional("timeout"),
            max_handshakes: table.optional("max-handshakes"),
        })
    }
}

/// Servers are spoken to in TLS: `true` by every default, or a table.
#[derive(Debug)]
pub enum TlsOut {
    Short(bool),
    Long(Box<TlsOutTable>),
}

/// How servers are spoken to in TLS.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsOutTable {
    /// Whether a server has to prove who it is. One that has not may be anybody.
    #[schemars(extend("default" = defaults::TLS_VERIFY))]
    pub verify: Option<Given<bool>>,
    /// The name that is asked for, and that the server's certificate has to be for. Without this key: the host of its
    /// address.
    pub name: Option<Given<ServerName>>,
    /// A PEM file: the certificates of those who sign the servers'. A relative path starts at the directory of this file.
    /// Without this key: whom the system trusts.
    pub authorities: Option<Given<String>>,
    /// Our own, for servers that ask for one: a PEM file with the certificate and its key, or a table with a `chain` and a
    /// `key`.
    pub certificate: Option<Given<Certificate>>,
    /// Protocols that are offered (ALPN), as in `h2`. Without this key: what was negotiated with the client, if anything.
    pub alpn: Option<Given<Vec<Given<AlpnName>>>>,
    /// The oldest version of TLS that is spoken.
    #[schemars(extend("default" = Word::of(defaults::TLS_MIN_VERSION)))]
    pub min_version: Option<Given<Word<TlsVersion>>>,
}

impl Read for TlsOut {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Boolean(on) => Ok(Self::Short(*on)),
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| TlsOutTable {
                verify: table.optional("verify"),
                name: table.optional("name"),
                authorities: table.optional("authorities"),
                certificate: table.optional("certificate"),
                alpn: table.optional("alpn"),
                min_version: table.optional("min-version"),
            })
            .map(|table| Self::Long(Box::new(table))),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "true, false, or a table, as in `{ name = \"db.example.com\" }`";

impl JsonSchema for TlsOut {
    fn schema_name() -> Cow<'static, str> {
        "TlsOut".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<TlsOutTable>()] })
    }
}

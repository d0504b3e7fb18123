//! `proxy-protocol` of a listener, and of an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::network::Network;
use crate::config::reader::{Given, Read, Value, read_table, wrong_type};
use crate::config::tlv_type::TlvType;
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{ProxyVersion, SentTlv, defaults};

/// Clients come through proxies that say who they are.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProxyIn {
    /// Whether there is no service without a header.
    #[schemars(extend("default" = defaults::PROXY_IN_REQUIRED))]
    pub required: Option<Given<bool>>,
    /// Whose headers are believed: networks, addresses, or `unix` for whoever may open the listener's unix socket.
    #[schemars(length(min = 1))]
    pub trusted: Given<Vec<Given<Network>>>,
    /// How long a header may take, 1ms to 1h.
    #[schemars(extend("default" = Period(defaults::PROXY_IN_TIMEOUT).to_string()))]
    pub timeout: Option<Given<Period>>,
    /// The most bytes of a header, 256B to 64KiB.
    #[schemars(extend("default" = Size(defaults::PROXY_IN_LONGEST).to_string()))]
    pub max_length: Option<Given<Size>>,
}

impl Read for ProxyIn {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ trusted = [\"10.0.0.0/8\"] }`";
        read_table(value, expected, problems, |table| Self {
            required: table.optional("required"),
            trusted: table.required("trusted"),
            timeout: table.optional("timeout"),
            max_length: table.optional("max-length"),
        })
    }
}

/// Servers are told who the clients are: a version, or a table where there is more to say.
#[derive(Debug)]
pub enum ProxyOut {
    Short(Word<ProxyVersion>),
    Long(ProxyOutTable),
}

/// What servers are told of each connection.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProxyOutTable {
    /// The version of the header: `v1` is text, `v2` is binary and has TLVs.
    pub version: Given<Word<ProxyVersion>>,
    /// What is said beside the addresses, where it is known: `authority` is the name that the client asked for, `alpn` its
    /// protocol, `ssl` what a header that was received says of its TLS, `unique-id` a name of the connection, `crc32c` a
    /// checksum of the header.
    pub tlvs: Option<Given<Vec<Given<Word<SentTlv>>>>>,
    /// Types of TLVs, as in `0xEA`, which are passed on from a header that was received.
    pub pass: Option<Given<Vec<Given<TlvType>>>>,
}

impl Read for ProxyOut {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Table(_) => read_table(value, EXPECTED, problems, |table| ProxyOutTable {
                version: table.required("version"),
                tlvs: table.optional("tlvs"),
                pass: table.optional("pass"),
            })
            .map(Self::Long),
            DeValue::String(_) => Word::read(value, problems).map(Self::Short),
            _ => Err(wrong_type(value, EXPECTED, problems)),
        }
    }
}

const EXPECTED: &str = "\"v1\", \"v2\", or a table, as in `{ version = \"v2\" }`";

impl JsonSchema for ProxyOut {
    fn schema_name() -> Cow<'static, str> {
        "ProxyOut".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<Word<ProxyVersion>>();
        json_schema!({ "anyOf": [short, generator.subschema_for::<ProxyOutTable>()] })
    }
}

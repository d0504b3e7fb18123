//! `[[listeners.routes]]`, and `[[routes]]` for all listeners.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::{Fate, OnChange, Treatment};
use crate::config::alpn_name::AlpnName;
use crate::config::destination::Destination;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::name::Name;
use crate::config::network::Network;
use crate::config::pattern::{NamePattern, TextPattern};
use crate::config::reader::{Given, Read, Table, Value, read_table};
use crate::config::tlv_type::TlvType;
use crate::config::word::Word;
use crate::config::{Refusal, ranges};
use crate::protocol::Protocol;

/// What becomes of connections of a kind. Of a listener's routes the first that matches decides; each condition has to
/// hold, and a condition holds where one member of its list does. `upstream`, `split` or `refuse` says what is done.
#[derive(Debug, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    rename_all = "kebab-case",
    extend("oneOf" = [
        json!({ "required": ["upstream"] }),
        json!({ "required": ["split"] }),
        json!({ "required": ["refuse"] }),
    ]),
)]
pub struct Route {
    /// What logs and explanations call it: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit.
    /// Without this key: its place, `routes[0]` for a listener's first, `shared.routes[0]` for the first of `[[routes]]`.
    pub name: Option<Given<Name>>,
    /// Names that the client asks for in TLS: `a.example.com`, `*.example.com` for every name below, or `~` and a regular
    /// expression for all of the name.
    #[schemars(length(min = 1))]
    pub sni: Option<Given<Vec<Given<NamePattern>>>>,
    /// Protocols of ALPN, as in `h2`: what was negotiated where TLS is decrypted here, one of those that the client offers
    /// where it is not.
    #[schemars(length(min = 1))]
    pub alpn: Option<Given<Vec<Given<AlpnName>>>>,
    /// What the client speaks, by its first bytes. `mysql` and `smtp` cannot be told: there the server speaks first.
    #[schemars(length(min = 1))]
    pub protocol: Option<Given<Vec<Given<Word<Protocol>>>>>,
    /// Where the client is: networks, addresses, or `unix` for who comes by a unix socket.
    #[schemars(length(min = 1))]
    pub client: Option<Given<Vec<Given<Network>>>>,
    /// Where the connection was to go before it was led here, on a listener that is `transparent`: networks, ports, or both,
    /// as in `10.0.0.0/8`, `:443`, `[2001:db8::/32]:8000-8999`.
    #[schemars(length(min = 1))]
    pub destination: Option<Given<Vec<Given<Destination>>>>,
    /// TLVs of the PROXY header that the client's proxy has sent.
    #[schemars(length(min = 1))]
    pub proxy_tlv: Option<Given<Vec<Given<TlvCondition>>>>,
    /// The subject of the client's certificate as in RFC 4514, `CN=alice,O=Example`; `*` and the end of one; or `~` and a
    /// regular expression for all of it.
    #[schemars(length(min = 1))]
    pub subject: Option<Given<Vec<Given<TextPattern>>>>,
    /// The upstream that connections go to.
    pub upstream: Option<Given<String>>,
    /// Several upstreams that share the connections in proportion to their weights.
    #[schemars(length(min = 2))]
    pub split: Option<Given<Vec<Given<Share>>>>,
    /// Connections are closed: `alert` says so in TLS where the client begins with it (`unrecognized_name`), `fin` closes
    /// without a word, `rst` resets.
    pub refuse: Option<Given<Word<Refusal>>>,
    /// What is done to the bytes of its connections besides passing them on.
    pub treatment: Option<Given<Treatment>>,
    /// What becomes of live connections when a reload changes or removes this route: `keep` lets them go on as they
    /// began, `kill` ends them, `{ drain = "5m" }` gives them so long.
    #[schemars(extend("default" = Word::of(Fate::Keep)))]
    pub on_change: Option<Given<OnChange>>,
}

impl Route {
    fn keys(table: &mut Table<'_>) -> Self {
        let name = table.optional("name");
        let sni = table.optional("sni");
        let alpn = table.optional("alpn");
        let protocol = table.optional("protocol");
        let client = table.optional("client");
        let destination = table.optional("destination");
        let proxy_tlv = table.optional("proxy-tlv");
        let subject = table.optional("subject");
        let (upstream, split, refuse) = (
            table.optional("upstream"),
            table.optional("split"),
            table.optional("refuse"),
        );
        let undecided = upstream.is_none() && split.is_none() && refuse.is_none();
        let upstream = match undecided {
            true => Some(table.none_of(&["upstream", "split", "refuse"])),
            false => upstream,
        };
        Self {
            name,
            sni,
            alpn,
            protocol,
            client,
            destination,
            proxy_tlv,
            subject,
            upstream,
            split,
            refuse,
            treatment: table.optional("treatment"),
            on_change: table.optional("on-change"),
        }
    }
}

impl Read for Route {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[[listeners.routes]]`", problems, Self::keys)
    }
}

/// A route of several listeners.
#[derive(Debug)]
pub struct SharedRoute {
    pub listeners: Option<Given<Vec<Given<String>>>>,
    pub route: Route,
}

impl Read for SharedRoute {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[[routes]]`", problems, |table| Self {
            listeners: table.optional("listeners"),
            route: Route::keys(table),
        })
    }
}

impl JsonSchema for SharedRoute {
    fn schema_name() -> Cow<'static, str> {
        "SharedRoute".into()
    }

    /// A route with one key more.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Route::json_schema(generator);
        if let Some(properties) = schema
            .get_mut("properties")
            .and_then(|properties| properties.as_object_mut())
        {
            let listeners = json_schema!({
                "description": "Names of the listeners that it is for. Without this key: all of them.",
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
            });
            properties.insert("listeners".to_owned(), listeners.to_value());
        }
        schema
    }
}

/// Holds where the header has a TLV of this type, with this value.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TlvCondition {
    /// The type, as in `0xEA`.
    #[schemars(rename = "type")]
    pub kind: Given<TlvType>,
    /// The value as text, `*` and the end of one, or `~` and a regular expression for all of it. Of type 0xEA also what
    /// follows its subtype. Without this key: any.
    pub value: Option<Given<TextPattern>>,
}

impl Read for TlvCondition {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ type = \"0xEA\" }`", problems, |table| Self {
            kind: table.required("type"),
            value: table.optional("value"),
        })
    }
}

/// One of the upstreams among which connections are shared.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Share {
    /// The upstream.
    pub upstream: Given<String>,
    /// Its share in proportion to the weights of the others, 0 to 1000; 0 is none.
    #[schemars(extend(
        "default" = 1,
        "minimum" = ranges::SHARE.start(),
        "maximum" = ranges::SHARE.end(),
    ))]
    pub weight: Option<Given<i64>>,
}

impl Read for Share {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ upstream = \"a\", weight = 9 }`";
        read_table(value, expected, problems, |table| Self {
            upstream: table.required("upstream"),
            weight: table.optional("weight"),
        })
    }
}

//! The configuration file as a person types it: its tables, keys and types, and the JSON Schema of the same.
//!
//! The comments on fields are what an editor shows beside a key.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};

use super::address::{Address, ListenAddress};
use super::diagnostics::{Problems, Reported};
use super::name::Name;
use super::named::Named;
use super::reader::{Given, Read, Table, Value, read_entries, read_table};
use super::units::{Period, Size, Timeout};
use super::word::Word;
use super::{Balance, OnError, defaults, ranges};

/// The JSON Schema of a configuration file, from which editors complete and check.
pub fn schema() -> Json {
    // Draft 7 is what every TOML plugin of an editor is sure to know.
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    remove_null(&mut schema);
    schema.to_value()
}

/// A configuration file of Spliceway.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Spliceway", deny_unknown_fields)]
pub(super) struct File {
    /// Worker threads, 1 to 1024. Default: one for each CPU that the process may run on.
    #[schemars(extend("minimum" = ranges::WORKERS.start(), "maximum" = ranges::WORKERS.end()))]
    pub(super) workers: Option<Given<i64>>,
    /// WebAssembly filters by name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit.
    pub(super) filters: Option<Given<Named<Filter>>>,
    /// Groups of servers by name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit.
    pub(super) upstreams: Option<Given<Named<Upstream>>>,
    /// The places where clients connect.
    #[schemars(required, length(min = 1))]
    pub(super) listeners: Option<Given<Vec<Given<Listener>>>>,
}

impl File {
    pub(super) fn read(entries: &DeTable<'_>, problems: &mut Problems) -> Self {
        read_entries(entries, None, problems, |table| Self {
            workers: table.optional("workers"),
            filters: table.optional("filters"),
            upstreams: table.optional("upstreams"),
            listeners: table.optional("listeners"),
        })
    }
}

/// A WebAssembly filter.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Filter {
    /// The component's file. A relative path starts at the directory of this file.
    pub(super) source: Given<String>,
    /// The filter's own configuration, given to it as JSON; dates and times as strings. What it expects is in its
    /// `config-schema`, which `spliceway filter inspect` shows.
    pub(super) config: Option<Given<Json>>,
    /// What becomes of a connection whose filter trapped, overran a limit or broke the contract: `close` closes the
    /// connection, `pass` goes on without the filter.
    #[schemars(extend("default" = Word::of(OnError::default())))]
    pub(super) on_error: Option<Given<Word<OnError>>>,
    /// How many connections share one instance of an inspector, 1 to 65536. 1 isolates each of them from the others.
    #[schemars(extend(
        "default" = defaults::SESSIONS_PER_INSTANCE,
        "minimum" = ranges::SESSIONS_PER_INSTANCE.start(),
        "maximum" = ranges::SESSIONS_PER_INSTANCE.end(),
    ))]
    pub(super) sessions_per_instance: Option<Given<i64>>,
    /// What the filter may use.
    pub(super) limits: Option<Given<Limits>>,
}

impl Read for Filter {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[filters.NAME]`", problems, |table| Self {
            source: table.required("source"),
            config: table.optional("config"),
            on_error: table.optional("on-error"),
            sessions_per_instance: table.optional("sessions-per-instance"),
            limits: table.optional("limits"),
        })
    }
}

/// What one filter may use.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Limits {
    /// Memory of one instance, 64KiB to 16MiB.
    #[schemars(extend("default" = Size(defaults::FILTER_LIMITS.memory).to_string()))]
    pub(super) memory: Option<Given<Size>>,
    /// CPU time of one call, 1ms to 1s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.call).to_string()))]
    pub(super) call: Option<Given<Period>>,
    /// CPU time of the filter's start, 1ms to 60s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.init).to_string()))]
    pub(super) init: Option<Given<Period>>,
}

impl Read for Limits {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ memory = \"16MiB\" }`", problems, |table| {
            Self {
                memory: table.optional("memory"),
                call: table.optional("call"),
                init: table.optional("init"),
            }
        })
    }
}

/// A group of servers that do the same.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Upstream {
    /// How connections are shared among the servers: `round-robin` takes them in turn.
    #[schemars(extend("default" = Word::of(Balance::default())))]
    pub(super) balance: Option<Given<Word<Balance>>>,
    /// The servers: addresses, or tables with an `address`.
    #[schemars(length(min = 1))]
    pub(super) servers: Given<Vec<Given<Server>>>,
}

impl Read for Upstream {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[upstreams.NAME]`", problems, |table| Self {
            balance: table.optional("balance"),
            servers: table.required("servers"),
        })
    }
}

/// A server: its address, or a table where there is more to say.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Server {
    Short(Address),
    Long(ServerTable),
}

/// A server in the long form.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ServerTable {
    /// Where the server is: `IP:PORT`, `HOST:PORT` or `unix:/PATH`.
    pub(super) address: Given<Address>,
}

impl Read for Server {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            return Address::read(value, problems).map(Self::Short);
        }
        let read = |table: &mut Table<'_>| ServerTable {
            address: table.required("address"),
        };
        read_table(value, "a server", problems, read).map(Self::Long)
    }
}

/// A place where clients connect.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Listener {
    /// What logs and metrics call it: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit.
    pub(super) name: Given<Name>,
    /// Where to listen: `IP:PORT`, `:PORT` for all addresses of IPv4 and IPv6, `HOST:PORT` or `unix:/PATH`. Port 0 lets
    /// the kernel choose.
    pub(super) address: Given<ListenAddress>,
    /// Names of filters, in the order in which they are asked.
    pub(super) filters: Option<Given<Vec<Given<String>>>>,
    /// The upstream where no filter decides otherwise.
    pub(super) upstream: Option<Given<String>>,
    /// How long a connection may take, per stage.
    pub(super) timeouts: Option<Given<Timeouts>>,
}

impl Read for Listener {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[[listeners]]`", problems, |table| Self {
            name: table.required("name"),
            address: table.required("address"),
            filters: table.optional("filters"),
            upstream: table.optional("upstream"),
            timeouts: table.optional("timeouts"),
        })
    }
}

/// How long a connection may take, per stage: 1ms to 8760h, or 0 for ever.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Timeouts {
    /// From the choice of an upstream until one of its servers has answered.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.connect)))]
    pub(super) connect: Option<Given<Timeout>>,
    /// How long router filters may wait for bytes of the client's, all of them together.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.route)))]
    pub(super) route: Option<Given<Timeout>>,
    /// How long both directions together may be silent.
    #[schemars(extend("default" = timeout(defaults::TIMEOUTS.idle)))]
    pub(super) idle: Option<Given<Timeout>>,
}

impl Read for Timeouts {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ idle = \"1h\" }`", problems, |table| Self {
            connect: table.optional("connect"),
            route: table.optional("route"),
            idle: table.optional("idle"),
        })
    }
}

fn timeout(default: Option<std::time::Duration>) -> String {
    default.map_or_else(|| "0".to_owned(), |duration| Period(duration).to_string())
}

/// schemars takes an `Option` for a value that may be null, which TOML does not have.
fn remove_null(schema: &mut Schema) {
    transform_subschemas(&mut remove_null, schema);
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Json::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Json::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|option| *option != json!({ "type": "null" }));
        if let [Json::Object(only)] = options.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            // Draft 7 ignores what stands beside a `$ref`: the comment on the field.
            match only.contains_key("$ref") {
                true => _ = schema.insert("allOf".to_owned(), json!([only])),
                false => only.into_iter().for_each(|(key, value)| _ = schema.insert(key, value)),
            }
        }
    }
}

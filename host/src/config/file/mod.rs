//! The configuration file as a person types it: its tables, keys and types, and the JSON Schema of the same.
//!
//! The comments on fields are what an editor shows beside a key.

mod access_log;
mod admin;
mod bandwidth;
mod canary;
mod capture;
mod certificate;
mod client_auth;
mod detection;
mod dns;
mod drain;
mod faults;
mod filter;
mod health;
mod keepalive;
mod limits;
mod listener;
mod metrics;
mod mirror;
mod on_change;
mod original_destination;
mod passive;
mod process;
mod proxy_protocol;
mod pull;
mod quarantine;
mod queue;
mod registries;
mod reload;
mod resolver;
mod retire;
mod retries;
mod route;
mod server;
mod several;
mod socket;
mod socket_file;
mod source;
mod telemetry;
mod timeouts;
mod tls;
mod toxiproxy;
mod treatment;
mod trust;
mod upstream;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::{Value as Json, json};
use toml::de::DeTable;

use super::diagnostics::Problems;
use super::named::Named;
use super::ranges;
use super::reader::{Given, read_entries};
pub(super) use access_log::AccessLog;
pub(super) use admin::Admin;
pub(super) use bandwidth::{Bandwidth, Quota};
pub(super) use canary::{Canary, CanaryTable};
pub(super) use capture::Capture;
pub(super) use certificate::Certificate;
pub(super) use client_auth::ClientAuth;
pub(super) use detection::Detection;
pub(super) use dns::{AtStart, Dns};
pub(super) use drain::Drain;
pub(super) use faults::{Close, Fault, Kind};
pub(super) use filter::{Filter, FilterLimits};
pub(super) use health::{Health, Start};
pub(super) use keepalive::{Keepalive, KeepaliveTable};
pub(super) use limits::Limits;
pub(super) use listener::Listener;
pub(super) use metrics::Metrics;
pub(super) use mirror::Mirror;
pub(super) use on_change::{Fate, OnChange};
pub(super) use original_destination::OriginalDestination;
pub(super) use passive::Passive;
pub(super) use process::Process;
pub(super) use proxy_protocol::{ProxyIn, ProxyOut};
pub(super) use pull::{Pull, When};
pub(super) use quarantine::Quarantine;
pub(super) use queue::Queue;
pub(super) use registries::Registries;
pub(super) use reload::Reload;
pub(super) use resolver::Resolver;
pub(super) use retire::Retire;
pub(super) use retries::{Retries, RetriesTable};
pub(super) use route::{Route, Share, SharedRoute, TlvCondition};
pub(super) use server::{Server, ServerTable};
pub(super) use several::Several;
pub(super) use socket::{ListenerSocket, SocketOptions, UpstreamSocket};
pub(super) use socket_file::SocketFile;
pub(super) use source::Source;
pub(super) use telemetry::Telemetry;
pub(super) use timeouts::{TimeoutChanges, Timeouts};
pub(super) use tls::{TlsIn, TlsOut, TlsOutTable};
pub(super) use toxiproxy::Toxiproxy;
pub(super) use treatment::Treatment;
pub(super) use trust::Trust;
pub(super) use upstream::Upstream;

/// The JSON Schema of a configuration file, from which editors complete and check.
pub fn schema() -> Json {
    // Draft 7 is what every TOML plugin of an editor is sure to know.
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    remove_null(&mut schema);
    let mut schema = schema.to_value();
    // Or it would depend on the features that others in the same build ask of serde_json.
    schema.sort_all_objects();
    schema
}

/// A configuration file of Spliceway.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Spliceway", deny_unknown_fields, rename_all = "kebab-case")]
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
    /// What becomes of connections of a kind, on all listeners or on some: asked behind the listener's own `routes`.
    pub(super) routes: Option<Given<Vec<Given<SharedRoute>>>>,
    /// What the clients of all listeners together may have.
    pub(super) limits: Option<Given<Limits>>,
    /// How the process ends when it is told to.
    pub(super) drain: Option<Given<Drain>>,
    /// A line for each connection. Without this table there are none.
    pub(super) access_log: Option<Given<AccessLog>>,
    /// Who is asked for the addresses of names.
    pub(super) resolver: Option<Given<Resolver>>,
    /// A page for Prometheus. Without this table there is none.
    pub(super) metrics: Option<Given<Metrics>>,
    /// A collector of OpenTelemetry's that is told of connections, and gets the log. Without this table there is none.
    pub(super) telemetry: Option<Given<Telemetry>>,
    /// When this file is read again.
    pub(super) reload: Option<Given<Reload>>,
    /// Where the proxy is asked and told what to do. Without this table there is no such place.
    pub(super) admin: Option<Given<Admin>>,
    /// Where the clients of Toxiproxy do faults to the listeners. Without this table there is no such place.
    pub(super) toxiproxy: Option<Given<Toxiproxy>>,
    /// Who the process is, and how another one takes its place.
    pub(super) process: Option<Given<Process>>,
    /// How filters are pulled from registries.
    pub(super) registries: Option<Given<Registries>>,
    /// Whose signatures filters have to have.
    pub(super) trust: Option<Given<Vec<Given<Trust>>>>,
}

impl File {
    pub(super) fn read(entries: &DeTable<'_>, problems: &mut Problems) -> Self {
        read_entries(entries, None, problems, |table| Self {
            workers: table.optional("workers"),
            filters: table.optional("filters"),
            upstreams: table.optional("upstreams"),
            listeners: table.optional("listeners"),
            routes: table.optional("routes"),
            limits: table.optional("limits"),
            drain: table.optional("drain"),
            access_log: table.optional("access-log"),
            resolver: table.optional("resolver"),
            metrics: table.optional("metrics"),
            telemetry: table.optional("telemetry"),
            reload: table.optional("reload"),
            admin: table.optional("admin"),
            toxiproxy: table.optional("toxiproxy"),
            process: table.optional("process"),
            registries: table.optional("registries"),
            trust: table.optional("trust"),
        })
    }
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

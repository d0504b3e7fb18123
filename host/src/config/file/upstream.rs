//! `[upstreams.NAME]`

use schemars::JsonSchema;
use serde_json::json;

use super::timeouts::timeout;
use super::{
    Dns, Fate, Health, Keepalive, OnChange, OriginalDestination, Passive, ProxyOut, Queue, Retries, Server, Source,
    TimeoutChanges, TlsOut, Treatment, UpstreamSocket,
};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Table, Value, read_table};
use crate::config::units::{Period, Timeout};
use crate::config::word::Word;
use crate::config::{Balance, Connect, OnDown, defaults, ranges};

/// A group of servers that do the same.
#[derive(Debug, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    rename_all = "kebab-case",
    extend("oneOf" = [json!({ "required": ["servers"] }), json!({ "required": ["original-destination"] })]),
)]
pub struct Upstream {
    /// How connections are shared among the servers, in proportion to their weights: `round-robin` takes them in turn,
    /// `least-connections` the one with the fewest, `two-choices` the one with fewer of two that were drawn, `random` one
    /// that was drawn; `source-hash` gives a client the same one each time, `maglev` does so by a key, a client's address
    /// or what a filter says.
    #[schemars(extend("default" = Word::of(Balance::default())))]
    pub balance: Option<Given<Word<Balance>>>,
    /// The servers: addresses, or tables with an `address` or an `srv`.
    #[schemars(length(min = 1))]
    pub servers: Option<Given<Vec<Given<Server>>>>,
    /// In place of `servers`: connections go to where they were on their way before they were led here, from listeners that
    /// are `transparent`. `true`, or the networks and ports that they may go to.
    pub original_destination: Option<Given<OriginalDestination>>,
    /// How long a connection may take, per stage, where that differs from the listener's.
    pub timeouts: Option<Given<TimeoutChanges>>,
    /// Whether servers that are silent are asked if they are still there: a table, or `off`.
    pub keepalive: Option<Given<Keepalive>>,
    /// How long bytes sent to a server may stay unacknowledged, or its window closed, 1ms to 576h; 0 is as the system
    /// says.
    #[schemars(extend("default" = timeout(defaults::VIGILANCE.user_timeout)))]
    pub user_timeout: Option<Given<Timeout>>,
    /// Options of the sockets that lead to the servers.
    pub socket: Option<Given<UpstreamSocket>>,
    /// When a server is connected to: `at-once`, or at the client's `first-byte`, so that a client which never speaks
    /// costs no server anything. A server that speaks first needs `at-once`.
    #[schemars(extend("default" = Word::of(Connect::default())))]
    pub connect: Option<Given<Word<Connect>>>,
    /// How often a connection that no server took is tried again: a number, or a table.
    pub retries: Option<Given<Retries>>,
    /// Connections that wait because every server has its `max-connections`.
    pub queue: Option<Given<Queue>>,
    /// Connections to the servers that are made before they are asked for, 0 to 1024.
    #[schemars(extend(
        "default" = 0,
        "minimum" = ranges::PRECONNECT.start(),
        "maximum" = ranges::PRECONNECT.end(),
    ))]
    pub preconnect: Option<Given<i64>>,
    /// The IP address of this machine to connect from, or several that are taken in turn; or `client`: each connection comes
    /// from its client's address (needs CAP_NET_ADMIN). Without this key: as the system says.
    pub source: Option<Given<Source>>,
    /// How servers are asked whether they live. Without this table they are not.
    pub health: Option<Given<Health>>,
    /// How connections that fail tell that their server is to be left alone for a while. Without this table they do not.
    pub passive: Option<Given<Passive>>,
    /// How long a server's weight takes to grow to all of it after a failure, up to 1h; 0 is at once.
    #[schemars(extend("default" = "0"))]
    pub slow_start: Option<Given<Period>>,
    /// Where fewer of the servers than this are up, all of them are used, 0% to 100%; 0% is never.
    #[schemars(extend("default" = "0%"))]
    pub panic: Option<Given<Percentage>>,
    /// What becomes of a server's connections when it goes down: `keep` lets them go on, `drain` ends them when they are
    /// idle, `kill` ends them at once.
    #[schemars(extend("default" = Word::of(OnDown::default())))]
    pub on_down: Option<Given<Word<OnDown>>>,
    /// What becomes of live connections when a reload changes or removes this upstream, or removes a server: `keep` lets them go on as they
    /// began, `kill` ends them, `{ drain = "5m" }` gives them so long.
    #[schemars(extend("default" = Word::of(Fate::Keep)))]
    pub on_change: Option<Given<OnChange>>,
    /// How the names of servers become addresses.
    pub dns: Option<Given<Dns>>,
    /// Whether servers are told who the clients are (the PROXY protocol): `v1`, `v2`, or a table.
    pub proxy_protocol: Option<Given<ProxyOut>>,
    /// Whether servers are spoken to in TLS: `true`, or a table. Without this key they are not.
    pub tls: Option<Given<TlsOut>>,
    /// What is done to the bytes of its connections besides passing them on.
    pub treatment: Option<Given<Treatment>>,
}

impl Read for Upstream {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[upstreams.NAME]`", problems, Self::keys)
    }
}

impl Upstream {
    fn keys(table: &mut Table<'_>) -> Self {
        let balance = table.optional("balance");
        let (servers, original_destination) = table.either("servers", "original-destination");
        Self {
            balance,
            servers,
            original_destination,
            timeouts: table.optional("timeouts"),
            keepalive: table.optional("keepalive"),
            user_timeout: table.optional("user-timeout"),
            socket: table.optional("socket"),
            connect: table.optional("connect"),
            retries: table.optional("retries"),
            queue: table.optional("queue"),
            preconnect: table.optional("preconnect"),
            source: table.optional("source"),
            health: table.optional("health"),
            passive: table.optional("passive"),
            slow_start: table.optional("slow-start"),
            panic: table.optional("panic"),
            on_down: table.optional("on-down"),
            on_change: table.optional("on-change"),
            dns: table.optional("dns"),
            proxy_protocol: table.optional("proxy-protocol"),
            tls: table.optional("tls"),
            treatment: table.optional("treatment"),
        }
    }
}

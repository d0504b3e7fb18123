//! `[[listeners]]`

use schemars::JsonSchema;

use super::timeouts::timeout;
use super::{
    Detection, Fate, Keepalive, Limits, ListenerSocket, OnChange, ProxyIn, Route, SocketFile, Timeouts, TlsIn,
    Treatment,
};
use crate::config::address::ListenAddress;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::name::Name;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Timeout;
use crate::config::word::Word;
use crate::config::{Accept, Transparent, defaults};

/// A place where clients connect.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listener {
    /// What logs and metrics call it: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit.
    pub name: Given<Name>,
    /// Where to listen: `IP:PORT`, `:PORT` for all addresses of IPv4 and IPv6, `HOST:PORT` or `unix:/PATH`. Port 0 lets
    /// the kernel choose.
    pub address: Given<ListenAddress>,
    /// Names of filters, in the order in which they are asked.
    pub filters: Option<Given<Vec<Given<String>>>>,
    /// The upstream where no route and no filter decides.
    pub upstream: Option<Given<String>>,
    /// How long a connection may take, per stage.
    pub timeouts: Option<Given<Timeouts>>,
    /// What the clients of this listener may have.
    pub limits: Option<Given<Limits>>,
    /// How workers share the address: `groups` has a socket for every four of them, whichever is idle takes the next
    /// connection; `per-worker` has a socket for each, among which the kernel spreads connections; `shared` has one for
    /// all of them.
    #[schemars(extend("default" = Word::of(Accept::default())))]
    pub accept: Option<Given<Word<Accept>>>,
    /// Whether clients that are silent are asked if they are still there: a table, or `off`.
    pub keepalive: Option<Given<Keepalive>>,
    /// How long bytes sent to a client may stay unacknowledged, or its window closed, 1ms to 576h; 0 is as the system
    /// says.
    #[schemars(extend("default" = timeout(defaults::VIGILANCE.user_timeout)))]
    pub user_timeout: Option<Given<Timeout>>,
    /// Whether clients were on their way to somebody else, and how netfilter leads them here: `redirect` (REDIRECT and DNAT),
    /// `tproxy` (TPROXY, needs CAP_NET_ADMIN). Without this key they come to us.
    pub transparent: Option<Given<Word<Transparent>>>,
    /// Options of the sockets that clients come to.
    pub socket: Option<Given<ListenerSocket>>,
    /// Who may connect, where the address is a unix socket.
    pub socket_file: Option<Given<SocketFile>>,
    /// Whether clients come through a proxy that says who they are (the PROXY protocol).
    pub proxy_protocol: Option<Given<ProxyIn>>,
    /// What becomes of connections of a kind: the first route that matches decides, where no filter decides otherwise.
    pub routes: Option<Given<Vec<Given<Route>>>>,
    /// How much of what clients send first is looked at, and for how long, where routes or filters ask for it.
    pub detection: Option<Given<Detection>>,
    /// Whether clients speak TLS, which is decrypted here. Without this table it is passed on as it is.
    pub tls: Option<Given<TlsIn>>,
    /// What is done to the bytes of its connections besides passing them on.
    pub treatment: Option<Given<Treatment>>,
    /// What becomes of live connections when a reload changes or removes this listener: `keep` lets them go on as they
    /// began, `kill` ends them, `{ drain = "5m" }` gives them so long.
    #[schemars(extend("default" = Word::of(Fate::Keep)))]
    pub on_change: Option<Given<OnChange>>,
}

impl Read for Listener {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[[listeners]]`", problems, |table| Self {
            name: table.required("name"),
            address: table.required("address"),
            filters: table.optional("filters"),
            upstream: table.optional("upstream"),
            timeouts: table.optional("timeouts"),
            limits: table.optional("limits"),
            accept: table.optional("accept"),
            keepalive: table.optional("keepalive"),
            user_timeout: table.optional("user-timeout"),
            transparent: table.optional("transparent"),
            socket: table.optional("socket"),
            socket_file: table.optional("socket-file"),
            proxy_protocol: table.optional("proxy-protocol"),
            routes: table.optional("routes"),
            detection: table.optional("detection"),
            tls: table.optional("tls"),
            treatment: table.optional("treatment"),
            on_change: table.optional("on-change"),
        })
    }
}

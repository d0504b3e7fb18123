//! Where clients connect.

mod accept;
mod crew;
mod post;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::config::{Detection, ListenAddress, ListenerConfig, ProxyIn, Timeouts, Transparent};
use crate::detect::Sight;
use crate::filter::{Filter, Observers};
use crate::handover;
use crate::limit::Limiter;
use crate::notice::Notice;
use crate::observe::{AccessLog, Counters};
use crate::route::rules::Rules;
use crate::sockets;
use crate::sys::{Peer, Refused, adopt, listen_tcp, listen_unix};
use crate::tls::Terminator;
use crate::transparent::Own;
use crate::treatment::Regimen;
use crate::upstream::{Upstream, Upstreams};
pub use accept::{accept, serve_handed};
pub use crew::{Counted, Crew, Handed};
pub use post::Post;

/// What all connections of one listener share.
pub struct Listener {
    pub name: Arc<str>,
    pub filters: Arc<[Arc<Filter>]>,
    /// Where no filter decides otherwise.
    pub upstream: Option<Arc<Upstream>>,
    pub upstreams: Arc<Upstreams>,
    pub timeouts: Arc<Timeouts>,
    /// Where clients come through a proxy that says who they are.
    pub proxy_protocol: Option<ProxyIn>,
    /// Which of its connections go where, unless a filter decides otherwise.
    pub rules: Arc<Rules>,
    /// Where clients were on their way to somebody else: how they were led here.
    pub transparent: Option<Transparent>,
    /// Which sockets are this process's.
    pub own: Arc<Own>,
    /// What `Target::Upstream` of `rules` stands for.
    pub targets: Vec<Arc<Upstream>>,
    pub detection: Detection,
    /// Whether there is somebody to tell what has been found out of a connection: a filter, the access log, a server.
    pub tells: bool,
    /// Whether the fingerprint of a ClientHello is asked for: it costs more than the rest of it.
    pub with_ja4: bool,
    /// Where it decrypts.
    pub tls: Option<Arc<Terminator>>,
    /// Where its own connections are limited, and where those of all listeners together are.
    pub limiter: Option<Arc<Limiter>>,
    pub shared_limiter: Option<Arc<Limiter>>,
    pub access_log: Option<AccessLog>,
    /// Present where there are filters.
    pub observers: Option<Observers>,
    /// Outlives it: what was seen is asked for when nobody listens any more.
    pub counters: Arc<Counters>,
    /// To the connections of each of its routes, in their order, and to those of none behind them.
    pub notices: Box<[Arc<Notice>]>,
    /// What is done to the bytes of its connections; and to those of each of its routes, in their order, where there is any.
    pub treatment: Option<Arc<Regimen>>,
    pub treatments: Box<[Option<Arc<Regimen>>]>,
}

impl Listener {
    /// Whether it has to be found out what a connection is before a filter is asked.
    pub fn inspects(&self) -> bool {
        self.tls.is_some() || !self.rules.is_empty()
    }

    pub fn is_limited(&self) -> bool {
        self.limiter.is_some() || self.shared_limiter.is_some()
    }

    /// To the connections that take this route, or none.
    pub fn notice(&self, route: Option<usize>) -> &Arc<Notice> {
        &self.notices[route.unwrap_or(self.notices.len() - 1)]
    }

    /// Of a client that has sent nothing.
    pub fn sight(&self) -> Sight {
        Sight::new(self.detection, self.with_ja4)
    }
}

/// Binds a socket for each worker, and says where. Sockets that the process before has left for that address are taken in
/// their place; then there may be more of them than workers, and none is to be left out.
///
/// # Errors
/// The address is taken, is not this machine's, or may not be bound.
pub fn bind(config: &ListenerConfig, workers: usize) -> anyhow::Result<(Vec<OwnedFd>, Peer)> {
    bind_for(&whom(config), config, workers)
}

/// What errors call it, and the process that takes the place of this one.
pub fn whom(config: &ListenerConfig) -> String {
    format!("listener \"{}\"", config.name)
}

/// The same for something that is no listener for clients, and that errors call by this name.
///
/// # Errors
/// As those of [`bind`].
pub fn bind_for(whom: &str, config: &ListenerConfig, workers: usize) -> anyhow::Result<(Vec<OwnedFd>, Peer)> {
    let failed = |error: io::Error| {
        let refused = error.get_ref().and_then(|inside| inside.downcast_ref::<Refused>());
        let why = match error.kind() {
            _ if refused.is_some() => refused.map(sockets::explained).unwrap_or_default(),
            io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
            io::ErrorKind::PermissionDenied => format!("{error}: ports below 1024 need CAP_NET_BIND_SERVICE"),
            _ => error.to_string(),
        };
        anyhow!("cannot listen on {} ({whom}): {why}", config.address)
    };
    let inherited = |resolved| {
        let sockets = handover::take(whom, &config.address, resolved);
        adopt(sockets, workers, &config.vigilance, &config.socket).map_err(failed)
    };
    let tcp = |address: SocketAddr| {
        let inherited = inherited(Some(address))?;
        if let Some(first) = inherited.first() {
            let bound = rustix::net::getsockname(first).map_err(|errno| failed(errno.into()))?;
            let bound: SocketAddr = bound
                .try_into()
                .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
            return Ok((inherited, Peer::Tcp(bound)));
        }
        let listening = listen_tcp(address, workers, config.accept, &config.vigilance, &config.socket);
        let (sockets, bound) = listening.map_err(failed)?;
        Ok((sockets, Peer::Tcp(bound)))
    };
    match &config.address {
        ListenAddress::Socket(address) => tcp(*address),
        ListenAddress::Host { host, port } => {
            let resolved = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), *port));
            let address = resolved.map_err(failed)?.next();
            tcp(address.with_context(|| format!("{host} has no address to listen on"))?)
        }
        ListenAddress::Unix(path) => {
            let inherited = inherited(None)?;
            if !inherited.is_empty() {
                return Ok((inherited, Peer::Unix(path.clone())));
            }
            let sockets = listen_unix(path, workers, &config.socket_file).map_err(failed)?;
            Ok((sockets, Peer::Unix(path.clone())))
        }
    }
}

//! Where clients connect.

mod accept;
mod crew;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::config::{ListenAddress, ListenerConfig, ProxyIn, Timeouts};
use crate::filter::{Filter, Observers};
use crate::limit::Limiter;
use crate::observe::{AccessLog, Counters};
use crate::sys::{Peer, listen_tcp, listen_unix};
use crate::upstream::{Upstream, Upstreams};
pub use accept::{accept, serve_handed};
pub use crew::{Counted, Crew, Handed};

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
    /// Its own, and those of all listeners together; none where nothing is limited.
    pub limiters: Vec<Arc<Limiter>>,
    pub access_log: Option<AccessLog>,
    /// Present where there are filters.
    pub observers: Option<Observers>,
    /// Outlives it: what was seen is asked for when nobody listens any more.
    pub counters: Arc<Counters>,
}

/// Binds a socket for each worker, and says where.
///
/// # Errors
/// The address is taken, is not this machine's, or may not be bound.
pub fn bind(config: &ListenerConfig, workers: usize) -> anyhow::Result<(Vec<OwnedFd>, Peer)> {
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
            io::ErrorKind::PermissionDenied => format!("{error}: ports below 1024 need CAP_NET_BIND_SERVICE"),
            _ => error.to_string(),
        };
        anyhow!(
            "cannot listen on {} (listener \"{}\"): {why}",
            config.address,
            config.name
        )
    };
    let tcp = |address: SocketAddr| {
        let (sockets, bound) = listen_tcp(address, workers, config.accept, &config.vigilance).map_err(failed)?;
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
            let sockets = listen_unix(path, workers, &config.socket_file).map_err(failed)?;
            Ok((sockets, Peer::Unix(path.clone())))
        }
    }
}

//! Where clients connect.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::watch;

use crate::config::{ListenAddress, ListenerConfig, Timeouts};
use crate::connection::{Accepted, serve};
use crate::filter::{Filter, Observers};
use crate::observe::Counters;
use crate::sys::{Acceptor, Peer, Stream, listen_tcp, listen_unix};
use crate::upstream::{Upstream, Upstreams};
use crate::worker::Worker;

/// What all connections of one listener share.
pub struct Listener {
    pub name: Arc<str>,
    pub filters: Arc<[Arc<Filter>]>,
    /// Where no filter decides otherwise.
    pub upstream: Option<Arc<Upstream>>,
    pub upstreams: Arc<Upstreams>,
    pub timeouts: Timeouts,
    /// Present where there are filters.
    pub observers: Option<Observers>,
    pub counters: Counters,
}

/// How long accepting pauses when there are no descriptors or no memory left: trying again at once would only spin, and
/// connections that end give both back.
const PAUSE: Duration = Duration::from_millis(100);

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
        let (sockets, bound) = listen_tcp(address, workers).map_err(failed)?;
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
            let sockets = listen_unix(path, workers).map_err(failed)?;
            Ok((sockets, Peer::Unix(path.clone())))
        }
    }
}

/// Accepts connections on one worker until `stop` changes, and serves each of them in a task of its own. What waits in the
/// accept queue by then is still accepted: its clients believe that they are connected.
pub async fn accept(listener: Arc<Listener>, socket: OwnedFd, worker: Rc<Worker>, mut stop: watch::Receiver<()>) {
    let acceptor = match Acceptor::new(socket) {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(listener = %listener.name, %error, "cannot accept connections"),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = poll_fn(|cx| acceptor.poll_accept(cx)) => accepted,
            _ = stop.changed() => return,
        };
        let begun = accepted.and_then(|(socket, client)| Ok((Stream::new(socket)?, client)));
        match begun {
            Ok((socket, client)) => {
                let accepted = Box::new(Accepted::new(socket, client, &listener));
                tokio::task::spawn_local(serve(Rc::clone(&worker), accepted));
            }
            Err(error) => {
                tracing::warn!(listener = %listener.name, %error, "cannot accept a connection: pausing");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

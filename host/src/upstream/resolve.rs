//! From the configuration's addresses to the kernel's, once, at start.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use super::{Server, Upstream, Upstreams};
use crate::config::{Address, UpstreamConfig};
use crate::sys::Peer;

/// How long all names together may take. The resolver's own patience (resolv.conf(5): 5 s for each of two tries and each
/// server) is longer than an operator's who waits for a start to succeed.
const PATIENCE: Duration = Duration::from_secs(4);

/// # Errors
/// A name has no address, or the resolver does not answer in time.
pub fn resolve(configs: &[UpstreamConfig]) -> anyhow::Result<Upstreams> {
    let deadline = Instant::now() + PATIENCE;
    let upstream = |config: &UpstreamConfig| -> anyhow::Result<Arc<Upstream>> {
        let server = |address| {
            let addresses = addresses(address, deadline)
                .with_context(|| format!("upstream \"{}\": cannot resolve {address}", config.name))?;
            anyhow::Ok(Server { addresses })
        };
        let servers: Result<_, _> = config.servers.iter().map(|config| server(&config.address)).collect();
        Ok(Arc::new(Upstream::new(config, servers?)))
    };
    Ok(Upstreams(configs.iter().map(upstream).collect::<Result<_, _>>()?))
}

fn addresses(address: &Address, deadline: Instant) -> anyhow::Result<Vec<Arc<Peer>>> {
    match address {
        Address::Socket(address) => Ok(vec![Arc::new(Peer::Tcp(*address))]),
        Address::Unix(path) => Ok(vec![Arc::new(Peer::Unix(path.clone()))]),
        Address::Host { host, port } => look_up(host, *port, deadline),
    }
}

/// getaddrinfo(3) cannot be interrupted, so it is left behind on its thread when it takes too long.
fn look_up(host: &str, port: u16, deadline: Instant) -> anyhow::Result<Vec<Arc<Peer>>> {
    let (answer, answered) = channel();
    let name = host.to_owned();
    thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // Nobody waits any more: then nobody needs it.
        let _ = answer.send(found.map(Iterator::collect::<Vec<_>>));
    })?;
    let left = deadline.saturating_duration_since(Instant::now());
    let found = answered.recv_timeout(left);
    let found = found.map_err(|_| anyhow!("the resolver did not answer within {} s", PATIENCE.as_secs()))??;
    if found.is_empty() {
        bail!("the name has no address");
    }
    Ok(found.into_iter().map(|address| Arc::new(Peer::Tcp(address))).collect())
}

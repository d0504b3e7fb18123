//! From the configuration's servers to the kernel's addresses, before the first connection.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use super::discover::{Learnt, Name, tell};
use super::dns::Directory;
use super::replace::{Found, replace};
use super::roster::Member;
use super::{Upstream, Upstreams};
use crate::config::{Address, Resolver, ServerConfig, ServerPlace, UpstreamConfig};
use crate::sys::Peer;
use crate::tls::Originator;

/// How long all names together may take. A name server's own patience is longer than an operator's who waits for a start
/// to succeed.
const PATIENCE: Duration = Duration::from_secs(4);

/// # Errors
/// A name that must resolve does not.
pub fn resolve(configs: &[UpstreamConfig], resolver: &Resolver) -> anyhow::Result<Upstreams> {
    let directory = Arc::new(Directory::new(resolver));
    let now = Instant::now();
    let wanted = configs.iter().map(|config| names(config, now)).collect();
    let learnt = look_up(&directory, wanted)?;
    let upstreams = configs.iter().zip(learnt);
    let upstreams = upstreams.map(|(config, learnt)| {
        let found = found(config, learnt)?;
        Ok(Arc::new(Upstream::found(config, found, originator(config)?)))
    });
    Ok(Upstreams {
        all: ArcSwap::from_pointee(upstreams.collect::<anyhow::Result<_>>()?),
        directory: ArcSwap::new(directory),
    })
}

/// Those of its servers that are names.
pub(super) fn names(config: &UpstreamConfig, now: Instant) -> Vec<Name> {
    (0..config.servers.len())
        .filter_map(|of| Name::of(config, of, now))
        .collect()
}

/// What servers stand for, by their places in the configuration, and the names that have led there.
#[derive(Default)]
pub(super) struct Discovered {
    pub found: Vec<(usize, Vec<Found>)>,
    pub names: Vec<Name>,
}

/// Those of its servers that are addresses, and what was learnt of those that are names.
///
/// # Errors
/// A name that must resolve does not.
pub(super) fn found(config: &UpstreamConfig, learnt: Vec<(Name, Learnt)>) -> anyhow::Result<Discovered> {
    let servers = config.servers.iter().enumerate();
    let fixed = servers.filter_map(|(of, server)| Some((of, vec![fixed(server)?])));
    let mut discovered = Discovered {
        found: fixed.collect(),
        names: Vec::new(),
    };
    for (name, learnt) in learnt {
        match (&learnt.found, &learnt.trouble) {
            (Some(found), _) => discovered.found.push((name.of, found.clone())),
            (None, Some(error)) if config.discovery.must_resolve => {
                bail!("upstream \"{}\": cannot resolve {name}: {error}", config.name)
            }
            (None, _) => {}
        }
        tell(&config.name, &name, &learnt);
        discovered.names.push(name);
    }
    Ok(discovered)
}

/// How its servers are spoken to in TLS.
///
/// # Errors
/// What is wrong with the files that it names.
pub(super) fn originator(config: &UpstreamConfig) -> anyhow::Result<Option<Arc<Originator>>> {
    let tls = config.tls.as_ref().map(Originator::load).transpose();
    let tls = tls.with_context(|| format!("upstream \"{}\"", config.name))?;
    Ok(tls.map(Arc::new))
}

impl Upstream {
    pub(super) fn found(config: &UpstreamConfig, discovered: Discovered, tls: Option<Arc<Originator>>) -> Self {
        let mut members = Vec::new();
        for (of, found) in &discovered.found {
            replace(&mut members, *of, found, |found, twin| {
                Member::new(config, *of, found, twin)
            });
        }
        Self::new(config, members, discovered.names, tls)
    }
}

/// `None` for a name.
fn fixed(server: &ServerConfig) -> Option<Found> {
    let peer = match &server.place {
        ServerPlace::Address(Address::Socket(address)) => Peer::Tcp(*address),
        ServerPlace::Address(Address::Unix(path)) => Peer::Unix(path.clone()),
        ServerPlace::Address(Address::Host { .. }) | ServerPlace::Srv(_) => return None,
    };
    Some(Found {
        peer,
        weight: server.weight,
        backup: server.backup,
        host: None,
    })
}

/// All names of all upstreams at once, for as long as that may take; on a thread of its own: whoever starts us may have a runtime, in which no other can
/// be waited for.
pub(super) fn look_up(directory: &Arc<Directory>, names: Vec<Vec<Name>>) -> anyhow::Result<Vec<Vec<(Name, Learnt)>>> {
    let deadline = Instant::now() + PATIENCE;
    let upstreams = names.len();
    if names.iter().all(Vec::is_empty) {
        return Ok((0..upstreams).map(|_| Vec::new()).collect());
    }
    let directory = Arc::clone(directory);
    let work = move || -> anyhow::Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let looked_up = runtime.block_on(async {
            let mut asking = JoinSet::new();
            for (upstream, names) in names.into_iter().enumerate() {
                for mut name in names {
                    let directory = Arc::clone(&directory);
                    asking.spawn(async move {
                        let said = name.look_up(&directory, Some(deadline)).await;
                        let learnt = name.learn(said, Instant::now(), fastrand::f64());
                        (upstream, name, learnt)
                    });
                }
            }
            asking.join_all().await
        });
        Ok(looked_up)
    };
    let thread = thread::Builder::new().name("resolver".to_owned()).spawn(work);
    let thread = thread.context("cannot start the thread that looks names up")?;
    let looked_up = thread
        .join()
        .map_err(|_| anyhow!("the thread that looks names up has panicked"))??;
    let mut by_upstream: Vec<Vec<_>> = (0..upstreams).map(|_| Vec::new()).collect();
    for (upstream, name, learnt) in looked_up {
        by_upstream[upstream].push((name, learnt));
    }
    // As they stand in the file: the first error that is told is the first that is there.
    by_upstream
        .iter_mut()
        .for_each(|names| names.sort_by_key(|(name, _)| name.of));
    Ok(by_upstream)
}

//! Keeps upstreams: asks servers whether they live, and names what they stand for, and lets lineups change in time. On a
//! thread of its own, so that nothing of it is on a worker's.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_local};

use super::balance::Seat;
use super::discover::follow;
use super::health::{CheckError, Judge, Way, check};
use super::{Server, Upstream, Upstreams};
use crate::config::{Health, OnDown};

/// Stops when it is dropped, too.
pub struct Keeper {
    stop: watch::Sender<()>,
    thread: JoinHandle<()>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

impl Keeper {
    /// `None` where nothing needs to be kept. `wake` lets workers look at connections whose server has gone down.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(upstreams: &Arc<Upstreams>, wake: impl Fn() + Send + Sync + 'static) -> anyhow::Result<Option<Self>> {
        if !upstreams.iter().any(|upstream| upstream.changes_by_itself()) {
            return Ok(None);
        }
        let (stop, mut stopped) = watch::channel(());
        let upstreams = Arc::clone(upstreams);
        let wake: Wake = Arc::new(wake);
        let runtime = || {
            Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
        };
        let work = move || match runtime() {
            Ok(runtime) => runtime.block_on(async {
                for upstream in upstreams.iter() {
                    for name in upstream.take_names() {
                        spawn_local(follow(name, Arc::clone(upstream), Arc::clone(&upstreams.directory)));
                    }
                    spawn_local(keep(Arc::clone(upstream), Arc::clone(&wake)));
                }
                // An error is that nobody is left to stop it.
                let _ = stopped.changed().await;
            }),
            Err(error) => tracing::error!(%error, "servers are not watched"),
        };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(work)
            .context("cannot start the thread that watches servers")?;
        Ok(Some(Self { stop, thread }))
    }

    /// No server is asked any more.
    pub fn stop(self) {
        drop(self.stop);
        // It does nothing that takes long.
        let _ = self.thread.join();
    }
}

/// One upstream, for as long as it is polled.
async fn keep(upstream: Arc<Upstream>, wake: Wake) {
    let mut checks: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        if let Some(health) = &upstream.config.health {
            let servers: Vec<_> = upstream
                .roster()
                .iter()
                .map(|member| Arc::clone(&member.server))
                .collect();
            checks.retain(|id, check| {
                let stays = servers.iter().any(|server| server.id() == *id);
                if !stays {
                    check.abort();
                }
                stays
            });
            for server in servers {
                checks.entry(server.id()).or_insert_with(|| {
                    spawn_local(watch_over(Arc::clone(&upstream), server, health.clone())).abort_handle()
                });
            }
        }
        let due = async {
            match upstream.changes_at() {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // It was published by whoever changed it; those whose connections have to end have yet to hear of it.
            () = upstream.changed.notified() => if upstream.config.on_down != OnDown::Keep {
                wake();
            },
            () = due => upstream.go_on(),
        }
    }
}

async fn watch_over(upstream: Arc<Upstream>, server: Arc<Server>, health: Health) {
    let mut judge = Judge::new(&health);
    let header = upstream.proxy_protocol().map(|protocol| protocol.version);
    let host = server.host();
    let tls = upstream.tls().map(|originator| (&**originator, host.as_str()));
    let mut unable = false;
    tokio::time::sleep(judge.first_in()).await;
    loop {
        let source = upstream.sources_for(server.peer()).first().copied();
        let checked = check(server.peer(), &health, Way { header, source, tls }).await;
        match &checked {
            // That says nothing of the server. It is said once, however long it lasts.
            Err(error @ CheckError::Local(_)) if unable => {
                tracing::debug!(upstream = %upstream.name(), server = %server.peer(), %error, "a server was not checked");
            }
            Err(error @ CheckError::Local(_)) => {
                tracing::warn!(upstream = %upstream.name(), server = %server.peer(), %error, "a server cannot be checked");
            }
            checked => {
                if let Some(transition) = judge.checked(checked.is_ok()) {
                    let reason = checked.as_ref().err().map(ToString::to_string);
                    upstream.transition(&server, transition, reason.as_deref());
                }
            }
        }
        unable = matches!(checked, Err(CheckError::Local(_)));
        tokio::time::sleep(judge.next_in()).await;
    }
}

//! Keeps upstreams: asks servers whether they live, and names what they stand for, and lets lineups change in time. On a
//! thread of its own, so that nothing of it is on a worker's.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};

use super::balance::Seat;
use super::discover::follow;
use super::health::{CheckError, Judge, Way, check};
use super::{Server, Upstream, Upstreams};
use crate::config::{Health, OnDown, UpstreamSocket};

/// Stops when it is dropped, too.
pub struct Keeper {
    orders: UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

/// What changes for the keeper.
pub enum Order {
    /// From now on this one is kept, too; or, where it is kept already, as it is meant now.
    Keep {
        upstream: Arc<Upstream>,
        /// Whether servers are asked in another way than before: what is known of them stays, but who judges them begins anew.
        judged_anew: bool,
    },
    /// Nobody has it any more.
    Forget(Arc<str>),
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// What runs for one upstream.
#[derive(Default)]
struct Kept {
    names: Vec<Task>,
    keep: Option<Task>,
}

/// Ends when it is dropped.
struct Task(AbortHandle);

impl Keeper {
    /// `wake` lets workers look at connections whose server has gone down.
    ///
    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(upstreams: &Arc<Upstreams>, wake: impl Fn() + Send + Sync + 'static) -> anyhow::Result<Self> {
        let (orders, mut received) = unbounded_channel();
        for upstream in upstreams.all().iter() {
            // It is received below.
            let upstream = Arc::clone(upstream);
            let judged_anew = true;
            let _ = orders.send(Order::Keep { upstream, judged_anew });
        }
        let upstreams = Arc::clone(upstreams);
        let wake: Wake = Arc::new(wake);
        let runtime = || {
            Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
        };
        let (started, starting) = std::sync::mpsc::channel();
        let work = move || match runtime() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(async {
                    let mut kept: HashMap<Arc<str>, Kept> = HashMap::new();
                    // It ends when nobody is left to give orders.
                    while let Some(order) = received.recv().await {
                        carry_out(order, &mut kept, &upstreams, &wake);
                    }
                });
            }
            Err(error) => _ = started.send(Err(error)),
        };
        let failed = "cannot start the thread that watches servers";
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(work)
            .context(failed)?;
        starting.recv()?.context(failed)?;
        Ok(Self { orders, thread })
    }

    pub fn tell(&self, order: Order) {
        // It ends by our leave alone.
        let _ = self.orders.send(order);
    }

    /// No server is asked any more.
    pub fn stop(self) {
        drop(self.orders);
        // It does nothing that takes long.
        let _ = self.thread.join();
    }
}

fn carry_out(order: Order, kept: &mut HashMap<Arc<str>, Kept>, upstreams: &Upstreams, wake: &Wake) {
    match order {
        Order::Keep { upstream, judged_anew } => {
            let kept = kept.entry(Arc::clone(upstream.name())).or_default();
            kept.names(&upstream, upstreams);
            if judged_anew {
                kept.keep = Some(Task::new(keep(upstream, Arc::clone(wake))));
            }
        }
        Order::Forget(name) => _ = kept.remove(&name),
    }
}

impl Kept {
    fn names(&mut self, upstream: &Arc<Upstream>, upstreams: &Upstreams) {
        if let Some(names) = upstream.take_names() {
            let directory = upstreams.directory.load_full();
            let follow = |name| Task::new(follow(name, Arc::clone(upstream), Arc::clone(&directory)));
            self.names = names.into_iter().map(follow).collect();
        }
    }
}

impl Task {
    fn new(work: impl Future<Output = ()> + 'static) -> Self {
        Self(spawn_local(work).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One upstream, for as long as it is polled.
async fn keep(upstream: Arc<Upstream>, wake: Wake) {
    let health = upstream.terms().config.health.clone();
    let mut checks: HashMap<u64, Task> = HashMap::new();
    loop {
        if let Some(health) = &health {
            let servers: Vec<_> = upstream
                .roster()
                .iter()
                .map(|member| Arc::clone(&member.server))
                .collect();
            checks.retain(|id, _| servers.iter().any(|server| server.id() == *id));
            for server in servers {
                checks
                    .entry(server.id())
                    .or_insert_with(|| Task::new(watch_over(Arc::clone(&upstream), server, health.clone())));
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
            () = upstream.changed.notified() => if upstream.terms().config.on_down != OnDown::Keep {
                wake();
            },
            () = due => upstream.go_on(),
        }
    }
}

async fn watch_over(upstream: Arc<Upstream>, server: Arc<Server>, health: Health) {
    let mut judge = Judge::new(&health);
    let header = upstream
        .terms()
        .config
        .proxy_protocol
        .as_ref()
        .map(|protocol| protocol.version);
    // What a check has to say may be nothing, or wait for the server: its SYN goes out by itself.
    let socket = upstream.terms().config.socket.clone().map(|socket| UpstreamSocket {
        fast_open: false,
        ..socket
    });
    let host = server.host();
    let originator = upstream.tls();
    let tls = originator.as_deref().map(|originator| (originator, host.as_str()));
    let mut unable = false;
    tokio::time::sleep(judge.first_in()).await;
    loop {
        let source = upstream.sources_for(server.peer()).first().copied();
        let way = Way {
            header,
            source,
            socket: socket.as_ref(),
            tls,
        };
        let checked = check(server.peer(), &health, way).await;
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

//! Builds everything from a configuration, runs it, and takes it down.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as signal_all};
use tokio::time::timeout;

use crate::config::{Config, FilterConfig, ListenerConfig};
use crate::filter::{Engine, Filter, Groups, Observers, Reloaded, watch};
use crate::listener::{self, Listener};
use crate::observe::Counters;
use crate::sys::Peer;
use crate::upstream::{self, Upstreams};
use crate::worker::Worker;

/// How long connections may go on after the process was told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// How many pipes of 1 MiB all workers together may have in flight: what the kernel grants a user without privileges
/// (pipe-user-pages-soft, pipe(7)). Beyond it, pipes shrink to 8 KiB.
const PIPES: usize = 64;

/// A proxy that serves. Dropping it stops it without waiting for connections.
pub struct Server {
    workers: Vec<WorkerThread>,
    stop: signal_all::Sender<()>,
    filters: Vec<Arc<Filter>>,
    observers: Option<JoinHandle<()>>,
    listening: Vec<(Arc<Listener>, Peer)>,
}

struct WorkerThread {
    thread: JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    /// A filter has a new generation: let go of what belongs to the one before.
    Retire,
    /// Stop now, whatever is still connected.
    Halt,
}

/// Runs a configuration until a signal ends it.
///
/// # Errors
/// It could not start: what cannot be bound, resolved or loaded.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        // Before anything listens, so that no signal finds its default action when there is something to lose.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let server = Server::start(config)?;
        {
            let mut watching = pin!(server.watch_filters()?);
            loop {
                tokio::select! {
                    () = &mut watching => {}
                    _ = hangup.recv() => server.reload_filters().await,
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                }
            }
        }
        tracing::info!(grace_s = GRACE.as_secs(), "stopping: connections may finish");
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server.stop(again).await;
        Ok(())
    })
}

impl Server {
    /// Returns when every listener accepts connections.
    ///
    /// # Errors
    /// Whatever keeps it from serving what the configuration says; then nothing is left running.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        raise_descriptor_limit();
        let upstreams = Arc::new(upstream::resolve(&config.upstreams)?);
        let filters = load_filters(config, &upstreams)?;
        let workers = config.workers.or_else(|| thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);

        let (observers, observing) = match filters.is_empty() {
            true => (None, None),
            false => {
                let (observers, thread) = Observers::start()?;
                (Some(observers), Some(thread))
            }
        };
        let mut shares: Vec<Vec<(Arc<Listener>, OwnedFd)>> = (0..workers).map(|_| Vec::new()).collect();
        let mut listening = Vec::new();
        for config in &config.listeners {
            let (sockets, bound) = listener::bind(config, workers)?;
            let listener = Arc::new(listener_of(config, &filters, &upstreams, observers.clone()));
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push((Arc::clone(&listener), socket));
            }
            listening.push((listener, bound));
        }
        let (stop, stopped) = signal_all::channel(());
        let pipes = (PIPES / workers).max(1);
        let start = |(index, share)| start_worker(index, share, pipes, stopped.clone());
        let workers: anyhow::Result<Vec<_>> = shares.into_iter().enumerate().map(start).collect();
        let workers = workers?;
        for (listener, address) in &listening {
            tracing::info!(listener = %listener.name, %address, "listening");
        }
        tracing::info!(workers = workers.len(), "ready");
        Ok(Self {
            workers,
            stop,
            filters,
            observers: observing,
            listening,
        })
    }

    /// Where a listener listens (with the port that the kernel chose for port 0), and what it has seen.
    pub fn listener(&self, name: &str) -> Option<(&Peer, &Counters)> {
        let found = self.listening.iter().find(|(listener, _)| &*listener.name == name);
        found.map(|(listener, address)| (address, &listener.counters))
    }

    /// The number of a filter's generation that serves now.
    pub fn generation(&self, filter: &str) -> Option<u64> {
        let found = self.filters.iter().find(|known| &**known.name() == filter);
        found.map(|filter| filter.generation())
    }

    /// Reloads filters whenever their files change, for as long as it is polled.
    ///
    /// # Errors
    /// The files cannot be watched.
    pub fn watch_filters(&self) -> anyhow::Result<impl Future<Output = ()>> {
        let files = if self.filters.is_empty() {
            None
        } else {
            Some(watch(&self.filters)?)
        };
        Ok(async move {
            let Some(files) = files else {
                return std::future::pending().await;
            };
            // What changed after it was read and before it was watched was announced to nobody.
            self.reload_filters().await;
            loop {
                files.changed().await;
                self.reload_filters().await;
            }
        })
    }

    /// Looks at every filter's file and publishes what is new. What does not load changes nothing.
    pub async fn reload_filters(&self) {
        for filter in &self.filters {
            let reloading = Arc::clone(filter);
            let reloaded = tokio::task::spawn_blocking(move || reloading.reload()).await;
            match reloaded.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(Reloaded::Unchanged) => {}
                Ok(Reloaded::Published) => self.command(|| Command::Retire),
                Err(error) => {
                    let generation = filter.generation();
                    let error = format!("{error:#}");
                    tracing::warn!(filter = %filter.name(), generation, error, "filter rejected");
                }
            }
        }
    }

    /// Stops accepting and waits for connections to end: for a grace period, or until `hurry`.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) {
        // The workers' receivers are gone if they have ended already.
        let _ = self.stop.send(());
        let workers = std::mem::take(&mut self.workers);
        let halt: Vec<_> = workers.iter().map(|worker| worker.commands.clone()).collect();
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has said so.
                let _ = worker.thread.join();
            }
        });
        tokio::pin!(joined);
        tokio::select! {
            _ = &mut joined => {}
            () = async { let _ = timeout(GRACE, hurry).await; } => {
                tracing::warn!("connections are cut off");
                for commands in halt {
                    let _ = commands.send(Command::Halt);
                }
                let _ = joined.await;
            }
        }
        // The last senders of the queue are the listeners here: everything that ended is told before the process is over.
        self.listening.clear();
        if let Some(observers) = self.observers.take() {
            let _ = tokio::task::spawn_blocking(|| observers.join()).await;
        }
        for filter in &self.filters {
            filter.log_metrics();
        }
        tracing::info!("stopped");
    }

    fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }
}

/// The soft limit is for programs that still use select(2); this one uses as many descriptors as it may.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%errno, limit = limit.current, "cannot raise the limit of open files");
    }
}

fn load_filters(config: &Config, upstreams: &Arc<Upstreams>) -> anyhow::Result<Vec<Arc<Filter>>> {
    if config.filters.is_empty() {
        return Ok(Vec::new());
    }
    let engine = Engine::new()?;
    config
        .filters
        .iter()
        .map(|filter| load_filter(filter, &engine, upstreams))
        .collect()
}

fn load_filter(config: &FilterConfig, engine: &Engine, upstreams: &Arc<Upstreams>) -> anyhow::Result<Arc<Filter>> {
    let groups = Arc::clone(upstreams) as Arc<dyn Groups>;
    let filter = Filter::new(config.clone(), engine, groups);
    filter.reload().with_context(|| format!("filter \"{}\"", config.name))?;
    Ok(Arc::new(filter))
}

/// Everything that keeps a configuration's filters from loading: each of them is compiled, and its `init` is run.
pub fn check_filters(config: &Config) -> Vec<String> {
    if config.filters.is_empty() {
        return Vec::new();
    }
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return vec![format!("{error:#}")],
    };
    let nobody = Arc::new(Upstreams::default());
    let load = |filter| {
        load_filter(filter, &engine, &nobody)
            .err()
            .map(|error| format!("{error:#}"))
    };
    config.filters.iter().filter_map(load).collect()
}

fn listener_of(
    config: &ListenerConfig,
    filters: &[Arc<Filter>],
    upstreams: &Arc<Upstreams>,
    observers: Option<Observers>,
) -> Listener {
    let by_name = |name: &String| filters.iter().find(|filter| **filter.name() == **name).cloned();
    let filters: Arc<[_]> = config.filters.iter().filter_map(by_name).collect();
    Listener {
        name: config.name.as_str().into(),
        observers: observers.filter(|_| !filters.is_empty()),
        filters,
        upstream: config.upstream.as_ref().and_then(|name| upstreams.find(name).cloned()),
        upstreams: Arc::clone(upstreams),
        timeouts: config.timeouts,
        counters: Counters::default(),
    }
}

fn start_worker(
    index: usize,
    share: Vec<(Arc<Listener>, OwnedFd)>,
    pipes: usize,
    stop: signal_all::Receiver<()>,
) -> anyhow::Result<WorkerThread> {
    let (commands, received) = mpsc::unbounded_channel();
    let runtime = move || {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    };
    let (started, starting) = std::sync::mpsc::channel();
    let work = move || match runtime() {
        Ok(runtime) => {
            let _ = started.send(Ok(()));
            run_worker(&runtime, share, pipes, &stop, received);
        }
        Err(error) => _ = started.send(Err(error)),
    };
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(work)
        .context("cannot start a worker")?;
    starting.recv()?.context("cannot start a worker")?;
    Ok(WorkerThread { thread, commands })
}

fn run_worker(
    runtime: &LocalRuntime,
    share: Vec<(Arc<Listener>, OwnedFd)>,
    pipes: usize,
    stop: &signal_all::Receiver<()>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let worker = Rc::new(Worker::new(pipes));
    runtime.block_on(async {
        let accepting: Vec<_> = share
            .into_iter()
            .map(|(listener, socket)| {
                tokio::task::spawn_local(listener::accept(listener, socket, Rc::clone(&worker), stop.clone()))
            })
            .collect();
        let served = async {
            for listener in accepting {
                let _ = listener.await;
            }
            worker.idle().await;
        };
        tokio::pin!(served);
        loop {
            tokio::select! {
                () = &mut served => return,
                command = commands.recv() => match command {
                    Some(Command::Retire) => worker.instances().retire(),
                    Some(Command::Halt) | None => return,
                },
            }
        }
    });
}

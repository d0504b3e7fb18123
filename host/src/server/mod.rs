//! Builds everything from a configuration, runs it, and takes it down.

mod privileges;
mod thread;

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as signal_all};
use tokio::time::{sleep, timeout};

use crate::artifact::{Library, Patience, Trouble};
use crate::config::{Config, FilterConfig, ListenerConfig, Source};
use crate::filter::{About, Engine, Filter, Groups, Observers, Occasion, Reloaded};
use crate::handover::{Described, Offer, Predecessor, Upgrades, discard_rest};
use crate::in_force::{InForce, Listening, Present};
use crate::limit::Limiter;
use crate::listener::{self, Crew, Listener};
use crate::metrics::{Bound, Exporter};
use crate::observe::AccessLog;
use crate::route::rules::Rules;
use crate::supervisor;
use crate::tls::{Originator, Terminator};
use crate::upstream::{self, Keeper, Upstreams};
use crate::watch::watch;
use thread::{Command, Start, WorkerThread};

/// How much longer than the end of the drain workers may take: for what is owed to be flushed, and for connections that have
/// no upstream yet.
const LATE: Duration = Duration::from_secs(2);

/// How long the last lines of the access log may take. A full queue is written in a fraction of it; a pipe that nobody reads
/// would keep the process for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How many pipes of 1 MiB all workers together may have in flight: what the kernel grants a user without privileges
/// (pipe-user-pages-soft, pipe(7)). Beyond it, pipes shrink to 8 KiB.
const PIPES: usize = 64;

/// Descriptors that are neither a connection's, nor a pipe's, nor a listener's: the runtimes', the log's, files being read.
const RESERVED: usize = 128;

/// A proxy that serves. Dropping it stops it without waiting for connections.
pub struct Server {
    workers: Vec<WorkerThread>,
    /// Present where servers are watched.
    keeper: Option<Keeper>,
    stop: signal_all::Sender<()>,
    present: Present,
    /// Threads that put into words what has become of connections.
    narrators: Vec<JoinHandle<()>>,
    access_log: Option<AccessLog>,
    /// Answers until everything else is over. Present where there is a page of metrics.
    exporter: Option<Exporter>,
}

/// How a server that was told to stop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every connection had come to its own end, or was idle.
    Finished,
    /// Connections were cut off at the end of the drain.
    CutOff,
    /// Connections were cut off before, because there was a hurry.
    Hurried,
}

/// Runs a configuration until a signal ends it: the first one lets connections finish, a second one does not.
///
/// # Errors
/// It could not start: what cannot be bound, resolved or loaded.
pub fn run(config: &Config) -> anyhow::Result<Ended> {
    if config.process.user.is_some() {
        privileges::gain_no_more()?;
    }
    supervisor::inherit_sockets()?;
    let predecessor = Predecessor::meet()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let ended = runtime.block_on(async {
        // Before anything listens, so that no signal finds its default action when there is something to lose.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let upgrades = Upgrades::new(&config.process)?;
        let mut server = Server::start(config)?;
        anyhow::ensure!(server.answers().await, "a worker has ended");
        supervisor::keep(&server.sockets()?);
        let rest = discard_rest();
        supervisor::forget(&rest);
        if !rest.is_empty() {
            tracing::warn!(of = ?rest, "closed what was inherited and has no listener any more");
        }
        supervisor::serving(config.listeners.len());
        if let Some(predecessor) = predecessor {
            predecessor.ready()?;
        }
        let replaced = {
            let mut upgraded = pin!(upgrades.run(|| server.sockets()));
            let mut guarded = pin!(supervisor::guard(async || server.answers().await));
            let mut watching = pin!(server.watch_files()?);
            let mut supervising = pin!(server.supervise_filters());
            let mut pulling = pin!(server.pull_filters());
            loop {
                tokio::select! {
                    () = &mut watching => {}
                    () = &mut supervising => {}
                    () = &mut pulling => {}
                    () = &mut guarded => {}
                    _ = hangup.recv() => {
                        supervisor::reloading();
                        server.reopen_log();
                        server.reload_filters(Occasion::Request).await;
                        server.reload_certificates().await;
                        supervisor::reloaded();
                    }
                    upgraded = &mut upgraded => break Some(upgraded),
                    _ = terminate.recv() => break None,
                    _ = interrupt.recv() => break None,
                }
            }
        };
        if let Some(upgraded) = replaced {
            server.step_aside();
            // A worker that takes its time keeps nobody waiting for long: what it still accepts, it serves.
            let _ = timeout(LATE, server.answers()).await;
            upgraded.tell().await;
            let mut emptied = pin!(server.emptied(config.process.upgrade_linger));
            loop {
                tokio::select! {
                    () = &mut emptied => break,
                    _ = hangup.recv() => server.reopen_log(),
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                }
            }
        } else {
            supervisor::stopping();
        }
        tracing::info!(soft = ?config.drain.soft, hard = ?config.drain.hard, "stopping: connections may finish");
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(server.stop(again).await)
    });
    // Without waiting for a thread that waits for somebody to read the access log.
    runtime.shutdown_background();
    ended
}

impl Server {
    /// Returns when every listener accepts connections.
    ///
    /// # Errors
    /// Whatever keeps it from serving what the configuration says; then nothing is left running.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        // Before anything else, so that whoever has to renew files hears of all of them at once.
        let problems = check_certificates(config);
        anyhow::ensure!(problems.is_empty(), problems.join("\n"));
        let descriptors = raise_descriptor_limit();
        let upstreams = Arc::new(upstream::resolve(&config.upstreams, &config.resolver)?);
        let library = Arc::new(Library::new(config));
        let filters = load_filters(config, &upstreams, &library)?;
        let workers = config.workers.or_else(|| available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);

        let (observers, observing) = match filters.is_empty() {
            true => (None, None),
            false => Observers::start().map(|(observers, thread)| (Some(observers), Some(thread)))?,
        };
        let (access_log, writing) = match &config.access_log {
            None => (None, None),
            Some(config) => AccessLog::start(config).map(|(log, thread)| (Some(log), Some(thread)))?,
        };
        let metrics = config.metrics.as_ref().map(Bound::new).transpose()?;
        let mut shares: Vec<Vec<(Arc<Listener>, OwnedFd)>> = (0..workers).map(|_| Vec::new()).collect();
        let mut listening = Vec::new();
        let common = Common {
            filters,
            upstreams,
            limiter: Limiter::new(config.limits).map(Arc::new),
            observers,
            access_log,
        };
        for config in &config.listeners {
            let (sockets, bound) = listener::bind(config, workers)?;
            let offer = Offer::new(&format!("listener \"{}\"", config.name), &config.address, &sockets)?;
            let listener = Arc::new(common.listener(config)?);
            for (index, socket) in sockets.into_iter().enumerate() {
                shares[index % workers].push((Arc::clone(&listener), socket));
            }
            listening.push(Arc::new(Listening {
                name: Arc::clone(&listener.name),
                address: bound,
                counters: Arc::clone(&listener.counters),
                tls: listener.tls.clone(),
                offer,
            }));
        }
        if let Some(account) = &config.process.user {
            privileges::give_away(account)?;
        }
        let (stop, stopped) = signal_all::channel(());
        let pipes = (PIPES / workers).max(1);
        let start = |(index, (sockets, (crew, inbox)))| {
            WorkerThread::start(Start {
                index,
                sockets,
                crew,
                inbox,
                pipes,
                upstreams: Arc::clone(&common.upstreams),
                workers,
                stop: stopped.clone(),
            })
        };
        let most = most_connections(descriptors, workers * config.listeners.len());
        if let Some(configured) = config.limits.connections.filter(|limit| *limit as usize > most) {
            tracing::warn!(
                configured,
                most,
                descriptors,
                "the limit of open files allows fewer connections than `limits`"
            );
        }
        let members = shares.into_iter().zip(Crew::gather(workers, most)).enumerate();
        let workers = members.map(start).collect::<anyhow::Result<Vec<WorkerThread>>>()?;
        let commands: Vec<_> = workers.iter().map(WorkerThread::commands).collect();
        let keeper = Keeper::start(&common.upstreams, move || {
            // A worker that has ended already needs no waking.
            commands.iter().for_each(|worker| _ = worker.send(Command::Wake));
        })?;
        let present = Arc::new(ArcSwap::from_pointee(InForce {
            config: config.clone(),
            filters: common.filters,
            library,
            upstreams: common.upstreams,
            listeners: listening,
        }));
        let exporter = metrics
            .map(|bound| Exporter::start(bound, Arc::clone(&present)))
            .transpose()?;
        if let Some(exporter) = &exporter {
            tracing::info!(address = %exporter.address(), "metrics are served");
        }
        for listening in &present.load().listeners {
            tracing::info!(listener = %listening.name, address = %listening.address, "listening");
        }
        tracing::info!(workers = workers.len(), most_connections = most, descriptors, "ready");
        Ok(Self {
            workers,
            keeper,
            stop,
            present,
            narrators: observing.into_iter().chain(writing).collect(),
            access_log: common.access_log,
            exporter,
        })
    }

    /// Where a listener listens (with the port that the kernel chose for port 0), and what it has seen.
    pub fn listener(&self, name: &str) -> Option<Arc<Listening>> {
        self.present.load().listener(name).cloned()
    }

    /// The number of a filter's generation that serves now.
    pub fn generation(&self, filter: &str) -> Option<u64> {
        self.present.load().filter(filter).map(|filter| filter.generation())
    }

    /// Reloads filters and certificates whenever their files change, for as long as it is polled.
    ///
    /// # Errors
    /// The files cannot be watched.
    pub fn watch_files(&self) -> anyhow::Result<impl Future<Output = ()>> {
        let in_force = self.present.load();
        let sources = in_force
            .filters
            .iter()
            .filter_map(|filter| filter.config().source.file());
        let sources = sources.chain(in_force.library.key_files()).map(Path::to_owned);
        let certificates = in_force
            .with_certificates()
            .flat_map(|(_, certificates)| certificates.files());
        let files: Vec<_> = sources.chain(certificates).collect();
        let files = match files.is_empty() {
            true => None,
            false => Some(watch(&files)?),
        };
        Ok(async move {
            let Some(files) = files else {
                return std::future::pending().await;
            };
            // What changed after it was read and before it was watched was announced to nobody.
            loop {
                self.reload_filters(Occasion::Event).await;
                self.reload_certificates().await;
                files.changed().await;
            }
        })
    }

    /// Opens the access log's file anew.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Looks at every filter's file and publishes what is new. What does not load changes nothing. Filters from registries are
    /// somebody else's business: they take their time.
    pub async fn reload_filters(&self, occasion: Occasion) {
        for filter in &self.present.load_full().filters {
            if let Source::Oci(_) = filter.config().source {
                if occasion == Occasion::Request {
                    filter.want();
                }
                continue;
            }
            let reloading = Arc::clone(filter);
            let reloaded = tokio::task::spawn_blocking(move || reloading.reload(occasion)).await;
            match reloaded.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(Reloaded::Unchanged) => {}
                Ok(Reloaded::Changed) => self.retire(),
                Err(error) => {
                    let generation = filter.generation();
                    let error = format!("{error:#}");
                    tracing::warn!(filter = %filter.name(), generation, error, "filter rejected");
                }
            }
        }
    }

    /// Asks registries for what is new, each filter by itself, for as long as it is polled: when it is time, when somebody wants
    /// it, and again where there was no answer. What does not come changes nothing.
    pub async fn pull_filters(&self) {
        let in_force = self.present.load_full();
        let from_registries = in_force
            .filters
            .iter()
            .filter(|filter| filter.config().source.file().is_none());
        let mut pulled: Vec<_> = from_registries
            .map(|filter| Box::pin(self.keep_pulled(filter)))
            .collect();
        poll_fn(|cx| {
            pulled.iter_mut().for_each(|filter| _ = filter.as_mut().poll(cx));
            Poll::<()>::Pending
        })
        .await;
    }

    async fn keep_pulled(&self, filter: &Arc<Filter>) {
        let mut patience = Patience::default();
        if filter.is_behind() {
            patience.failed();
        }
        loop {
            let wait = patience.wait(filter.config().pull, fastrand::f64());
            let time = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let occasion = tokio::select! {
                () = filter.wanted() => Occasion::Request,
                () = time => Occasion::Event,
            };
            let pulling = Arc::clone(filter);
            let pulled = tokio::task::spawn_blocking(move || pulling.reload(occasion)).await;
            match pulled.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(reloaded) => {
                    patience.answered();
                    if reloaded == Reloaded::Changed {
                        self.retire();
                    }
                }
                Err(error) => {
                    let is_passing = error.downcast_ref::<Trouble>().is_some_and(Trouble::is_passing);
                    match is_passing {
                        true => patience.failed(),
                        false => patience.answered(),
                    }
                    let generation = filter.generation();
                    let error = format!("{error:#}");
                    match is_passing {
                        true => tracing::warn!(filter = %filter.name(), generation, error, "filter not pulled"),
                        false => tracing::warn!(filter = %filter.name(), generation, error, "filter rejected"),
                    }
                }
            }
        }
    }

    /// Lets every filter decide what becomes of its generations, for as long as it is polled: workers only count.
    pub async fn supervise_filters(&self) {
        let supervise = async |filter: &Filter| {
            loop {
                filter.supervise().await;
                self.retire();
            }
        };
        let in_force = self.present.load_full();
        let mut supervised: Vec<_> = in_force
            .filters
            .iter()
            .map(|filter| Box::pin(supervise(filter)))
            .collect();
        // Each of them looks at most every now and then, and nothing is done where there is nothing to see.
        poll_fn(|cx| {
            supervised.iter_mut().for_each(|filter| _ = filter.as_mut().poll(cx));
            Poll::<()>::Pending
        })
        .await;
    }

    /// Workers let go of what belongs to generations that connections do not begin with any more.
    fn retire(&self) {
        self.workers.iter().for_each(|worker| worker.tell(Command::Retire));
    }

    /// Reads every certificate again, and uses what is new for new connections. What cannot be used changes nothing.
    pub async fn reload_certificates(&self) {
        for (whose, certificates) in self.present.load_full().with_certificates() {
            let reloaded = tokio::task::spawn_blocking(move || certificates.reload()).await;
            match reloaded.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(false) => {}
                Ok(true) => tracing::info!(of = whose, "certificates reloaded"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(of = whose, error, "certificates rejected: those before serve on");
                }
            }
        }
    }

    /// Asks every worker whether it accepts and gets around to what it has to do. Those that have ended do not.
    pub async fn answers(&self) -> bool {
        let (asker, mut answers) = mpsc::unbounded_channel();
        for worker in &self.workers {
            worker.tell(Command::Answer(asker.clone()));
        }
        drop(asker);
        let mut answered = 0;
        while let Some(()) = answers.recv().await {
            answered += 1;
        }
        answered == self.workers.len()
    }

    /// Every socket that clients connect to.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn sockets(&self) -> std::io::Result<Vec<(Described, OwnedFd)>> {
        let in_force = self.present.load();
        let listeners = in_force.listeners.iter().map(|listening| &listening.offer);
        let metrics = self.exporter.iter().map(Exporter::offer);
        let sockets: std::io::Result<Vec<_>> = listeners.chain(metrics).map(Offer::sockets).collect();
        Ok(sockets?.into_iter().flatten().collect())
    }

    /// Leaves everybody who comes to another process.
    pub fn step_aside(&mut self) {
        self.close();
        // So are scrapes: between two processes, counters would go up and down.
        self.exporter = None;
    }

    /// Returns when the connections that it has have ended, once it accepts no more; or when it has waited for them for so long.
    pub async fn emptied(&self, linger: Option<Duration>) {
        let left = async {
            for worker in &self.workers {
                worker.commands().closed().await;
            }
        };
        match linger {
            Some(linger) => _ = timeout(linger, left).await,
            None => left.await,
        }
    }

    /// Nobody connects to this process any more.
    fn close(&self) {
        // The workers' receivers are gone if they have ended already.
        let _ = self.stop.send(());
        for listening in &self.present.load().listeners {
            listening.offer.close();
        }
    }

    /// Stops accepting and waits for connections to end: as long as the drain may take, or until `hurry`.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> Ended {
        self.close();
        // A server that is about to lose its connections is not asked whether it lives (haproxy#1874).
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
        let in_force = self.present.load_full();
        let drain = in_force.config.drain;
        let workers = std::mem::take(&mut self.workers);
        workers.iter().for_each(|worker| worker.tell(Command::Drain(drain)));
        let halt: Vec<_> = workers.iter().map(WorkerThread::commands).collect();
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has said so.
                let _ = worker.thread.join();
            }
        });
        tokio::pin!(joined);
        let over = async {
            match drain.hard {
                Some(hard) => sleep(hard + LATE).await,
                None => std::future::pending().await,
            }
        };
        let hurried = tokio::select! {
            _ = &mut joined => None,
            () = hurry => Some(true),
            () = over => Some(false),
        };
        if hurried.is_some() {
            tracing::warn!("connections are cut off");
            for commands in halt {
                let _ = commands.send(Command::Halt);
            }
            let _ = joined.await;
        }
        // Their queue's senders went with the workers' listeners: everything that ended is told before the process is over.
        self.access_log = None;
        let narrated = async {
            for narrator in self.narrators {
                let _ = tokio::task::spawn_blocking(|| narrator.join()).await;
            }
        };
        if timeout(LAST_WORDS, narrated).await.is_err() {
            tracing::warn!("the end of the access log is lost: it could not be written in time");
        }
        for filter in &in_force.filters {
            filter.log_metrics();
            filter.log_tallies();
        }
        let mut cut_off = 0;
        for listening in &in_force.listeners {
            let seen = listening.counters.seen();
            cut_off += seen.cut_off();
            let outcomes = seen
                .outcomes
                .iter()
                .map(|(outcome, count)| format!("{outcome}={count}"));
            let outcomes = outcomes.collect::<Vec<_>>().join(" ");
            let detected = Some(seen.detection).filter(|detection| detection.connections > 0);
            tracing::info!(
                listener = %listening.name,
                connections = seen.connections,
                outcomes,
                detections = detected.map(|detected| detected.connections),
                detection_ms = detected.map(|detected| detected.waited.as_millis()),
                detection_timeouts = detected.map(|detected| detected.timeouts),
                "served"
            );
        }
        tracing::info!(cut_off, "stopped");
        match (cut_off, hurried) {
            (0, _) => Ended::Finished,
            (_, Some(true)) => Ended::Hurried,
            (_, Some(false) | None) => Ended::CutOff,
        }
    }
}

/// The soft limit is for programs that still use select(2); this one uses as many descriptors as it may.
/// Returns how many there may be.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%errno, limit = limit.current, "cannot raise the limit of open files");
    }
    let in_force = getrlimit(Resource::Nofile).current;
    in_force.unwrap_or(u64::MAX)
}

/// For how many connections there are descriptors, two for each. Accepting pauses there; without a descriptor to connect
/// to an upstream with, a connection that was accepted could only be closed again.
fn most_connections(descriptors: u64, listening: usize) -> usize {
    let others = RESERVED + 2 * PIPES + listening;
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    (descriptors.saturating_sub(others) / 2).max(1)
}

fn load_filters(
    config: &Config,
    upstreams: &Arc<Upstreams>,
    library: &Arc<Library>,
) -> anyhow::Result<Vec<Arc<Filter>>> {
    if config.filters.is_empty() {
        return Ok(Vec::new());
    }
    let engine = Engine::new()?;
    config
        .filters
        .iter()
        .map(|filter| load_filter(filter, &engine, upstreams, library))
        .collect()
}

fn load_filter(
    config: &FilterConfig,
    engine: &Engine,
    upstreams: &Arc<Upstreams>,
    library: &Arc<Library>,
) -> anyhow::Result<Arc<Filter>> {
    let groups = Arc::clone(upstreams) as Arc<dyn Groups>;
    let filter = Filter::from_library(config.clone(), engine, groups, Arc::clone(library));
    filter
        .reload(Occasion::Request)
        .with_context(|| format!("filter \"{}\"", config.name))?;
    Ok(Arc::new(filter))
}

/// What each of a configuration's filters is, or what keeps it from loading: it is compiled, and its `init` is run.
pub fn check_filters(config: &Config) -> Vec<Result<About, String>> {
    if config.filters.is_empty() {
        return Vec::new();
    }
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return vec![Err(format!("{error:#}"))],
    };
    let nobody = Arc::new(Upstreams::default());
    let library = Arc::new(Library::new(config));
    let load = |filter| match load_filter(filter, &engine, &nobody, &library) {
        Ok(filter) => Ok(filter.choose(None).about()),
        Err(error) => Err(format!("{error:#}")),
    };
    config.filters.iter().map(load).collect()
}

/// Everything that keeps the certificates of listeners and upstreams from being of use: each of their files is read.
pub fn check_certificates(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().filter_map(|listener| {
        let error = Terminator::load(listener.tls.as_ref()?).err()?;
        Some((format!("listener \"{}\"", listener.name), error))
    });
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let error = Originator::load(upstream.tls.as_ref()?).err()?;
        Some((format!("upstream \"{}\"", upstream.name), error))
    });
    let mut problems = Vec::new();
    for (whose, error) in listeners.chain(upstreams) {
        let lines = format!("{error:#}");
        problems.extend(lines.lines().map(|line| format!("{whose}: {line}")));
    }
    problems
}

/// What all listeners share.
struct Common {
    filters: Vec<Arc<Filter>>,
    upstreams: Arc<Upstreams>,
    limiter: Option<Arc<Limiter>>,
    observers: Option<Observers>,
    access_log: Option<AccessLog>,
}

impl Common {
    fn listener(&self, config: &ListenerConfig) -> anyhow::Result<Listener> {
        let by_name = |name: &String| self.filters.iter().find(|filter| **filter.name() == **name).cloned();
        let filters: Arc<[_]> = config.filters.iter().filter_map(by_name).collect();
        let upstream = config.upstream.as_deref().and_then(|name| self.upstreams.find(name));
        let own = Limiter::new(config.limits).map(Arc::new);
        let tls = config.tls.as_ref().map(Terminator::load).transpose();
        let tls = tls.with_context(|| format!("listener \"{}\"", config.name))?;
        let rules = Rules::new(&config.routes);
        let tells_servers = self
            .upstreams
            .iter()
            .any(|upstream| upstream.proxy_protocol().is_some());
        let targets = rules
            .upstream_names()
            .iter()
            .filter_map(|name| self.upstreams.find(name).cloned());
        Ok(Listener {
            name: config.name.as_str().into(),
            observers: self.observers.clone().filter(|_| !filters.is_empty()),
            tells: !filters.is_empty() || self.access_log.is_some() || tells_servers,
            with_ja4: !filters.is_empty() || self.access_log.as_ref().is_some_and(AccessLog::wants_ja4),
            targets: targets.collect(),
            rules,
            detection: config.detection,
            tls: tls.map(Arc::new),
            filters,
            upstream: upstream.cloned(),
            upstreams: Arc::clone(&self.upstreams),
            timeouts: Arc::new(config.timeouts),
            proxy_protocol: config.proxy_protocol.clone(),
            limiters: own.into_iter().chain(self.limiter.clone()).collect(),
            access_log: self.access_log.clone(),
            counters: Arc::default(),
        })
    }
}

//! Builds everything from a configuration, runs it, and takes it down.

mod check;
mod filters;
mod interface;
mod listeners;
mod orders;
mod privileges;
mod reload;
mod tasks;
mod thread;
mod wishes;

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::sync::oneshot::Sender as Reply;
use tokio::time::{sleep, timeout};

use crate::admin::toxiproxy;
use crate::admin::{Admin, Interface};
use crate::artifact::Library;
use crate::config::Config;
use crate::filter::{Engine, Observers, Occasion};
use crate::handover::{Offer, Predecessor, Upgraded, Upgrades, discard_rest};
use crate::in_force::{InForce, Listening, Present};
use crate::limit::Limiter;
use crate::listener::{self, Crew, Listener, Post};
use crate::observe::{AccessLog, Telemetry, Vitals};
use crate::reload::Plan;
use crate::supervisor;
use crate::treatment::{Measures, capture};
use crate::upstream::{self, Keeper};
use crate::watch::watch;
use crate::{http, metrics, sockets, tls};
pub use check::{check_captures, check_certificates, check_filters, check_sockets};
use filters::load_filters;
use listeners::{Common, Shared, tells_servers};
pub use orders::{Desk, Ending, Orders, Planned, Silent};
pub use tasks::Text;
use thread::{Command, Start, WorkerThread};
use wishes::{Wish, Wishes};

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
    present: Present,
    shared: Shared,
    /// Present once there was a filter.
    engine: Option<Engine>,
    /// Listeners that were removed, while they have connections.
    gone: Vec<Arc<Listening>>,
    /// Threads that put into words what has become of connections.
    narrators: Vec<JoinHandle<()>>,
    /// Answers until everything else is over. Present where there is a page of metrics.
    exporter: Option<http::Service>,
    /// The same for whoever gives orders.
    admin: Option<Interface>,
    /// And for Toxiproxy's clients.
    toxiproxy: Option<http::Service>,
    /// Present where there are workers.
    desk: Option<Desk>,
    orders: Option<Orders>,
    measures: Measures,
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

/// Runs a configuration until a signal ends it: the first one lets connections finish, a second one does not. Where it is
/// from a `file`, that is read again when it is time.
///
/// # Errors
/// It could not start: what cannot be bound, resolved or loaded.
pub fn run(config: &Config, file: Option<&Path>) -> anyhow::Result<Ended> {
    if config.process.user.is_some() {
        privileges::gain_no_more()?;
    }
    // A collector may be one that is spoken to in TLS.
    tls::install_provider();
    let _telemetry = config.telemetry.as_ref().map(Telemetry::start).transpose()?;
    supervisor::inherit_sockets()?;
    let predecessor = Predecessor::meet()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let ended = runtime.block_on(serve(config, file, predecessor));
    // Without waiting for a thread that waits for somebody to read the access log.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config, file: Option<&Path>, predecessor: Option<Predecessor>) -> anyhow::Result<Ended> {
    // Before anything listens, so that no signal finds its default action when there is something to lose.
    let mut wishes = Wishes::new()?;
    // Before anybody is told that it serves, and may write another version.
    wishes.watch(file.filter(|_| config.watch))?;
    let upgrades = Upgrades::new(&config.process)?;
    let mut server = Server::start(config)?;
    let present = Arc::clone(&server.present);
    let workers = server.commands();
    anyhow::ensure!(answers(&workers).await, "a worker has ended");
    supervisor::keep(|| present.load().sockets());
    let rest = discard_rest();
    supervisor::forget(&rest);
    if !rest.is_empty() {
        tracing::warn!(of = ?rest, "closed what was inherited and has no listener any more");
    }
    supervisor::serving(config.listeners.len());
    if let Some(predecessor) = predecessor {
        predecessor.ready()?;
    }
    wishes.take_orders(server.orders.take());
    let mut upgraded = pin!(upgrades.run(|| present.load().sockets()));
    let measures = server.measures.clone();
    // Whatever else there is to do.
    let mut guarded = pin!(async {
        tokio::join!(supervisor::guard(async || answers(&workers).await), measures.expire());
    });
    let mut is_first = true;
    let end = loop {
        let wish = tokio::select! {
            wish = wishes.next() => wish,
            upgraded = &mut upgraded => break End::Replaced(upgraded),
            error = server.look_after_files(is_first) => return Err(error),
            () = &mut guarded => continue,
        };
        is_first = false;
        match wish {
            Wish::Stop(reply) => break End::Told(reply),
            Wish::Reload(reply) => {
                supervisor::reloading();
                tokio::select! {
                    reloaded = server.look_again(file) => {
                        reply.map(|reply| reply.send(reloaded));
                    }
                    // What is being prepared is not waited for.
                    () = wishes.end() => break End::Told(None),
                    () = &mut guarded => {}
                }
                supervisor::reloaded();
            }
            Wish::Task(task) => tokio::select! {
                () = server.carry_out(task, file) => {}
                () = wishes.end() => break End::Told(None),
                () = &mut guarded => {}
            },
        }
        let watched = file.filter(|_| present.load().config.watch);
        if let Err(error) = wishes.watch(watched) {
            tracing::warn!(error = format!("{error:#}"), "the configuration is not watched");
        }
    };
    wishes.refuse_orders();
    // Nobody could take them back any more.
    measures.clear();
    let in_force = present.load_full();
    match end {
        End::Told(reply) => {
            supervisor::stopping();
            reply.map(|reply| reply.send(()));
        }
        End::Replaced(upgraded) => {
            server.step_aside();
            // A worker that takes its time keeps nobody waiting for long: what it still accepts, it serves.
            let _ = timeout(LATE, answers(&workers)).await;
            upgraded.tell().await;
            let mut emptied = pin!(server.emptied(in_force.config.process.upgrade_linger));
            loop {
                tokio::select! {
                    () = &mut emptied => break,
                    wish = wishes.next() => match wish {
                        Wish::Reload(_) => server.reopen_log(),
                        Wish::Stop(_) => break,
                        Wish::Task(_) => {}
                    },
                }
            }
        }
    }
    let drain = in_force.config.drain;
    tracing::info!(soft = ?drain.soft, hard = ?drain.hard, "stopping: connections may finish");
    Ok(server.stop(wishes.end()).await)
}

/// Why a server serves nobody new.
enum End {
    /// Somebody wants it to end, and may wait to be told that it does.
    Told(Option<Reply<()>>),
    /// Another process serves in its place.
    Replaced(Upgraded),
}

/// Asks every worker whether it accepts and gets around to what it has to do. Those that have ended do not.
async fn answers(workers: &[mpsc::UnboundedSender<Command>]) -> bool {
    let (asker, mut answers) = mpsc::unbounded_channel();
    for worker in workers {
        let _ = worker.send(Command::Answer(asker.clone()));
    }
    drop(asker);
    let mut answered = 0;
    while let Some(()) = answers.recv().await {
        answered += 1;
    }
    answered == workers.len()
}

impl Server {
    /// Returns when every listener accepts connections.
    ///
    /// # Errors
    /// Whatever keeps it from serving what the configuration says; then nothing is left running.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        // Before anything else, so that whoever has to renew files hears of all of them at once.
        let mut problems = check_certificates(config);
        // Those of listeners are tried where they are bound: sockets may be there already.
        problems.extend(sockets::of_upstreams(None, config));
        anyhow::ensure!(problems.is_empty(), problems.join("\n"));
        let descriptors = raise_descriptor_limit();
        let upstreams = Arc::new(upstream::resolve(&config.upstreams, &config.resolver)?);
        let library = Arc::new(Library::new(config));
        let engine = (!config.filters.is_empty()).then(Engine::new).transpose()?;
        let filters = load_filters(config, engine.as_ref(), &upstreams, &library)?;
        let workers = config.workers.or_else(|| available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);

        let (observers, observing) = match filters.is_empty() {
            true => (None, None),
            false => Observers::start().map(|(observers, thread)| (Some(observers), Some(thread)))?,
        };
        let (access_log, writing) = AccessLog::start(config.access_log.as_ref())?.unzip();
        let admin = config.admin.as_ref().map(Admin::bind).transpose()?;
        let toxiproxy = config.toxiproxy.as_ref().map(toxiproxy::bind).transpose()?;
        let page = config.metrics.as_ref().map(metrics::bind).transpose()?;
        let shared = Shared {
            limiter: Limiter::new(config.limits).map(Arc::new),
            observers,
            access_log,
            own: Arc::default(),
        };
        let common = Common {
            filters: &filters,
            upstreams: &upstreams,
            all: &upstreams.all(),
            tells_servers: tells_servers(config),
            is_asked: config.is_asked(),
            shared: &shared,
        };
        let mut places = Vec::new();
        for config in &config.listeners {
            let (sockets, address) = listener::bind(config, workers)?;
            let offer = Offer::new(&listener::whom(config), &config.address, &sockets)?;
            let listener = common.listener(config, None)?.listener;
            places.push((Listening::new(listener, address, offer), sockets));
        }
        // Before anybody is accepted.
        let addresses = places
            .iter()
            .filter_map(|(listening, _)| listening.post.address().address());
        shared.own.listens_at(addresses);
        if let Some(account) = &config.process.user {
            privileges::give_away(account)?;
        }
        // As who it is from now on.
        let problems = check_captures(config);
        anyhow::ensure!(problems.is_empty(), problems.join("\n"));
        let most = most_connections(descriptors, workers * config.listeners.len());
        if let Some(configured) = config.limits.connections.filter(|limit| *limit as usize > most) {
            tracing::warn!(
                configured,
                most,
                descriptors,
                "the limit of open files allows fewer connections than `limits`"
            );
        }
        let pipes = (PIPES / workers).max(1);
        let vitals = Arc::new(Vitals::new(workers));
        let start = |(index, (crew, inbox))| {
            WorkerThread::start(Start {
                index,
                crew,
                inbox,
                pipes,
                is_asked: config.is_asked(),
                upstreams: Arc::clone(&upstreams),
                workers,
                vitals: Arc::clone(&vitals),
            })
        };
        let crews = Crew::gather(workers, most);
        let crew = crews.first().map(|(crew, _)| crew.clone());
        let members = crews.into_iter().enumerate();
        let workers = members.map(start).collect::<anyhow::Result<Vec<WorkerThread>>>()?;
        let commands: Vec<_> = workers.iter().map(WorkerThread::commands).collect();
        let measures = Measures::default();
        let told = commands.clone();
        measures.tell(move |in_force| {
            for worker in &told {
                let _ = worker.send(Command::Measure(Arc::clone(&in_force)));
            }
        });
        let desk = |crew| Desk::new(commands.clone(), crew, measures.clone());
        let (desk, orders) = crew.map(desk).unzip();
        let keeper = Keeper::start(&upstreams, move || {
            // A worker that has ended already needs no waking.
            commands.iter().for_each(|worker| _ = worker.send(Command::Wake));
        })?;
        let listeners = places.into_iter().map(|(listening, sockets)| {
            hand_out(&workers, &listening.post, sockets);
            Arc::new(listening)
        });
        let present = Arc::new(ArcSwap::from_pointee(InForce {
            config: config.clone(),
            file: Arc::new(config.clone()),
            overrides: Arc::default(),
            filters,
            library,
            upstreams: Arc::clone(&upstreams),
            listeners: listeners.collect(),
            metrics: page.as_ref().map(|bound| bound.offer().clone()),
            admin: admin.as_ref().map(|admin| admin.offer().clone()),
            toxiproxy: toxiproxy.as_ref().map(|bound| bound.offer().clone()),
            vitals,
        }));
        let exporter = page
            .map(|bound| metrics::serve(bound, Arc::clone(&present)))
            .transpose()?;
        let toxiproxy = toxiproxy.zip(desk.clone());
        let toxiproxy = toxiproxy.map(|(bound, desk)| toxiproxy::serve(bound, desk, Arc::clone(&present)));
        let toxiproxy = toxiproxy.transpose()?;
        let admin = admin.zip(desk.clone());
        let admin = admin.map(|(admin, desk)| admin.start(desk, Arc::clone(&present)));
        let admin = admin.transpose()?;
        if let Some(exporter) = &exporter {
            tracing::info!(address = %exporter.address(), "metrics are served");
        }
        for listening in &present.load().listeners {
            say_listening(listening);
        }
        tracing::info!(workers = workers.len(), most_connections = most, descriptors, "ready");
        Ok(Self {
            workers,
            keeper: Some(keeper),
            present,
            shared,
            engine,
            gone: Vec::new(),
            narrators: observing.into_iter().chain(writing).collect(),
            exporter,
            admin,
            toxiproxy,
            desk,
            orders,
            measures,
        })
    }

    /// Leaves everybody who comes to another process.
    fn step_aside(&mut self) {
        self.present.load().close();
        self.workers.iter().for_each(|worker| worker.tell(Command::Finish));
        // Who asks, too: between two processes, counters would go up and down.
        self.exporter = None;
        self.admin = None;
        self.toxiproxy = None;
    }

    /// Returns when the connections that it has have ended, once it accepts no more; or when it has waited for them for so long.
    async fn emptied(&self, linger: Option<Duration>) {
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

    fn commands(&self) -> Vec<mpsc::UnboundedSender<Command>> {
        self.workers.iter().map(WorkerThread::commands).collect()
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
            .filter_map(|filter| filter.config().source.file().map(Path::to_owned));
        let sources = sources.chain(in_force.library.key_files().map(Path::to_owned));
        let certificates = in_force
            .with_certificates()
            .into_iter()
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

    /// Keeps everything as the files have it, for as long as it is polled.
    ///
    /// Ends with an error where files cannot be watched, at the first time. Later, one that cannot be is no reason to end what
    /// serves.
    async fn look_after_files(&self, is_first: bool) -> anyhow::Error {
        let watching = match self.watch_files() {
            Ok(watching) => Some(watching),
            Err(error) if is_first => return error,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "files are not watched: SIGHUP looks at them");
                None
            }
        };
        let watching = async {
            if let Some(watching) = watching {
                watching.await;
            }
        };
        tokio::join!(watching, self.supervise_filters(), self.pull_filters());
        std::future::pending().await
    }

    /// What SIGHUP asks for. The answer is what has changed of the configuration, or everything that keeps it from changing.
    async fn look_again(&mut self, file: Option<&Path>) -> Planned {
        self.reopen_log();
        self.reload_filters(Occasion::Request).await;
        self.reload_certificates().await;
        self.renew_token();
        match file {
            Some(file) => self.reload(file).await,
            None => Ok(Plan::default()),
        }
    }

    /// Opens the access log's file anew.
    pub fn reopen_log(&self) {
        if let Some(log) = &self.shared.access_log {
            log.reopen();
        }
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

    /// Stops accepting and waits for connections to end: as long as the drain may take, or until `hurry`.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> Ended {
        let in_force = self.present.load_full();
        in_force.close();
        // A server that is about to lose its connections is not asked whether it lives (haproxy#1874).
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
        let drain = in_force.config.drain;
        let halt = self.commands();
        let workers = std::mem::take(&mut self.workers);
        workers.iter().for_each(|worker| worker.tell(Command::Drain(drain)));
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
        self.shared.access_log = None;
        let narrated = async {
            for narrator in self.narrators {
                let _ = tokio::task::spawn_blocking(|| narrator.join()).await;
            }
        };
        if timeout(LAST_WORDS, narrated).await.is_err() {
            tracing::warn!("the end of the access log is lost: it could not be written in time");
        }
        capture::close_all(LAST_WORDS).await;
        for filter in &in_force.filters {
            filter.log_metrics();
            filter.log_tallies();
        }
        let listeners = self.gone.iter().chain(&in_force.listeners);
        let cut_off = listeners.map(|listening| say_served(&listening.listener)).sum::<u64>();
        tracing::info!(cut_off, "stopped");
        match (cut_off, hurried) {
            (0, _) => Ended::Finished,
            (_, Some(true)) => Ended::Hurried,
            (_, Some(false) | None) => Ended::CutOff,
        }
    }
}

/// Has workers accept, each at some of these. There may be more of them than workers, and none is left out.
fn hand_out(workers: &[WorkerThread], post: &Arc<Post>, sockets: Vec<OwnedFd>) {
    for (worker, socket) in workers.iter().cycle().zip(sockets) {
        worker.tell(Command::Accept(Arc::clone(post), socket));
    }
}

fn say_listening(Listening { listener, post }: &Listening) {
    tracing::info!(listener = %listener.name, address = %post.address(), "listening");
}

/// What a listener has seen. Returns how many of its connections were cut off.
fn say_served(listener: &Listener) -> u64 {
    let seen = listener.counters.seen();
    let outcomes = seen
        .outcomes
        .iter()
        .map(|(outcome, count)| format!("{outcome}={count}"));
    let outcomes = outcomes.collect::<Vec<_>>().join(" ");
    let detected = Some(seen.detection).filter(|detection| detection.connections > 0);
    tracing::info!(
        listener = %listener.name,
        connections = seen.connections,
        outcomes,
        detections = detected.map(|detected| detected.connections),
        detection_ms = detected.map(|detected| detected.waited.as_millis()),
        detection_timeouts = detected.map(|detected| detected.timeouts),
        "served"
    );
    seen.cut_off()
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

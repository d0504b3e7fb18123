//! The real `spliceway`, started for one test.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Finished, lasting, lasting_as, run};
use crate::kernel::{self, Connection, State, connections};
use crate::logs::{Event, Logs, Transfer};
use crate::{Client, DEADLINE, Peer, Upstream, artifacts, eventually, wait_until_exit};

/// More than any test needs, and no more than a user may have where the tests run.
const MANY_DESCRIPTORS: u64 = 20_000;

/// Runs `spliceway` with these arguments to its end: for commands that are to fail, or to finish.
#[track_caller]
pub fn spliceway<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, within: Duration) -> Finished {
    run(lasting(artifacts::binary()).args(arguments), within)
}

/// A proxy with a chain of test guests, each with its configuration, in front of an upstream that the test plays.
pub fn filtered(guests: &[(&str, Value)]) -> (Proxy, Upstream) {
    let upstream = Upstream::listen();
    let forward = Proxy::forward(upstream.address());
    let filter = |proxy: Builder, (name, config): &(&str, Value)| proxy.filter_with(artifacts::guest(name), config);
    (guests.iter().fold(forward, filter).start(), upstream)
}

/// A running proxy. Dropped, it is killed, and its log is printed if the test failed.
pub struct Proxy {
    child: Child,
    logs: Logs,
    listeners: HashMap<String, String>,
    first: String,
    folder: TempDir,
}

/// How a proxy is to be started.
pub struct Builder {
    folder: TempDir,
    arguments: Vec<String>,
    log_level: String,
    user: Option<String>,
    descriptors: Option<u64>,
    stdout: Stdio,
    environment: Vec<(String, String)>,
    listeners: usize,
    patience: Duration,
}

impl Proxy {
    /// `spliceway forward` on a port that the kernel chooses.
    pub fn forward(upstream: impl fmt::Display) -> Builder {
        Self::forward_from("127.0.0.1:0", upstream)
    }

    pub fn forward_from(listen: impl fmt::Display, upstream: impl fmt::Display) -> Builder {
        Builder::new(["forward".to_owned(), listen.to_string(), upstream.to_string()])
    }

    /// `spliceway run` with this configuration.
    pub fn run(config: &str) -> Builder {
        let mut builder = Builder::new(["run".to_owned()]);
        let file = builder.folder.path().join("spliceway.toml");
        fs::write(&file, config).expect("a file can be written to a folder of the test's");
        builder
            .arguments
            .extend(["--config".to_owned(), file.display().to_string()]);
        builder.listeners = config.matches("[[listeners]]").count();
        builder
    }

    /// Where the first listener listens.
    pub fn address(&self) -> &str {
        &self.first
    }

    /// Where the listener of that name listens.
    #[track_caller]
    pub fn listener(&self, name: &str) -> &str {
        self.listeners
            .get(name)
            .unwrap_or_else(|| panic!("no listener {name:?} in {:?}", self.listeners))
    }

    /// How many of so many connections get to a server that is called `a`, as [`Upstream::named`] has it, and to others.
    #[track_caller]
    pub fn visits(&self, count: usize) -> [usize; 2] {
        let mut visits = [0; 2];
        for _ in 0..count {
            match Client::connect(self.address()).receive(1)[0] {
                b'a' => visits[0] += 1,
                _ => visits[1] += 1,
            }
        }
        visits
    }

    pub fn port(&self) -> u16 {
        self.first
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("an address with a port")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first event, past or to come, with this message that the predicate accepts.
    #[track_caller]
    pub fn wait_for(&self, message: &str, accepts: impl Fn(&Event) -> bool) -> Event {
        self.logs
            .wait(|events| {
                events
                    .iter()
                    .find(|event| event.message() == message && accepts(event))
                    .cloned()
            })
            .unwrap_or_else(|| panic!("the proxy did not log {message:?} as awaited"))
    }

    /// What was logged with this message so far.
    pub fn logged(&self, message: &str) -> Vec<Event> {
        self.logs
            .all()
            .into_iter()
            .filter(|event| event.message() == message)
            .collect()
    }

    /// The whole log so far, as written.
    pub fn log_text(&self) -> String {
        self.logs.text()
    }

    /// Waits until that generation of the filter serves.
    #[track_caller]
    pub fn published(&self, filter: &str, generation: u64) -> Event {
        self.wait_for("filter published", |event| {
            event.text("filter") == filter && event.number("generation") == generation
        })
    }

    /// The same where it is among the newest lines, so that thousands of them are not read each time.
    #[track_caller]
    pub fn just_published(&self, filter: &str, generation: u64) {
        const NEWEST: usize = 64;
        let is_it = |event: &&Event| {
            event.message() == "filter published"
                && event.text("filter") == filter
                && event.number("generation") == generation
        };
        self.logs
            .wait(|events| events.iter().rev().take(NEWEST).find(is_it).map(|_| ()))
            .unwrap_or_else(|| panic!("generation {generation} of {filter} was not published"));
    }

    /// Waits for a line that the filter itself logged.
    #[track_caller]
    pub fn wait_for_guest(&self, filter: &str, accepts: impl Fn(&Event) -> bool) -> Event {
        let ours = [
            "filter published",
            "filter pulled",
            "filter not pulled",
            "filter rejected",
            "filter failed",
            "generation freed",
            "canary began",
            "canary promoted",
            "canary rolled back",
            "generation withdrawn",
            "generation quarantined",
            "generation tried again",
            "filter keeps failing, and no earlier generation can take its place",
        ];
        self.logs
            .wait(|events| {
                events
                    .iter()
                    .find(|event| event.text("filter") == filter && !ours.contains(&event.message()) && accepts(event))
                    .cloned()
            })
            .unwrap_or_else(|| panic!("the filter {filter:?} did not log what was awaited"))
    }

    /// Waits for the end of this client's connection, and tells how it ended.
    #[track_caller]
    pub fn ended(&self, client: &Peer) -> Transfer {
        Transfer::of(&self.wait_for("connection ended", |event| event.text("client") == client.local()))
    }

    /// Waits for the end of as many connections, and tells how they ended, in that order.
    #[track_caller]
    pub fn all_ended(&self, count: usize) -> Vec<Transfer> {
        self.ends(|_| true, count)
    }

    /// The same of connections from one address: a port may have served more than one.
    #[track_caller]
    pub fn all_ended_from(&self, client: &str, count: usize) -> Vec<Transfer> {
        self.ends(|event| event.text("client") == client, count)
    }

    #[track_caller]
    fn ends(&self, accepts: impl Fn(&Event) -> bool, count: usize) -> Vec<Transfer> {
        self.logs
            .wait(|events| {
                let ended = events.iter().filter(|event| event.message() == "connection ended");
                let ended: Vec<_> = ended.filter(|event| accepts(event)).map(Transfer::of).collect();
                (ended.len() >= count).then_some(ended)
            })
            .unwrap_or_else(|| panic!("fewer than {count} connections ended"))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the proxy can be sent a signal");
    }

    /// Stops all its threads until [`thaw`](Self::thaw): then it finds everything that has happened meanwhile at once.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        eventually("all its threads are stopped", || {
            let mut tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
            let stopped = |stat: String| Some(stat.rsplit_once(')')?.1.trim_start().starts_with('T'));
            tasks
                .all(|task| {
                    let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat")));
                    stat.ok().and_then(stopped).unwrap_or_default()
                })
                .then_some(())
        });
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop, and waits until it has.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_until_exit(&mut self.child, DEADLINE).expect("the proxy ends in time")
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A folder for files of the test's, gone with the proxy.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running process has a status");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
            .expect("a process has a resident size")
    }

    /// Memory that is its own, shared pages by their share (Pss), in KiB.
    pub fn own_memory_kib(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()))
            .expect("a running process of this user's shows its memory");
        rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
            .expect("a process has a proportional size")
    }

    /// The CPU time that it has used.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a running process has a stat");
        // Fields are counted from behind the name, which may contain anything: user and system time are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number of ticks"))
            .sum();
        // USER_HZ is 100 for every program on every Linux that we run on.
        Duration::from_millis(ticks * 10)
    }

    /// The numbers of its open descriptors.
    pub fn descriptors(&self) -> Vec<i32> {
        kernel::descriptors(Pid::from_child(&self.child))
    }

    /// How many ends of connections it has open.
    pub fn connections(&self) -> usize {
        let named = |connection: &Connection| format!("socket:[{}]", connection.inode);
        let all = connections();
        let connected = all.iter().filter(|connection| connection.state != State::Listen);
        let connected: HashSet<String> = connected.map(named).collect();
        let link = |number| fs::read_link(format!("/proc/{}/fd/{number}", self.pid())).ok();
        let open = self.descriptors().into_iter().filter_map(link);
        open.filter(|target| connected.contains(&*target.to_string_lossy()))
            .count()
    }

    /// From now on it can open nothing more, though all that is open goes on working: the limit is put at the lowest
    /// number that is free, and the kernel always gives the lowest.
    pub fn forbid_new_descriptors(&self) {
        let open = self.descriptors();
        let lowest_free = (0..)
            .find(|number| !open.contains(number))
            .expect("some number is free");
        self.limit_descriptors(lowest_free as u64);
    }

    /// Takes that back.
    pub fn allow_new_descriptors(&self) {
        self.limit_descriptors(MANY_DESCRIPTORS);
    }

    fn limit_descriptors(&self, current: u64) {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(MANY_DESCRIPTORS),
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit)
            .expect("the limit of a child can be lowered");
    }

    /// The proxy's own end of its connection with that peer, borrowed from the living process, so that socket options can
    /// be read as they are rather than as they were asked for. `None` where this user may not.
    pub fn socket_with(&self, peer: &Peer) -> Option<OwnedFd> {
        kernel::socket_with(Pid::from_child(&self.child), peer)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("---- log of the proxy\n{}\n----", self.logs.text());
        }
    }
}

impl Builder {
    fn new(arguments: impl Into<Vec<String>>) -> Self {
        Self {
            folder: TempDir::with_prefix("spliceway-").expect("a temporary folder"),
            arguments: arguments.into(),
            log_level: "debug".to_owned(),
            user: None,
            descriptors: None,
            stdout: Stdio::null(),
            environment: Vec::new(),
            listeners: 1,
            patience: DEADLINE,
        }
    }

    /// Where the configuration of [`Proxy::run`] lies: for files that it names relative to itself.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    #[must_use]
    pub fn upstream(self, name: &str, address: impl fmt::Display) -> Self {
        self.arguments(["--upstream".to_owned(), format!("{name}={address}")])
    }

    #[must_use]
    pub fn filter(self, file: impl AsRef<Path>) -> Self {
        self.arguments(["--filter".to_owned(), file.as_ref().display().to_string()])
    }

    /// A filter and its configuration.
    #[must_use]
    pub fn filter_with(self, file: impl AsRef<Path>, config: impl fmt::Display) -> Self {
        self.filter(file)
            .arguments(["--filter-config".to_owned(), config.to_string()])
    }

    #[must_use]
    pub fn workers(self, count: usize) -> Self {
        self.arguments(["--workers".to_owned(), count.to_string()])
    }

    /// `debug` unless said; the end of a connection is told at `debug`.
    #[must_use]
    pub fn log_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.log_level);
        self
    }

    /// How long it may take until it is ready: it compiles its filters first.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Only root can.
    #[must_use]
    pub fn as_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// It may have no more descriptors than these, and may not allow itself more (RLIMIT_NOFILE, both limits).
    #[must_use]
    pub fn descriptors(mut self, most: u64) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Where its standard output goes; nowhere unless said.
    #[must_use]
    pub fn stdout(mut self, output: impl Into<Stdio>) -> Self {
        self.stdout = output.into();
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    #[must_use]
    pub fn arguments(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(more);
        self
    }

    fn command(&self) -> Command {
        let binary = artifacts::binary();
        let mut command = match (&self.user, self.descriptors) {
            (Some(user), _) => lasting_as(user, binary),
            (None, None) => lasting(binary),
            (None, Some(most)) => {
                let mut limited = lasting("prlimit");
                limited.arg(format!("--nofile={most}:{most}")).arg("--").arg(binary);
                limited
            }
        };
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .args(["--log-format", "json", "--log-level", &self.log_level]);
        command
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Proxy {
        let mut child = self
            .command()
            .stdout(self.stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv (util-linux) is installed");
        let logs = Logs::read(child.stderr.take().expect("stderr is piped"));
        let mut proxy = Proxy {
            child,
            logs,
            listeners: HashMap::new(),
            first: String::new(),
            folder: self.folder,
        };
        let count = self.listeners;
        let listening = proxy.logs.wait_within(self.patience, |events| {
            let ready = events.iter().any(|event| event.message() == "ready");
            let listening: Vec<Event> = events
                .iter()
                .filter(|event| event.message() == "listening")
                .cloned()
                .collect();
            (ready && listening.len() >= count).then_some(listening)
        });
        let Some(listening) = listening else {
            panic!("the proxy did not become ready")
        };
        proxy.first = listening[0].text("address").to_owned();
        proxy.listeners = listening
            .iter()
            .map(|event| (event.text("listener").to_owned(), event.text("address").to_owned()))
            .collect();
        proxy
    }

    /// Starts it, expecting that it does not get that far.
    #[track_caller]
    pub fn fail(self) -> Finished {
        run(&mut self.command(), DEADLINE)
    }
}

impl Proxy {
    /// Waits until the count of its open descriptors is as low as that again: nothing leaked.
    #[track_caller]
    pub fn descriptors_back_to(&self, count: usize) {
        eventually("its descriptors are closed", || {
            (self.descriptors().len() <= count).then_some(())
        });
    }
}

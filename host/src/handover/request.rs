//! Who wants an upgrade, and what he is answered.

use std::env::{args_os, current_exe};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::net::sockopt;
use rustix::process::{geteuid, pidfd_send_signal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream as AsyncStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::succession::{Failure, Order};
use super::{Described, Offer, Succession};
use crate::config::{ListenAddress, ListenerConfig, ProcessConfig, SocketFile, UpgradeSocket, defaults};
use crate::listener;
use crate::observe::log;

/// Bytes of a question, which has a path, and of an answer, which has a few lines of a log.
const LONGEST: u32 = 1 << 20;

/// From being connected until everything is asked, and until the answer is taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those who may be asking at a time. One is the rule.
const ASKING: usize = 8;

const WHOM: &str = "upgrades";

/// What is asked at the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// What is to be run; this process's own program otherwise.
    binary: Option<PathBuf>,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    Upgraded {
        from: u32,
        to: u32,
        version: String,
    },
    Failed {
        why: String,
        /// What the new process said last.
        lines: Vec<String>,
    },
}

/// Takes requests for an upgrade, and carries them out one by one.
pub struct Upgrades {
    signal: Signal,
    socket: Option<(UnixListener, Offer)>,
    patience: Duration,
}

/// Somebody who asks.
struct Asking {
    question: Question,
    stream: AsyncStream,
}

/// A new process that is on its way. Dropped, it is ended.
struct UnderWay {
    process: u32,
    /// What it is ended by, whatever its number stands for by then.
    handle: OwnedFd,
    preparing: JoinHandle<Result<Succession, Failure>>,
    asking: Option<AsyncStream>,
    serves: bool,
}

/// There is another process. This one may end.
pub struct Upgraded {
    succession: Succession,
    asking: Option<AsyncStream>,
}

impl Upgrades {
    /// From now on SIGUSR2 is a request, and requests at the socket wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The socket that the configuration names cannot be had.
    pub fn new(config: &ProcessConfig) -> anyhow::Result<Self> {
        let signal = signal(SignalKind::user_defined2())?;
        let socket = match &config.upgrade_socket {
            UpgradeSocket::None => None,
            UpgradeSocket::At(path) => Some(bind(path, config)?),
            UpgradeSocket::Usual => usual(config),
        };
        Ok(Self {
            signal,
            socket,
            patience: config.upgrade_timeout,
        })
    }

    /// Returns when another process serves beside this one. `offers` are the listening sockets that it is to get.
    ///
    /// What fails is told to whoever asked, and to the log, and changes nothing.
    pub async fn run(mut self, offers: impl Fn() -> std::io::Result<Vec<(Described, OwnedFd)>>) -> Upgraded {
        let (heard, mut asked) = channel(ASKING);
        let mut under_way: Option<UnderWay> = None;
        loop {
            let (question, stream) = tokio::select! {
                prepared = prepared(&mut under_way) => {
                    if let Some(upgrade) = under_way.take()
                        && let Some(upgraded) = upgrade.conclude(prepared).await
                    {
                        return upgraded;
                    }
                    continue;
                }
                stream = accept(self.socket.as_ref()) => {
                    hear(stream, &heard);
                    continue;
                }
                _ = self.signal.recv() => (Question { binary: None }, None),
                Some(asking) = asked.recv() => (asking.question, Some(asking.stream)),
            };
            let begun = match &under_way {
                Some(busy) => Err(Failure::busy(busy.process)),
                None => self.begin(question, &offers).map_err(|error| Failure::early(&error)),
            };
            match begun {
                Ok(mut upgrade) => {
                    upgrade.asking = stream;
                    under_way = Some(upgrade);
                }
                Err(failure) => fail(failure, stream).await,
            }
        }
    }

    fn begin(
        &self,
        question: Question,
        offers: &impl Fn() -> std::io::Result<Vec<(Described, OwnedFd)>>,
    ) -> anyhow::Result<UnderWay> {
        let mut sockets = offers().context("there are no descriptors for another process's sockets")?;
        if let Some((_, offer)) = &self.socket {
            sockets.extend(offer.sockets()?);
        }
        let order = Order {
            binary: question.binary.map_or_else(own_program, Ok)?,
            arguments: arguments(),
            sockets,
            patience: self.patience,
        };
        let binary = order.binary.display().to_string();
        let succession = Succession::start(&order)?;
        let process = succession.process();
        let handle = succession.handle()?;
        tracing::info!(
            process,
            binary,
            sockets = order.sockets.len(),
            "upgrade: another process is started"
        );
        Ok(UnderWay {
            process,
            handle,
            preparing: spawn_blocking(move || succession.prepare(&order)),
            asking: None,
            serves: false,
        })
    }
}

impl UnderWay {
    /// From now on there is another process, or there is none.
    async fn conclude(mut self, prepared: Result<Succession, Failure>) -> Option<Upgraded> {
        let asking = self.asking.take();
        match prepared {
            Ok(mut succession) => {
                self.serves = true;
                succession.keep();
                Some(Upgraded { succession, asking })
            }
            Err(failure) => {
                fail(failure, asking).await;
                None
            }
        }
    }
}

impl Upgraded {
    /// To be called when this process accepts nothing more: the other one hears of it, and whoever has asked.
    pub async fn tell(self) {
        self.succession.let_go();
        let (process, version) = (self.succession.process(), self.succession.version().to_owned());
        tracing::info!(process, version, "upgraded: another process serves");
        if let Some(stream) = self.asking {
            let from = std::process::id();
            let upgraded = Answer::Upgraded {
                from,
                to: process,
                version,
            };
            answer(stream, &upgraded).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.serves {
            // One that has ended already needs no ending.
            let _ = pidfd_send_signal(&self.handle, rustix::process::Signal::KILL);
        }
    }
}

impl Failure {
    fn busy(process: u32) -> Self {
        Self {
            why: format!("an upgrade is under way already, to process {process}: wait until it has ended"),
            lines: Vec::new(),
        }
    }

    fn early(error: &anyhow::Error) -> Self {
        Self {
            why: format!("{error:#}"),
            lines: Vec::new(),
        }
    }
}

async fn fail(failure: Failure, asking: Option<AsyncStream>) {
    let Failure { why, lines } = failure;
    tracing::error!(error = why, "upgrade failed: this process serves on");
    if let Some(stream) = asking {
        answer(stream, &Answer::Failed { why, lines }).await;
    }
}

/// What has become of the one that is under way. Waits for ever where there is none.
async fn prepared(under_way: &mut Option<UnderWay>) -> Result<Succession, Failure> {
    match under_way {
        Some(upgrade) => {
            let prepared = (&mut upgrade.preparing).await;
            prepared.unwrap_or_else(|panicked| Err(Failure::early(&panicked.into())))
        }
        None => std::future::pending().await,
    }
}

/// The next one who may ask. Waits for ever where there is no socket.
async fn accept(socket: Option<&(UnixListener, Offer)>) -> AsyncStream {
    let Some((listener, _)) = socket else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Without a descriptor to accept it with, trying again at once would only spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Reads what somebody asks, beside everything else.
fn hear(mut stream: AsyncStream, heard: &Sender<Asking>) {
    // As many may be asking as there are places.
    let Ok(place) = heard.clone().try_reserve_owned() else {
        return;
    };
    #[expect(clippy::disallowed_methods, reason = "this is no worker's")]
    tokio::spawn(async move {
        let question = timeout(PATIENCE, question(&mut stream)).await;
        match question.unwrap_or_else(|_| Err(anyhow::anyhow!("nothing was asked within {PATIENCE:?}"))) {
            Ok(question) => _ = place.send(Asking { question, stream }),
            Err(error) => fail(Failure::early(&error), Some(stream)).await,
        }
    });
}

async fn question(stream: &mut AsyncStream) -> anyhow::Result<Question> {
    let length = stream.read_u32().await?;
    ensure!(length <= LONGEST, "a question of {length} bytes is too long");
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await?;
    // Only now, so that whoever is refused hears of it: what is not read would cut the answer off.
    trust(&*stream)?;
    serde_json::from_slice(&bytes).context("this is no question of this version's")
}

async fn answer(mut stream: AsyncStream, answer: &Answer) {
    let bytes = serde_json::to_vec(answer).unwrap_or_default();
    let sent = async {
        stream.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).await?;
        stream.write_all(&bytes).await
    };
    // Who asked and went away does not want to know.
    let _ = timeout(PATIENCE, sent).await;
}

/// The file's permissions let nobody else come as far as this, unless somebody has changed them.
fn trust(stream: impl AsFd) -> anyhow::Result<()> {
    let them = sockopt::socket_peercred(stream)?.uid;
    let ours = geteuid();
    ensure!(
        them == ours || them.is_root(),
        "only root and user {} may ask for an upgrade, and this is user {}",
        ours.as_raw(),
        them.as_raw()
    );
    Ok(())
}

fn bind(path: &Path, config: &ProcessConfig) -> anyhow::Result<(UnixListener, Offer)> {
    let owner = config.user.as_ref();
    let address = ListenAddress::Unix(path.to_owned());
    let as_listener = ListenerConfig {
        // Only root can give it to the user that the process becomes; anybody else is that user already.
        socket_file: SocketFile {
            mode: Some(0o600),
            owner: owner.map(|account| account.user).filter(|_| geteuid().is_root()),
            group: None,
        },
        ..ListenerConfig::new("", address.clone())
    };
    let (sockets, _) = listener::bind_for(WHOM, &as_listener, 1)?;
    let offer = Offer::new(WHOM, &address, &sockets)?;
    let socket = sockets.into_iter().next().context("no socket for upgrades")?;
    let socket = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
    Ok((socket, offer))
}

/// Nobody has asked for it: a process that cannot have it does without.
fn usual(config: &ProcessConfig) -> Option<(UnixListener, Offer)> {
    let path = UpgradeSocket::Usual.path()?;
    if !path.parent().is_some_and(Path::is_dir) {
        return None;
    }
    match bind(&path, config) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::info!(
                error,
                "`spliceway upgrade` does not find this process; SIGUSR2 upgrades it as well"
            );
            None
        }
    }
}

/// The program that this process runs, as it is on the disk now: a package manager has put another one in its place.
fn own_program() -> anyhow::Result<PathBuf> {
    let program = current_exe().context("cannot find the program that this process runs")?;
    let bytes = program.as_os_str().as_bytes();
    Ok(match bytes.strip_suffix(b" (deleted)") {
        Some(before) => OsStr::from_bytes(before).into(),
        None => program,
    })
}

/// Those of this process. What its log looks like was decided by where it goes, which the next one cannot see.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = args_os().skip(1).collect();
    let says_how = |argument: &OsString| argument.as_bytes().starts_with(b"--log-format");
    if !arguments.iter().any(says_how) {
        arguments.extend(["--log-format", log::format_in_force()].map(OsString::from));
    }
    arguments
}

/// Asks the process that listens there for an upgrade, and waits for what comes of it.
///
/// # Errors
/// Nobody listens there, or he does not answer.
pub fn ask(path: &Path, binary: Option<PathBuf>) -> anyhow::Result<Answer> {
    let shown = path.display();
    let mut stream = UnixStream::connect(path).with_context(|| {
        format!("no process takes requests at {shown} (is it running, with that `upgrade-socket`?); SIGUSR2 upgrades it as well")
    })?;
    let them = sockopt::socket_peercred(&stream)?.uid;
    let ours = geteuid();
    if !(ours.is_root() || them == ours || them.is_root()) {
        bail!(
            "{shown} is user {}'s, and you are user {}",
            them.as_raw(),
            ours.as_raw()
        );
    }
    let question = serde_json::to_vec(&Question { binary })?;
    let length = u32::try_from(question.len())?;
    let asked = stream
        .write_all(&length.to_be_bytes())
        .and_then(|()| stream.write_all(&question));
    asked.context("the process takes no requests")?;
    read(&mut stream).context("the process ended without an answer: its log says why")
}

fn read<T: DeserializeOwned>(stream: &mut impl Read) -> anyhow::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    ensure!(length <= LONGEST, "an answer of {length} bytes is too long");
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The configuration file of a running process, as its command line names it.
///
/// # Errors
/// It is no `spliceway run`.
pub fn configuration_of(process: u32) -> anyhow::Result<PathBuf> {
    let line =
        std::fs::read(format!("/proc/{process}/cmdline")).with_context(|| format!("there is no process {process}"))?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let config = config_in(&words).with_context(|| {
        format!("process {process} is no `spliceway run`; `kill -USR2 {process}` upgrades one that has no configuration file")
    })?;
    let directory = std::fs::read_link(format!("/proc/{process}/cwd"))
        .with_context(|| format!("process {process} is somebody else's"))?;
    Ok(directory.join(config))
}

fn config_in(words: &[&[u8]]) -> Option<PathBuf> {
    let command = words.iter().position(|word| *word == b"run")?;
    let mut rest = words[command + 1..].iter();
    while let Some(word) = rest.next() {
        let named = match word.strip_prefix(b"--config") {
            Some(b"") => rest.next().copied(),
            Some(equals) => equals.strip_prefix(b"="),
            None => None,
        };
        if let Some(named) = named {
            return Some(OsStr::from_bytes(named).into());
        }
    }
    Some(defaults::CONFIG_FILE.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_asked_which_configuration_it_serves() {
        let config = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            config_in(&words).map(|path| path.display().to_string())
        };
        assert_eq!(config("spliceway run --config a.toml").as_deref(), Some("a.toml"));
        assert_eq!(
            config("spliceway --log-level info run --config=/b.toml").as_deref(),
            Some("/b.toml")
        );
        assert_eq!(config("spliceway run").as_deref(), Some("spliceway.toml"));
        assert_eq!(config("spliceway forward :1 :2"), None);
    }
}

//! The part of the old process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write, stderr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::message::MOST_SOCKETS;
use super::{Channel, Described, Message, PROTOCOL, VARIABLE};

/// How many of a process's last lines are worth repeating.
const LAST_LINES: usize = 20;

/// Bytes of a line. Longer ones are cut in pieces.
const LONGEST_LINE: u64 = 16 << 10;

/// How long the end of a process may take once its end of the channel is closed, and the end of its messages after that.
const MOMENT: Duration = Duration::from_secs(1);

/// A process that is to take the place of this one. Dropped before [`keep`](Self::keep), it is killed.
pub struct Succession {
    channel: Channel,
    child: Child,
    lines: Lines,
    done: bool,
    version: String,
}

/// Why there is none.
#[derive(Debug)]
pub struct Failure {
    pub why: String,
    /// What the new process said last.
    pub lines: Vec<String>,
}

/// What is to be started, and given.
pub struct Order {
    pub binary: PathBuf,
    pub arguments: Vec<OsString>,
    pub sockets: Vec<(Described, OwnedFd)>,
    pub patience: Duration,
}

impl Succession {
    /// Starts a process that is to take the place of this one. It is to be made ready by [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(order: &Order) -> anyhow::Result<Self> {
        let (channel, theirs) = Channel::pair().context("cannot start another process")?;
        let mut command = Command::new(&order.binary);
        command
            .args(&order.arguments)
            .env(VARIABLE, "1")
            .stdin(theirs)
            .stderr(Stdio::piped());
        // They are about this process.
        for variable in ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", order.binary.display()))?;
        let lines = Lines::of(child.stderr.take());
        Ok(Self {
            channel,
            child,
            lines,
            done: false,
            version: String::new(),
        })
    }

    /// What the process can be ended by while it is made ready.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn handle(&self) -> std::io::Result<OwnedFd> {
        Ok(pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// As it has said.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives it the sockets, and waits until it serves. Then it is to be kept; otherwise it is gone.
    ///
    /// # Errors
    /// In whatever way the new process does not get as far as that.
    pub fn prepare(mut self, order: &Order) -> Result<Self, Failure> {
        match self.converse(order) {
            Ok(()) => Ok(self),
            Err(error) => {
                let why = self.end(&error);
                let lines = self.lines.last();
                Err(Failure { why, lines })
            }
        }
    }

    fn converse(&mut self, order: &Order) -> anyhow::Result<()> {
        let deadline = Instant::now() + order.patience;
        let (hello, _) = self.hear(deadline)?;
        let Message::Hello { protocol, version } = hello else {
            bail!("the new process does not begin with a greeting");
        };
        ensure!(
            protocol == PROTOCOL,
            "the new process ({version}) speaks protocol {protocol}, this one ({}) speaks {PROTOCOL}: restart it instead",
            env!("CARGO_PKG_VERSION")
        );
        self.version = version;
        self.channel.send(&Message::hello(), &[stderr().as_fd()], deadline)?;
        let mut batches: Vec<_> = order.sockets.chunks(MOST_SOCKETS).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        let count = batches.len();
        for (number, batch) in batches.into_iter().enumerate() {
            let descriptors: Vec<BorrowedFd<'_>> = batch.iter().map(|(_, socket)| socket.as_fd()).collect();
            let message = Message::Sockets {
                sockets: batch.iter().map(|(described, _)| described.clone()).collect(),
                more: number + 1 < count,
            };
            self.channel.send(&message, &descriptors, deadline)?;
        }
        let (ready, _) = self.hear(deadline)?;
        ensure!(
            ready
                == Message::Ready {
                    taken: order.sockets.len()
                },
            "the new process was given {} sockets and says {ready:?}",
            order.sockets.len()
        );
        Ok(())
    }

    fn hear(&self, deadline: Instant) -> anyhow::Result<(Message, Vec<OwnedFd>)> {
        self.channel
            .receive(deadline)?
            .ok_or_else(|| anyhow!("it has closed its end"))
    }

    /// Ends it, if it has not ended by itself, and says why there is no successor.
    fn end(&mut self, error: &anyhow::Error) -> String {
        let ended = self.wait(MOMENT);
        let status = ended.or_else(|| {
            let _ = self.child.kill();
            let _ = self.child.wait();
            None
        });
        self.done = true;
        match status {
            Some(status) => format!("the new process ended before it served: {status}"),
            None => format!("the new process was killed, since it did not get as far as serving: {error:#}"),
        }
    }

    fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        // A process that hangs has not closed its end, and has had its time.
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).ok()?;
        let within = Timespec::try_from(within).ok()?;
        let mut interest = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut interest, Some(&within)) {
            Ok(1..) => self.child.wait().ok(),
            _ => None,
        }
    }

    /// From now on it lives on, whatever becomes of this process.
    pub fn keep(&mut self) {
        self.done = true;
    }

    /// Tells it that this process accepts nothing more.
    pub fn let_go(&self) {
        // It serves, whether or not it hears of this.
        if let Err(error) = self.channel.send(&Message::Go, &[], Instant::now()) {
            tracing::warn!(error = format!("{error:#}"), "the new process does not listen any more");
        }
    }
}

impl Drop for Succession {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What another process says on standard error: it is said by this one, too, and the last of it is kept.
struct Lines {
    last: Arc<Mutex<VecDeque<String>>>,
    ended: Receiver<()>,
}

impl Lines {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let last = Arc::default();
        let (end, ended) = channel::<()>();
        if let Some(stream) = stream {
            let last = Arc::clone(&last);
            // It ends with the stream. Without the thread, nothing is known of what the other process says.
            let _ = thread::Builder::new().name("successor".to_owned()).spawn(move || {
                pass_on(stream, &last);
                drop(end);
            });
        }
        Self { last, ended }
    }

    fn last(&self) -> Vec<String> {
        // Whoever has the stream beside that process may keep it open.
        let _ = self.ended.recv_timeout(MOMENT);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }
}

fn pass_on(stream: impl Read, last: &Mutex<VecDeque<String>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let _ = stderr().write_all(&line);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
    }
}

//! The part of the new process.

use std::fs::File;
use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::net::sockopt;
use rustix::process::geteuid;

use super::fault::{self, Step};
use super::{Channel, Inherited, Message, PROTOCOL, VARIABLE, inherit};
use crate::sys::{Standard, replace};

/// What the old process has to say is in its hands already: it only has to be awake.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process that has started this one to take its place.
pub struct Predecessor {
    channel: Channel,
    /// Where messages of ours go once we serve. Until then the old process reads them.
    stderr: OwnedFd,
    taken: usize,
}

impl Predecessor {
    /// `None` where somebody else has started this process. Otherwise its sockets are there to be taken.
    ///
    /// # Errors
    /// The other process is somebody else's, speaks another protocol, or is gone.
    pub fn meet() -> anyhow::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        fault::at(Step::Begun);
        let greeted = Self::greet().with_context(|| {
            format!("{VARIABLE} is set, which says that a Spliceway has started this process to take its place")
        });
        let predecessor = greeted?;
        fault::at(Step::Inherited);
        Ok(Some(predecessor))
    }

    fn greet() -> anyhow::Result<Self> {
        let input = stdin().as_fd().try_clone_to_owned()?;
        let them = sockopt::socket_peercred(&input).context("the standard input is no socket")?;
        let ours = geteuid();
        let trusted = them.uid == ours || them.uid.is_root();
        ensure!(
            trusted,
            "the process that started it is user {}'s, and this one is user {}'s",
            them.uid.as_raw(),
            ours.as_raw()
        );
        let channel = Channel::new(input);
        let deadline = Instant::now() + PATIENCE;
        channel.send(&Message::hello(), &[], deadline)?;
        let next = || channel.receive(deadline)?.context("the old process is gone");
        let (hello, beside) = next()?;
        let Message::Hello { protocol, version } = hello else {
            bail!("the old process does not begin with a greeting");
        };
        ensure!(
            protocol == PROTOCOL,
            "the old process ({version}) speaks protocol {protocol}, this one ({}) speaks {PROTOCOL}: restart it instead",
            env!("CARGO_PKG_VERSION")
        );
        let stderr = beside
            .into_iter()
            .next()
            .context("the old process said nothing of its log")?;
        let mut taken = 0;
        loop {
            let (message, sockets) = next()?;
            let Message::Sockets {
                sockets: described,
                more,
            } = message
            else {
                bail!("the old process sent something in the place of its sockets");
            };
            ensure!(
                described.len() == sockets.len(),
                "the old process described other sockets than it sent"
            );
            taken += sockets.len();
            inherit(described.into_iter().zip(sockets).map(|(described, socket)| Inherited {
                socket,
                name: described.name,
                asked: Some(described.asked),
            }));
            if !more {
                break;
            }
        }
        Ok(Self { channel, stderr, taken })
    }

    /// Tells it that this process serves, and returns when the old one accepts nothing more, or is gone.
    ///
    /// # Errors
    /// The messages of this process have no place to go.
    pub fn ready(self) -> anyhow::Result<()> {
        fault::at(Step::Serving);
        // First, so that nothing is said to a process that may end.
        replace(Standard::Error, &self.stderr).context("cannot take the log over")?;
        replace(Standard::Input, File::open("/dev/null")?).context("cannot let go of the old process")?;
        let deadline = Instant::now() + PATIENCE;
        if let Err(error) = self.channel.send(&Message::Ready { taken: self.taken }, &[], deadline) {
            // It has ended in between: then this one has its place all the more.
            tracing::warn!(error = format!("{error:#}"), "the old process is gone");
            return Ok(());
        }
        match self.channel.receive(deadline) {
            Ok(Some((Message::Go, _))) => tracing::info!("took the place of the process before"),
            Ok(_) => tracing::warn!("the old process is gone, without a word"),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "the old process does not say that it has stopped"
            ),
        }
        Ok(())
    }
}

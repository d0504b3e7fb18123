//! What two processes say to each other, and how.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// Another number for whatever the one before would not understand. A process speaks one protocol.
pub const PROTOCOL: u32 = 1;

/// Sockets in one message. The kernel allows 253 (SCM_MAX_FD, unix(7)), and their descriptions have to fit.
pub const MOST_SOCKETS: usize = 64;

/// Bytes of a message: of a socket there are a listener's name and a path to say, 64 and 107 bytes at the most, each of them
/// up to six bytes in JSON.
const LONGEST: usize = 128 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    Hello {
        protocol: u32,
        version: String,
    },
    /// One for each descriptor beside it.
    Sockets {
        sockets: Vec<Described>,
        more: bool,
    },
    /// On how many of them it serves.
    Ready {
        taken: usize,
    },
    Go,
}

/// Whose a socket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// As messages call it.
    pub name: String,
    /// As the configuration says it.
    pub asked: String,
}

/// One end of a socket pair: messages arrive whole, in order, or not at all.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Message {
    pub fn hello() -> Self {
        Self::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Channel {
    /// Both ends. The second is for another process.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    /// `end` is one of [`pair`](Self::pair).
    pub fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// # Errors
    /// The other end is gone, or takes nothing until `deadline`.
    pub fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>], deadline: Instant) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        ensure!(bytes.len() <= LONGEST, "a message of {} bytes is too long", bytes.len());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let fits = descriptors.is_empty() || beside.push(SendAncillaryMessage::ScmRights(descriptors));
        ensure!(fits, "{} sockets are too many for one message", descriptors.len());
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut beside, flags) {
                Ok(_) => return Ok(()),
                // A handful of messages waits to be read (net.unix.max_dgram_qlen).
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(errno) => return Err(errno).context("the other process does not listen"),
            }
        }
    }

    /// The next message, `None` where the other end is gone.
    ///
    /// # Errors
    /// It does not come until `deadline`, or is none.
    pub fn receive(&self, deadline: Instant) -> anyhow::Result<Option<(Message, Vec<OwnedFd>)>> {
        self.wait(PollFlags::IN, deadline)?;
        let mut bytes = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut beside, flags) {
            Ok(received) => received,
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno).context("cannot read what the other process says"),
        };
        let descriptors: Vec<OwnedFd> = beside
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return Ok(None);
        }
        let whole = !received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        ensure!(
            whole,
            "the other process sent more than fits a message, or more sockets than this one may open"
        );
        let message = serde_json::from_slice(&bytes[..received.bytes]);
        let message = message.context("what the other process sent is no message of this protocol")?;
        Ok(Some((message, descriptors)))
    }

    fn wait(&self, until: PollFlags, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).context("a deadline out of reach")?;
            let mut interest = [PollFd::new(&self.0, until)];
            match poll(&mut interest, Some(&left)) {
                Ok(0) => bail!("it did not come in time"),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("cannot wait for the other process"),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::new(other);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let described = Described {
            name: "listener \"a\"".to_owned(),
            asked: "127.0.0.1:0".to_owned(),
        };
        let message = Message::Sockets {
            sockets: vec![described; MOST_SOCKETS],
            more: false,
        };
        one.send(&message, &[listener.as_fd(); MOST_SOCKETS], soon()).unwrap();
        one.send(&Message::Go, &[], soon()).unwrap();
        let (received, descriptors) = other.receive(soon()).unwrap().unwrap();
        assert_eq!((received, descriptors.len()), (message, MOST_SOCKETS));
        let twin = std::net::TcpListener::from(descriptors.into_iter().next().unwrap());
        assert_eq!(twin.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(other.receive(soon()).unwrap().unwrap().0, Message::Go);
    }

    #[test]
    fn a_slow_reader_is_waited_for_and_one_that_does_not_read_is_not() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel::new(other);
        let reader = std::thread::spawn(move || {
            let mut read = 0;
            while other.receive(soon()).unwrap().is_some() {
                read += 1;
            }
            read
        });
        for _ in 0..2_000 {
            one.send(&Message::Go, &[], soon()).unwrap();
        }
        drop(one);
        assert_eq!(reader.join().unwrap(), 2_000);

        let (one, _other) = Channel::pair().unwrap();
        let late = Instant::now();
        let failed = (0..100_000).find_map(|_| one.send(&Message::Go, &[], late).err());
        assert!(failed.unwrap().to_string().contains("in time"));
    }

    #[test]
    fn the_end_of_the_other_process_is_no_message() {
        let (one, other) = Channel::pair().unwrap();
        drop(other);
        assert!(one.receive(soon()).unwrap().is_none());
        assert!(one.send(&Message::Go, &[], soon()).is_err());
    }

    #[test]
    fn what_is_no_message_or_too_much_is_an_error() {
        let (one, other) = Channel::pair().unwrap();
        rustix::io::write(&other, b"hello?").unwrap();
        let error = one.receive(soon()).unwrap_err();
        assert!(error.to_string().contains("no message of this protocol"), "{error}");
        rustix::io::write(&other, &[b' '; LONGEST + 1]).unwrap();
        let error = one.receive(soon()).unwrap_err();
        assert!(error.to_string().contains("more than fits"), "{error}");
        let error = one.receive(Instant::now()).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
    }
}

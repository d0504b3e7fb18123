//! What a peer can do to a proxy beside talking: hear how a connection ends, read slowly, say one byte at a time, leave a
//! window closed.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SocketType, connect, recv, socket, sockopt};

use crate::kernel::{Connection, State, connections};
use crate::wait::readable;
use crate::{Client, DEADLINE, Peer, Upstream, eventually};

/// How the other side stopped sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It finished: everything that it had to say has arrived.
    Fin,
    /// It threw the connection away.
    Reset,
}

/// Everything that the other side said, and how it stopped.
#[derive(PartialEq, Eq)]
pub struct Heard {
    pub bytes: Vec<u8>,
    pub end: End,
}

impl Heard {
    /// Exactly these bytes, and then the end.
    #[track_caller]
    pub fn is_whole(&self, expected: &[u8]) {
        self.begins(expected);
        assert!(
            self.bytes.len() == expected.len() && self.end == End::Fin,
            "{} of {} bytes arrived, then a {}",
            self.bytes.len(),
            expected.len(),
            self.end
        );
    }

    /// No more than these bytes, none lost in between, and then a reset.
    #[track_caller]
    pub fn is_cut_off(&self, expected: &[u8]) {
        self.begins(expected);
        assert!(
            self.end == End::Reset,
            "a {} after {} of {} bytes, where only a RST is true",
            self.end,
            self.bytes.len(),
            expected.len()
        );
    }

    #[track_caller]
    fn begins(&self, expected: &[u8]) {
        let differs = self.bytes.iter().zip(expected).position(|(got, sent)| got != sent);
        assert!(differs.is_none(), "byte {differs:?} is another than the one sent");
        let (got, sent) = (self.bytes.len(), expected.len());
        assert!(got <= sent, "{got} bytes arrived where {sent} were sent");
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "FIN",
            Self::Reset => "RST",
        })
    }
}

/// Who has not read for so long does not read.
const STANDING_STILL: Duration = Duration::from_millis(300);

/// What a peer with a narrow window keeps in its kernel. The kernel doubles it, for its own bookkeeping (socket(7)).
const NARROW: usize = 32 << 10;

impl Client {
    /// A client that takes little at a time: its window is closed as soon as it does not read.
    #[track_caller]
    pub fn connect_narrow(address: &str) -> Peer {
        let address: SocketAddr = address.parse().expect("an ip and a port");
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = socket(family, SocketType::STREAM, None).expect("a socket");
        // Before it connects: a window that was announced is not taken back.
        sockopt::set_socket_recv_buffer_size(&fd, NARROW).expect("SO_RCVBUF");
        connect(&fd, &address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        Self::of(TcpStream::from(fd))
    }
}

impl Upstream {
    /// Waits until somebody tries to connect to an [`unanswering`](Self::unanswering) one.
    #[track_caller]
    pub fn wait_until_dialled(&self) {
        let dialled = |one: &Connection| one.remote == self.port() && one.state == State::SynSent;
        eventually("somebody tries to connect", || {
            connections().iter().any(dialled).then_some(())
        });
    }

    /// From now on its connections take little at a time.
    pub fn narrow(&self) {
        sockopt::set_socket_recv_buffer_size(self, NARROW).expect("SO_RCVBUF");
    }
}

impl Peer {
    /// Everything until the other side stops, one way or the other.
    #[track_caller]
    pub fn hear_out(&mut self) -> Heard {
        self.hear_out_slowly(1 << 20, Duration::ZERO)
    }

    /// The same, no more than `piece` at a time with a pause after each.
    #[track_caller]
    pub fn hear_out_slowly(&mut self, piece: usize, pause: Duration) -> Heard {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; piece];
        let end = loop {
            match recv(&*self, &mut buffer[..], RecvFlags::empty()).map_err(io::Error::from) {
                Ok((0, _)) if self.was_refused() => break End::Reset,
                Ok((0, _)) => break End::Fin,
                Ok((count, _)) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break End::Reset,
                // Somebody stopped this process and let it go on: with a timeout, the call is not begun anew (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("neither more nor an end after {} bytes: {error}", bytes.len()),
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        };
        Heard { bytes, end }
    }

    /// The connection is finished, and nothing more was said before.
    #[track_caller]
    pub fn hears_fin(&mut self) {
        self.hear_out().is_whole(b"");
    }

    /// Waits until the other side's kernel has everything that this peer has sent, and its FIN.
    #[track_caller]
    pub fn wait_until_delivered(&self) {
        eventually("the other side has everything, and the FIN", || {
            (self.connection()?.state == State::FinWait2).then_some(())
        });
    }

    /// Sends until the process on the other side no longer reads, although its kernel still takes more. `other` is its socket.
    /// Returns how much that was.
    #[track_caller]
    pub fn send_until_unread(&mut self, bytes: &[u8], other: &OwnedFd) -> usize {
        let unread = || rustix::io::ioctl_fionread(other).expect("a socket knows what it has received");
        let mut sent = 0;
        for piece in bytes.chunks(64 << 10) {
            self.send(piece);
            sent += piece.len();
            let until = Instant::now() + STANDING_STILL;
            while unread() > 0 {
                if Instant::now() > until {
                    return sent;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        panic!("all of {sent} bytes were read");
    }

    /// Waits until there is something for this peer to read.
    #[track_caller]
    pub fn wait_until_readable(&self) {
        assert!(readable(self, DEADLINE), "nothing to read within {DEADLINE:?}");
    }

    fn connection(&self) -> Option<Connection> {
        let port = |address: &str| address.parse::<SocketAddr>().map(|address| address.port()).ok();
        let ends = (port(self.local())?, port(self.remote())?);
        connections().into_iter().find(|one| (one.local, one.remote) == ends)
    }

    /// A byte at a time, each in a packet of its own.
    #[track_caller]
    pub fn dribble(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// Sends a little now and then until it is refused: nobody is there any more.
    #[track_caller]
    pub fn send_until_refused(&mut self) {
        eventually("what is sent is refused", || self.try_send(b"still there?").err());
    }
}

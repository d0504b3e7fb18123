//! A connected stream socket, TCP or unix, registered with the worker's runtime.
//!
//! Readiness is edge-triggered. It is cleared on EAGAIN, and on a read or write that moved less than was asked: a socket
//! that gave less than the buffer holds is empty, so asking again would only buy an EAGAIN. What arrives later, a FIN or an
//! error too, makes a new edge.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, recv, send,
    sockopt,
};
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::peek_offset::set_peek_offset;
use super::pipe::Pipe;
use super::register::register;
use super::socket::change_connecting;
use super::source::{Source, bind_to};
use super::tcp_info::{queued, received};
use crate::config::{UpstreamSocket, Vigilance};

/// Where a socket leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Peer {
    /// `None` on a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
pub struct Stream {
    fd: AsyncFd<OwnedFd>,
    /// Bytes that were taken out of it.
    read: Cell<u64>,
}

impl Stream {
    /// Takes a non-blocking, connected (or connecting) socket. Must be called on the thread whose runtime will drive it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        register(fd).map(|fd| Self { fd, read: Cell::new(0) })
    }

    /// Reads into `buffer`: 0 is the end of the stream.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv_once(cx, buffer).map_ok(|(read, _)| read)
    }

    /// As [`poll_recv`](Self::poll_recv), and goes on to the end where that is known to be here: tells whether it came behind
    /// these bytes.
    ///
    /// It is known where the kernel has told of a FIN and of nothing worse. There can be more in front of it, since a read
    /// stops short of urgent data, and it cannot fail any more: `tcp_recvmsg_locked` looks for the FIN before it looks for
    /// errors.
    pub fn poll_recv_to_end(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, bool)>> {
        let (mut read, mut finished) = ready!(self.poll_recv_once(cx, buffer))?;
        finished = finished && !self.is_write_closed(cx);
        while finished && read < buffer.len() {
            match self.poll_recv(cx, &mut buffer[read..]) {
                Poll::Ready(Ok(more @ 1..)) => read += more,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok((read, true))),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok((read, read == 0)))
    }

    /// Tells as well whether the socket was emptied although it has more than that to say: its end.
    fn poll_recv_once(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, bool)>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((bytes, _)) => {
                    let emptied = 0 < bytes && bytes < buffer.len();
                    let finished = emptied && ready.ready().is_read_closed();
                    if emptied {
                        ready.clear_ready();
                    }
                    self.count(bytes);
                    return Poll::Ready(Ok((bytes, finished)));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Copies the first bytes that have come into `buffer` and leaves them in the socket. Ready when there are more than `known`,
    /// or when there will be no more; tells how many there are, and whether those are all.
    ///
    /// An error is told once, here: the next read would be told of an end.
    ///
    /// An edge is cleared only where it has brought nothing new: whoever takes a part of what is here must find the rest still
    /// announced.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8], known: usize) -> Poll<io::Result<(usize, bool)>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            match recv(&self.fd, &mut *buffer, RecvFlags::PEEK) {
                Ok((bytes, _)) => {
                    let finished = ready.ready().is_read_closed();
                    if bytes > known || bytes == 0 || finished {
                        return Poll::Ready(Ok((bytes, bytes == 0 || finished)));
                    }
                    ready.clear_ready();
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Takes bytes that [`poll_peek`](Self::poll_peek) has shown.
    pub fn take(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((bytes, _)) => {
                    self.count(bytes);
                    buffer = &mut buffer[bytes..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Peeks further than at the first bytes. Nobody else may peek as long as it lives.
    pub fn ahead(&self) -> Ahead<'_> {
        Ahead {
            fd: &self.fd,
            offset: None,
        }
    }

    /// Writes what the socket takes now: at least one byte of a `buffer` that is not empty.
    pub fn poll_send(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, buffer, SendFlags::NOSIGNAL)
    }

    /// The same with the last bytes: they leave in one packet with the FIN that has to follow at once (MSG_MORE, send(2)).
    pub fn poll_send_last(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, buffer, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    fn poll_send_with(&self, cx: &mut Context<'_>, buffer: &[u8], flags: SendFlags) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(cx))?;
            match send(&self.fd, buffer, flags) {
                Ok(bytes) => {
                    if bytes < buffer.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(bytes));
                }
                // A SYN that could take no bytes with it has gone out (TCP_FASTOPEN_CONNECT).
                Err(Errno::AGAIN | Errno::INPROGRESS) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Moves up to `most` bytes from the socket into `pipe`, which must be empty: only then does EAGAIN say that it is the
    /// socket which has nothing, and not the pipe which is full (splice(2)). 0 is the end of the stream.
    pub fn poll_fill(&self, cx: &mut Context<'_>, pipe: &mut Pipe, most: usize) -> Poll<io::Result<usize>> {
        debug_assert_eq!(pipe.owed(), 0, "an ambiguous EAGAIN");
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            match splice(&self.fd, None, pipe.write_end(), None, most, FLAGS) {
                Ok(bytes) => {
                    // Not cleared: a splice stops at the pipe's slots or at a packet's edge as well, so a short one says
                    // nothing about the socket.
                    pipe.filled(bytes);
                    self.count(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Moves what the socket takes now out of `pipe`, which must hold something: so EAGAIN speaks of the socket.
    pub fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        debug_assert_ne!(pipe.owed(), 0, "an ambiguous EAGAIN");
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(cx))?;
            match splice(pipe.read_end(), None, &self.fd, None, pipe.owed(), FLAGS) {
                Ok(bytes) => {
                    pipe.drained(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                Err(Errno::AGAIN | Errno::INPROGRESS) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Sends FIN after everything that was written.
    ///
    /// # Errors
    /// The peer is gone, so there is nobody to tell; what it did instead, or that it is no longer connected.
    pub fn finish(&self) -> io::Result<()> {
        match rustix::net::shutdown(&self.fd, Shutdown::Write) {
            Ok(()) => Ok(()),
            Err(Errno::NOTCONN) => Err(self.take_error().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the peer is gone, and not only finished. Costs nothing where it is not.
    pub fn gone(&self, cx: &mut Context<'_>) -> Option<io::Error> {
        // A unix socket hangs up at every end; only an error is more than that.
        if self.is_write_closed(cx) {
            self.take_error()
        } else {
            None
        }
    }

    /// Whether the kernel has told of a hang-up or an error.
    fn is_write_closed(&self, cx: &mut Context<'_>) -> bool {
        matches!(self.fd.poll_write_ready(cx), Poll::Ready(Ok(ready)) if ready.ready().is_write_closed())
    }

    /// Bytes that the kernel has still to get through to the peer: unsent, or not acknowledged (SIOCOUTQ, tcp(7)).
    pub fn queued(&self) -> Option<u32> {
        queued(&self.fd)
    }

    /// What has happened to the connection that no read or write has reported (SO_ERROR, socket(7)): it is reported once.
    pub fn take_error(&self) -> Option<io::Error> {
        match sockopt::socket_error(&self.fd) {
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(errno.into()),
        }
    }

    /// Whether a peer that is gone, as `error` told, had finished before: then its stream is whole.
    ///
    /// The kernel's count of what it received has one more for a FIN (`tcp_rcv_nxt_update`, net/ipv4/tcp_input.c). The error
    /// says it too, EPIPE where there was a FIN (`tcp_reset`) and ECONNRESET or the like where there was none, but it says so
    /// once: of a RST that comes while splice(2) writes, the splice returns what it had moved until then and keeps the error
    /// to itself, and all that is heard later is EPIPE. It decides where there is no count, on a unix socket.
    pub fn had_finished(&self, error: &io::Error) -> bool {
        match received(&self.fd) {
            Some((received, unread)) => received > self.read.get() + unread,
            None => error.kind() == io::ErrorKind::BrokenPipe,
        }
    }

    fn count(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
    }

    /// Waits until there is something to read: bytes, the end, or an error.
    pub async fn readable(&self) {
        // Not cleared: whoever reads finds out what it is.
        let _ = self.fd.readable().await;
    }

    /// Whether the peer has sent nothing, has not finished and is not gone, as far as our kernel knows.
    pub fn is_silent(&self) -> bool {
        let peeked = recv(&self.fd, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(Errno::AGAIN))
    }

    /// Waits until something has happened to the connection. Data and FIN have not.
    pub async fn failed(&self) -> io::Error {
        loop {
            let mut ready = match self.fd.ready(Interest::ERROR).await {
                Ok(ready) => ready,
                Err(error) => return error,
            };
            if let Some(error) = self.take_error() {
                return error;
            }
            ready.clear_ready_matching(Ready::ERROR);
        }
    }

    /// Lets the kernel notice that the peer is gone without a word. A unix socket has none of these options, and needs none.
    pub fn watch_over(&self, vigilance: &Vigilance) {
        watch_over(&self.fd, vigilance);
    }

    /// Makes the close that follows send RST and drop what was not delivered (SO_LINGER, socket(7)).
    pub fn reset_on_close(&self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }

    /// This side's own address; `None` on a unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        local(&self.fd)
    }

    /// Where the peer's packets were to go before netfilter sent them here (SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST); this side's
    /// own address where it did not. `None` where the kernel does not keep track of the connection.
    pub fn redirected_from(&self) -> Option<SocketAddr> {
        let address = match self.local()? {
            SocketAddr::V4(_) => sockopt::ip_original_dst(&self.fd).ok()?.into(),
            SocketAddr::V6(_) => sockopt::ipv6_original_dst(&self.fd).ok()?.into(),
        };
        Some(canonical(address))
    }
}

/// Looks at bytes that lie further back in a socket.
pub struct Ahead<'a> {
    fd: &'a AsyncFd<OwnedFd>,
    /// Where the kernel begins with the next peek.
    offset: Option<usize>,
}

impl Ahead<'_> {
    /// Copies bytes that are here behind the first `offset` ones, and leaves all in the socket. Waits for nothing: `None` where there
    /// are none, and where the kernel cannot do it: Linux before 6.9, and a socket that is not TCP's.
    ///
    /// # Errors
    /// The socket has failed. The kernel tells that once: the next read would be told of an end.
    pub fn peek(&mut self, offset: usize, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.offset != Some(offset) {
            let set = offset.try_into().map(|offset| set_peek_offset(self.fd, offset));
            if !matches!(set, Ok(Ok(()))) {
                return Ok(None);
            }
            self.offset = Some(offset);
        }
        match recv(self.fd, buffer, RecvFlags::PEEK) {
            Ok((0, _)) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Ok((bytes, _)) => {
                self.offset = Some(offset + bytes);
                Ok(Some(bytes))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        if self.offset.is_some() {
            // It was set, so it can be taken back.
            let _ = set_peek_offset(self.fd, -1);
        }
    }
}

// MOVE is ignored by today's kernels and asked for in case it is not (splice(2)). NONBLOCK concerns the pipe; the sockets
// are non-blocking by themselves. MORE would make TCP wait for a full segment.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// How a socket connects: from where, and with which options.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner<'a> {
    /// `None`: as the system says.
    pub source: Option<Source>,
    pub options: Option<&'a UpstreamSocket>,
}

/// Connects to `peer`, and waits for the answer.
///
/// # Errors
/// What setsockopt(2), bind(2) and connect(2) say: at once, or by way of SO_ERROR when the answer comes.
pub async fn connect(peer: &Peer, manner: Manner<'_>) -> io::Result<Stream> {
    begin(peer, manner)?.answered().await
}

/// A connection that may be one already.
pub struct Begun {
    fd: OwnedFd,
    is_connected: bool,
}

/// Begins to connect.
///
/// # Errors
/// As those of [`connect`], but for what is told later.
pub fn begin(peer: &Peer, manner: Manner<'_>) -> io::Result<Begun> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = |family| rustix::net::socket_with(family, SocketType::STREAM, flags, None);
    let (fd, begun) = match peer {
        Peer::Tcp(address) => {
            let fd = socket(match address {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            })?;
            // Or a small write would wait for the acknowledgement of the one before (Nagle, RFC 896): the proxy adds no delay.
            sockopt::set_tcp_nodelay(&fd, true)?;
            if let Some(options) = manner.options {
                give(&fd, options)?;
            }
            if let Some(source) = manner.source {
                bind_to(&fd, source)?;
            }
            let begun = rustix::net::connect(&fd, address);
            (fd, begun)
        }
        Peer::Unix(path) => {
            let fd = socket(AddressFamily::UNIX)?;
            if let Some(options) = manner.options {
                give(&fd, options)?;
            }
            let begun = rustix::net::connect(&fd, &SocketAddrUnix::new(path)?);
            (fd, begun)
        }
    };
    let is_connected = match begun {
        // A unix socket connects at once, or says EAGAIN where the server's backlog is full. One that is to send the first
        // bytes with its SYN has sent none yet.
        Ok(()) => true,
        Err(Errno::INPROGRESS) => false,
        Err(errno) => return Err(errno.into()),
    };
    Ok(Begun { fd, is_connected })
}

impl Begun {
    /// This side's address; `None` on a unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        local(&self.fd)
    }

    /// Waits for the answer. Must be called on the thread whose runtime will drive the socket.
    ///
    /// # Errors
    /// As those of [`connect`].
    pub async fn answered(self) -> io::Result<Stream> {
        let stream = Stream::new(self.fd)?;
        if self.is_connected {
            return Ok(stream);
        }
        let mut dialling = Dialling {
            stream: &stream,
            connected: false,
        };
        // Writable without a hang-up or an error is connected: SO_ERROR needs to be read only where it is not (connect(2)).
        let ready = stream.fd.writable().await?.ready();
        if ready.is_write_closed() || ready.is_error() {
            sockopt::socket_error(&stream.fd)??;
        }
        dialling.connected = true;
        drop(dialling);
        Ok(stream)
    }
}

fn local(fd: &impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(fd).ok()?.try_into().ok().map(canonical)
}

fn give(fd: &OwnedFd, options: &UpstreamSocket) -> io::Result<()> {
    let mut refused = change_connecting(fd, options).into_iter();
    refused.next().map_or(Ok(()), |refused| Err(refused.into()))
}

/// Whether it is this machine that could not connect: no port, descriptor or memory left, no such interface any more, or a
/// firewall of its own. That says nothing of the server.
pub fn is_our_own(error: &io::Error) -> bool {
    let has_no_source = error.kind() == io::ErrorKind::AddrNotAvailable;
    has_no_source
        || matches!(
            error.raw_os_error(),
            Some(
                libc::EADDRINUSE
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOBUFS
                    | libc::ENOMEM
                    | libc::ENODEV
                    | libc::EPERM
                    | libc::EACCES
            )
        )
}

/// Where nobody waits for a socket any more that is not known to be connected, a server that has accepted it already is told
/// with RST that nothing will come: a FIN would say that all has come.
struct Dialling<'a> {
    stream: &'a Stream,
    connected: bool,
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        if !self.connected {
            self.stream.reset_on_close();
        }
    }
}

/// Sets the options of tcp(7) that notice a dead peer. Sockets that a listening one accepts inherit them.
pub(super) fn watch_over(fd: &impl AsFd, vigilance: &Vigilance) {
    let set = || -> rustix::io::Result<()> {
        if let Some(keepalive) = vigilance.keepalive {
            sockopt::set_tcp_keepidle(fd, keepalive.idle)?;
            sockopt::set_tcp_keepintvl(fd, keepalive.interval)?;
            sockopt::set_tcp_keepcnt(fd, keepalive.count)?;
            sockopt::set_socket_keepalive(fd, true)?;
        }
        if let Some(timeout) = vigilance.user_timeout {
            let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(fd, milliseconds)?;
        }
        Ok(())
    };
    // The ranges are checked with the configuration; what is left to fail is a socket that is no TCP socket.
    let _ = set();
}

/// The same for one on which other options may be set already.
pub fn watch_otherwise(fd: &impl AsFd, vigilance: &Vigilance) {
    // A unix socket has none of these.
    let _ = sockopt::set_socket_keepalive(fd, vigilance.keepalive.is_some());
    let _ = sockopt::set_tcp_user_timeout(fd, 0);
    watch_over(fd, vigilance);
}

/// The address of a client as the kernel gave it with accept(2).
pub(super) fn client_address(address: Option<SocketAddrAny>) -> Option<SocketAddr> {
    address?.try_into().ok().map(canonical)
}

/// Addresses of IPv4 on a dual-stack socket come as `::ffff:a.b.c.d`; they are taken for what they are, once, here, so that
/// rules, limits and logs never see the mapped form.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The two ends of a connection, the second one ours.
    fn tcp() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (peer, Stream::new(ours.into()).unwrap())
    }

    fn unix() -> (UnixStream, Stream) {
        let (peer, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (peer, Stream::new(ours.into()).unwrap())
    }

    async fn peek(stream: &Stream, known: usize) -> (Vec<u8>, bool) {
        let mut buffer = [0; 64];
        let (bytes, is_all) = poll_fn(|cx| stream.poll_peek(cx, &mut buffer, known)).await.unwrap();
        (buffer[..bytes].to_vec(), is_all)
    }

    async fn receive(stream: &Stream) -> Vec<u8> {
        let mut buffer = [0; 64];
        let bytes = poll_fn(|cx| stream.poll_recv(cx, &mut buffer)).await.unwrap();
        buffer[..bytes].to_vec()
    }

    /// Bytes come in two pieces; the first four are taken, and the others are still announced.
    async fn looks_and_takes(mut peer: impl Write, ours: &Stream, finish: impl FnOnce()) {
        peer.write_all(b"he").unwrap();
        assert_eq!(peek(ours, 0).await, (b"he".to_vec(), false));
        let (looked, ()) = tokio::join!(peek(ours, 2), async { peer.write_all(b"adbody").unwrap() });
        assert_eq!(looked, (b"headbody".to_vec(), false));
        assert_eq!(peek(ours, 2).await.0, b"headbody");
        let mut head = [0; 4];
        ours.take(&mut head).unwrap();
        assert_eq!(&head, b"head");
        assert_eq!(receive(ours).await, b"body");
        finish();
        assert_eq!(peek(ours, 0).await, (Vec::new(), true));
    }

    #[tokio::test]
    async fn what_was_looked_at_is_still_there_and_what_was_not_taken_is_still_announced() {
        let (peer, ours) = tcp();
        looks_and_takes(&peer, &ours, || peer.shutdown(Shutdown::Write).unwrap()).await;
        let (peer, ours) = unix();
        looks_and_takes(&peer, &ours, || peer.shutdown(Shutdown::Write).unwrap()).await;
    }

    #[tokio::test]
    async fn no_more_is_waited_for_once_the_peer_has_finished() {
        let (mut peer, ours) = tcp();
        peer.write_all(b"he").unwrap();
        assert_eq!(peek(&ours, 0).await, (b"he".to_vec(), false));
        let (looked, ()) = tokio::join!(peek(&ours, 2), async { peer.shutdown(Shutdown::Write).unwrap() });
        assert_eq!(looked, (b"he".to_vec(), true));
    }

    #[tokio::test]
    async fn bytes_that_were_taken_tell_a_fin_from_none_as_others_do() {
        for finishes in [true, false] {
            let (mut peer, ours) = tcp();
            peer.write_all(b"headbody").unwrap();
            assert_eq!(peek(&ours, 0).await.0, b"headbody");
            ours.take(&mut [0; 4]).unwrap();
            assert_eq!(receive(&ours).await, b"body");
            if finishes {
                peer.shutdown(Shutdown::Write).unwrap();
                assert_eq!(receive(&ours).await, b"");
            }
            sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
            drop(peer);
            ours.failed().await;
            assert_eq!(ours.had_finished(&io::ErrorKind::BrokenPipe.into()), finishes);
        }
    }
}

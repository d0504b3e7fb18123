//! The two ends of a connection, driven by hand.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket, sockopt};

use crate::DEADLINE;
use crate::wait::readable;

/// Opens connections to the proxy.
pub struct Client;

impl Client {
    /// To `ip:port` or `unix:/path`, as the proxy writes its own addresses.
    #[track_caller]
    pub fn connect(address: impl fmt::Display) -> Peer {
        let address = address.to_string();
        Self::try_connect(&address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// From this address: every one of 127.0.0.0/8 is this machine's.
    #[track_caller]
    pub fn connect_from(source: impl Into<IpAddr>, address: &str) -> Peer {
        let source = SocketAddr::new(source.into(), 0);
        let address: SocketAddr = address.parse().expect("an ip and a port");
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&client, &source).unwrap_or_else(|error| panic!("{source} is not this machine's: {error}"));
        connect(&client, &address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        Self::of(TcpStream::from(client))
    }

    pub(crate) fn of(stream: TcpStream) -> Peer {
        Peer::new(Socket::Tcp(stream))
    }

    pub fn try_connect(address: impl fmt::Display) -> io::Result<Peer> {
        let address = address.to_string();
        match address.strip_prefix("unix:") {
            Some(path) => Ok(Peer::new(Socket::Unix(UnixStream::connect(path)?))),
            None => {
                let address: SocketAddr = address.parse().map_err(io::Error::other)?;
                Ok(Peer::new(Socket::Tcp(TcpStream::connect_timeout(&address, DEADLINE)?)))
            }
        }
    }
}

/// A server that does what the test says, or one of a few simple things by itself.
pub struct Upstream {
    listener: Listener,
    address: String,
    /// Connections that only keep the backlog full.
    crowd: Vec<Peer>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Upstream {
    /// On a port that the kernel chooses.
    pub fn listen() -> Self {
        Self::listen_at(Ipv4Addr::LOCALHOST)
    }

    /// The same at another address of this machine, or of the thread's network.
    pub fn listen_at(address: impl Into<IpAddr>) -> Self {
        Self::of(TcpListener::bind((address.into(), 0)).expect("a port of one's own address can be bound"))
    }

    /// Where the test has chosen the port.
    pub fn of(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a listener has an address").to_string();
        Self {
            listener: Listener::Tcp(listener),
            address,
            crowd: Vec::new(),
        }
    }

    pub fn listen_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket can be made in a folder of the test's");
        Self {
            listener: Listener::Unix(listener),
            address: format!("unix:{}", path.display()),
            crowd: Vec::new(),
        }
    }

    /// Sends back what it gets, and its end.
    pub fn echo() -> Self {
        Self::listen().serving(|mut peer| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = peer.socket.read(&mut buffer) {
                if peer.socket.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        })
    }

    /// Says its name first, so that a client sees where it was routed, and then echoes.
    pub fn named(name: &'static str) -> Self {
        Self::listen().serving(move |mut peer| {
            let mut buffer = vec![0; 64 * 1024];
            if peer.socket.write_all(name.as_bytes()).is_err() {
                return;
            }
            while let Ok(count @ 1..) = peer.socket.read(&mut buffer) {
                if peer.socket.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        })
    }

    /// Serves every connection in a thread of its own, until the test's process ends.
    pub fn serving(self, serve: impl Fn(Peer) + Clone + Send + 'static) -> Self {
        let listener = match &self.listener {
            Listener::Tcp(listener) => Listener::Tcp(listener.try_clone().expect("a descriptor is free")),
            Listener::Unix(listener) => Listener::Unix(listener.try_clone().expect("a descriptor is free")),
        };
        thread::spawn(move || {
            while let Ok(peer) = listener.accept() {
                let serve = serve.clone();
                thread::spawn(move || serve(peer));
            }
        });
        self
    }

    /// An address that answers nothing: its backlog is full, so the kernel drops every SYN. It refuses nothing either.
    pub fn unanswering() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port of 127.0.0.1 can be bound");
        listen(&listener, 0).expect("a bound socket listens");
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().expect("a listener has an address");
        let mut crowd = Vec::new();
        // A backlog of 0 holds one connection; when one more no longer gets through, it is full.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            crowd.push(Client::of(stream));
        }
        Self {
            listener: Listener::Tcp(listener),
            address: address.to_string(),
            crowd,
        }
    }

    /// From now on an [`unanswering`](Self::unanswering) one answers: at the next SYN, which the kernel sends a second after
    /// the first one.
    pub fn answer(&self) {
        while self.waiting(Duration::ZERO) {
            self.listener.accept().expect("a waiting connection can be accepted");
        }
    }

    /// An address where nobody listens. Reserved, so that nobody else begins to.
    pub fn refusing() -> (crate::ports::Port, String) {
        let port = crate::ports::Port::reserve();
        let address = format!("127.0.0.1:{}", port.number());
        (port, address)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn port(&self) -> u16 {
        self.address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("an address with a port")
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&self) -> Peer {
        loop {
            assert!(self.waiting(DEADLINE), "no connection reached {}", self.address);
            let peer = self.listener.accept().expect("a waiting connection can be accepted");
            if self.crowd.iter().all(|one| one.local != peer.remote) {
                return peer;
            }
        }
    }

    /// Whether a connection comes within that time.
    pub fn waiting(&self, within: Duration) -> bool {
        match &self.listener {
            Listener::Tcp(listener) => readable(listener, within),
            Listener::Unix(listener) => readable(listener, within),
        }
    }
}

impl AsFd for Upstream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Listener {
    fn accept(&self) -> io::Result<Peer> {
        Ok(Peer::new(match self {
            Self::Tcp(listener) => Socket::Tcp(listener.accept()?.0),
            Self::Unix(listener) => Socket::Unix(listener.accept()?.0),
        }))
    }
}

/// One end of one connection. Every read and write has [`DEADLINE`], and every failure says what was awaited.
pub struct Peer {
    socket: Socket,
    /// Both outlive the connection, for questions about it afterwards.
    local: String,
    remote: String,
    /// A write was answered with a reset. The kernel tells of it once, and reading would meet an end.
    refused: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    fn new(socket: Socket) -> Self {
        let (local, remote) = match &socket {
            Socket::Tcp(stream) => {
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let text =
                    |address: io::Result<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
                (text(stream.local_addr()), text(stream.peer_addr()))
            }
            Socket::Unix(_) => (String::new(), String::new()),
        };
        let peer = Self {
            socket,
            local,
            remote,
            refused: Arc::default(),
        };
        peer.deadline(DEADLINE);
        peer
    }

    /// This end's address; empty on a unix socket.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The other end's address, as it was when the connection began.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    pub fn deadline(&self, within: Duration) {
        let within = Some(within);
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(within).and(stream.set_write_timeout(within)),
            Socket::Unix(stream) => stream.set_read_timeout(within).and(stream.set_write_timeout(within)),
        }
        .expect("a timeout can be set");
    }

    /// A second handle of the same end, for another thread.
    pub fn another(&self) -> Self {
        let socket = match &self.socket {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone().expect("a descriptor is free")),
            Socket::Unix(stream) => Socket::Unix(stream.try_clone().expect("a descriptor is free")),
        };
        Self {
            socket,
            local: self.local.clone(),
            remote: self.remote.clone(),
            refused: Arc::clone(&self.refused),
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("sending {} bytes: {error}", bytes.len()));
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).inspect_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionReset {
                self.refused.store(true, Ordering::Relaxed);
            }
        })
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Sends as much as the other side takes, and stops when nothing has moved for a while. Returns how much that was.
    #[track_caller]
    pub fn send_until_blocked(&mut self, bytes: &[u8]) -> usize {
        self.deadline(Duration::from_millis(500));
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("sending, after {sent} bytes: {error}"),
            }
        }
        self.deadline(DEADLINE);
        sent
    }

    /// Exactly these bytes come next.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let got = self.receive(expected.len());
        assert!(
            got == expected,
            "expected {:?}, got {:?}",
            String::from_utf8_lossy(expected),
            String::from_utf8_lossy(&got)
        );
    }

    #[track_caller]
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            match self.socket.read(&mut bytes[have..]) {
                Ok(0) => panic!(
                    "ended after {have} of {count} bytes: {:?}",
                    String::from_utf8_lossy(&bytes[..have.min(200)])
                ),
                Ok(more) => have += more,
                Err(error) => panic!("after {have} of {count} bytes: {error}"),
            }
        }
        bytes
    }

    /// The same for a peer that may not answer; `None` where it ended, failed or said nothing in time.
    pub fn try_receive(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    /// Everything until the other side finishes sending.
    #[track_caller]
    pub fn receive_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.socket.read_to_end(&mut bytes) {
            panic!("after {} bytes: {error}", bytes.len());
        }
        bytes
    }

    /// The other side has finished sending, and sent nothing more before.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        let rest = self.receive_all();
        assert!(
            rest.is_empty(),
            "expected the end, got {:?}",
            String::from_utf8_lossy(&rest[..rest.len().min(200)])
        );
    }

    /// The connection is reset (RST), not finished.
    #[track_caller]
    pub fn expect_reset(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => panic!("expected a reset, got the end"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("expected a reset, got: {error}"),
            }
        }
    }

    /// The connection is over, one way or the other. Returns what came before.
    #[track_caller]
    pub fn expect_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("expected the connection to be closed, got: {error}"),
        }
        bytes
    }

    /// Nothing comes for that long. For promises that something does *not* happen; there is nothing else to wait for.
    #[track_caller]
    pub fn expect_silence(&mut self, during: Duration) {
        self.deadline(during);
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("expected nothing, got {other:?}"),
        }
        self.deadline(DEADLINE);
    }

    /// Finishes sending (FIN) and goes on receiving.
    #[track_caller]
    pub fn half_close(&mut self) {
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .expect("a connection can be half closed");
    }

    /// Throws the connection away (RST).
    pub fn reset(self) {
        sockopt::set_socket_linger(&self, Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// A small receive buffer: little fits between this peer and the proxy.
    pub fn shrink_receive_buffer(&self) {
        sockopt::set_socket_recv_buffer_size(self, 4096).expect("SO_RCVBUF");
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

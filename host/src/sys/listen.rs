//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::task::{Context, Poll, ready};

use rustix::fs::{FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with, bind, getsockname, listen, socket_with,
    sockopt,
};
use tokio::io::unix::AsyncFd;

use super::register::register;
use super::socket::change_listening;
use super::stream::{client_address, watch_over};
use super::tcp_info::accept_queue;
use crate::config::{Accept, ListenerSocket, SocketFile, Vigilance};

/// The length of the accept queue; the kernel cuts it to net.core.somaxconn (listen(2)), whose default is 4096.
const BACKLOG: i32 = 4096;

/// How many workers share a socket. Whichever of them is idle takes the next connection, so none waits behind a busy one; but
/// each new one wakes all that are idle, which many would pay for in vain.
const GROUP: usize = 4;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// `count` sockets for one TCP address, and that address with the port that the kernel chose for port 0. Some of them are
/// handles of the same one, as `accept` says; the kernel spreads new connections over the others (SO_REUSEPORT, socket(7)).
///
/// # Errors
/// What bind(2) or listen(2) says; EADDRINUSE also where the other one is a Spliceway that shares its address between its
/// own workers. [`Refused`](super::Refused) inside, where it is an option that is not taken.
pub fn listen_tcp(
    address: SocketAddr,
    count: usize,
    accept: Accept,
    vigilance: &Vigilance,
    socket: &ListenerSocket,
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    // The first one is bound without SO_REUSEPORT, so that nobody else's socket is joined, and allows it only then.
    let first = tcp_socket(address, vigilance, socket)?;
    bind(&first, &address)?;
    let bound: SocketAddr = getsockname(&first)?.try_into()?;
    let group = match accept {
        Accept::Groups => GROUP,
        Accept::PerWorker => 1,
        Accept::Shared => count,
    };
    if count > group {
        sockopt::set_socket_reuseport(&first, true)?;
    }
    let mut sockets = vec![first];
    while sockets.len() < count.div_ceil(group) {
        let next = tcp_socket(address, vigilance, socket)?;
        sockopt::set_socket_reuseport(&next, true)?;
        bind(&next, &bound)?;
        sockets.push(next);
    }
    let mut handles = Vec::with_capacity(count);
    for socket in sockets {
        listen(&socket, BACKLOG)?;
        let members = group.min(count - handles.len());
        handles.extend(shared(socket, members)?);
    }
    Ok((handles, bound))
}

fn tcp_socket(address: SocketAddr, vigilance: &Vigilance, wanted: &ListenerSocket) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
    // Connections of an earlier process that linger in TIME_WAIT do not keep this one from its port (socket(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // `[::]` means all addresses here, whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // Accepted sockets inherit it: one system call less for each connection.
    sockopt::set_tcp_nodelay(&socket, true)?;
    watch_over(&socket, vigilance);
    give(&socket, wanted)?;
    Ok(socket)
}

/// What it has otherwise stays: a service manager may have given it that.
fn give(socket: &OwnedFd, wanted: &ListenerSocket) -> io::Result<()> {
    let refused = change_listening(socket, &ListenerSocket::default(), wanted);
    refused
        .into_iter()
        .next()
        .map_or(Ok(()), |refused| Err(io::Error::other(refused)))
}

/// `count` handles of one unix socket at `path`. A socket file that nobody listens on any more is replaced; anything else
/// in its place is left alone. Nobody sees the file before it has its owner and its permissions.
///
/// # Errors
/// What bind(2) says; EADDRINUSE where somebody listens there, or where the file is no socket. EPERM where this process may
/// not give the file away.
pub fn listen_unix(path: &Path, count: usize, file: &SocketFile) -> io::Result<Vec<OwnedFd>> {
    if is_taken(path)? {
        return Err(Errno::ADDRINUSE.into());
    }
    // A short name: a path of a socket has 107 bytes at the most (unix(7)).
    let beside = path.with_file_name(format!(".{}", std::process::id()));
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    // One that an earlier process of the same number has left behind.
    let _ = rustix::fs::unlink(&beside);
    bind(&socket, &SocketAddrUnix::new(&beside)?)?;
    let moved = share(&beside, file)
        .and_then(|()| listen(&socket, BACKLOG))
        .and_then(|()| rustix::fs::rename(&beside, path));
    if let Err(errno) = moved {
        let _ = rustix::fs::unlink(&beside);
        return Err(errno.into());
    }
    shared(socket, count)
}

/// Says who may connect to the unix socket there.
///
/// # Errors
/// It is not there, or not this process's to give.
pub fn share(path: &Path, file: &SocketFile) -> rustix::io::Result<()> {
    if file.owner.or(file.group).is_some() {
        let (owner, group) = (file.owner.map(Uid::from_raw), file.group.map(Gid::from_raw));
        rustix::fs::chown(path, owner, group)?;
    }
    match file.mode {
        Some(mode) => rustix::fs::chmod(path, Mode::from_raw_mode(mode)),
        None => Ok(()),
    }
}

/// `count` handles of one socket: whoever of their owners is first takes the connection.
fn shared(socket: OwnedFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut sockets = vec![socket];
    while sockets.len() < count {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok(sockets)
}

/// Handles of sockets that were listening before this process began: at least `count`, and of each socket one at least, since a
/// client may wait at any of them. They are as ours would be, but for how they are shared among workers.
///
/// # Errors
/// One of them is no listening socket. [`Refused`](super::Refused) inside, where it is an option that is not taken.
pub fn adopt(
    sockets: Vec<OwnedFd>,
    count: usize,
    vigilance: &Vigilance,
    wanted: &ListenerSocket,
) -> io::Result<Vec<OwnedFd>> {
    for socket in &sockets {
        rustix::io::ioctl_fionbio(socket, true)?;
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
        listen(socket, BACKLOG)?;
        if sockopt::socket_domain(socket)? != AddressFamily::UNIX {
            sockopt::set_tcp_nodelay(socket, true)?;
            watch_over(socket, vigilance);
            give(socket, wanted)?;
        }
    }
    let (different, count) = (sockets.len(), count.max(sockets.len()));
    let mut handles = Vec::with_capacity(count);
    for (index, socket) in sockets.into_iter().enumerate() {
        // As evenly as it goes: the first ones have one more.
        let members = count / different + usize::from(index < count % different);
        handles.extend(shared(socket, members)?);
    }
    Ok(handles)
}

/// A handle of each socket that is among these.
pub fn distinct(handles: &[OwnedFd]) -> io::Result<Vec<OwnedFd>> {
    let mut seen = Vec::new();
    let mut distinct = Vec::new();
    for handle in handles {
        let inode = rustix::fs::fstat(handle)?.st_ino;
        if !seen.contains(&inode) {
            seen.push(inode);
            distinct.push(handle.try_clone()?);
        }
    }
    Ok(distinct)
}

/// Whether there is something at `path` that is not to be replaced. A socket that refuses connections is what a process that
/// was killed leaves behind.
fn is_taken(path: &Path) -> io::Result<bool> {
    let file = match rustix::fs::lstat(path) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    };
    if FileType::from_raw_mode(file.st_mode) != FileType::Socket {
        return Ok(true);
    }
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    Ok(rustix::net::connect(&probe, &SocketAddrUnix::new(path)?) != Err(Errno::CONNREFUSED))
}

/// A listening socket on a worker's runtime.
#[derive(Debug)]
pub struct Acceptor {
    fd: AsyncFd<OwnedFd>,
}

impl Acceptor {
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        register(fd).map(|fd| Self { fd })
    }

    /// The next connection: a non-blocking socket, and where it comes from (`None` on a unix socket).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(OwnedFd, Option<SocketAddr>)>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            match self.waiting()? {
                Some(accepted) => return Poll::Ready(Ok(accepted)),
                None => ready.clear_ready(),
            }
        }
    }

    /// How many wait already, or as many as can: a unix socket does not tell.
    pub fn count_waiting(&self) -> usize {
        accept_queue(&self.fd).unwrap_or(BACKLOG as usize)
    }

    /// One that waits already, `None` where there is none. The kernel is asked: the runtime may not have heard of it yet.
    pub fn waiting(&self) -> io::Result<Option<(OwnedFd, Option<SocketAddr>)>> {
        loop {
            match acceptfrom_with(&self.fd, FLAGS) {
                Ok((socket, address)) => return Ok(Some((socket, client_address(address)))),
                Err(Errno::AGAIN) => return Ok(None),
                // A client that was gone before it was accepted; the next one may wait behind it (accept(2)).
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults::VIGILANCE;

    fn none() -> ListenerSocket {
        ListenerSocket::default()
    }

    #[test]
    fn an_address_that_is_shared_between_workers_is_still_in_use_for_others() {
        for (accept, different) in [(Accept::PerWorker, 6), (Accept::Groups, 2), (Accept::Shared, 1)] {
            let listen = |address, count| listen_tcp(address, count, accept, &VIGILANCE, &none());
            let (sockets, bound) = listen("127.0.0.1:0".parse().unwrap(), 6).unwrap();
            assert_eq!(sockets.len(), 6);
            let inode = |socket: &OwnedFd| rustix::fs::fstat(socket).unwrap().st_ino;
            let inodes: std::collections::HashSet<_> = sockets.iter().map(inode).collect();
            assert_eq!(inodes.len(), different);
            assert_eq!(listen(bound, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn every_socket_that_is_adopted_has_somebody_who_accepts() {
        let inode = |socket: &OwnedFd| rustix::fs::fstat(socket).unwrap().st_ino;
        for (had, wanted, handles) in [(1, 3, 3), (3, 1, 3), (2, 5, 5), (4, 4, 4)] {
            let address = "127.0.0.1:0".parse().unwrap();
            let (sockets, _) = listen_tcp(address, had, Accept::PerWorker, &VIGILANCE, &none()).unwrap();
            let adopted = adopt(distinct(&sockets).unwrap(), wanted, &VIGILANCE, &none()).unwrap();
            assert_eq!(adopted.len(), handles);
            assert_eq!(distinct(&adopted).unwrap().len(), had);
            let first: Vec<_> = adopted.iter().map(inode).collect();
            assert!(sockets.iter().all(|socket| first.contains(&inode(socket))));
        }
        let connected = std::os::unix::net::UnixStream::pair().unwrap().0;
        assert!(adopt(vec![connected.into()], 1, &VIGILANCE, &none()).is_err());
    }

    #[test]
    fn a_socket_file_left_behind_is_replaced_and_one_in_use_is_not() {
        let directory = std::env::temp_dir().join(format!("spliceway-listen-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        let file = SocketFile {
            mode: Some(0o600),
            ..SocketFile::default()
        };
        let sockets = listen_unix(&path, 1, &file).unwrap();
        let mode = rustix::fs::stat(&path).unwrap().st_mode;
        assert_eq!(Mode::from_raw_mode(mode), Mode::from_raw_mode(0o600));
        let again = listen_unix(&path, 1, &file);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        listen_unix(&path, 2, &file).unwrap();
        std::fs::write(directory.join("file"), "").unwrap();
        assert!(listen_unix(&directory.join("file"), 1, &file).is_err());
        // Nothing is left beside them.
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

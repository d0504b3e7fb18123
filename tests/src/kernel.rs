//! What the kernel says of TCP connections, of whatever process: /proc/net/tcp (proc(5)), and the sockets themselves.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::Peer;

/// A line of the table: one end of a connection, or a listening socket.
#[derive(Debug)]
pub struct Connection {
    pub local: u16,
    pub remote: u16,
    pub state: State,
    /// Bytes that came and that its process has not read.
    pub unread: u64,
    /// By which /proc/PID/fd names it; 0 where no process has it open any more.
    pub inode: u64,
}

/// Those that somebody asks for (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A SYN was sent and not answered.
    SynSent,
    /// The end of this side's stream has been acknowledged.
    FinWait2,
    Listen,
    Other,
}

/// All of them, in the network namespace of the calling thread, which may be another one than the process's.
pub fn connections() -> Vec<Connection> {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    let text = tables
        .map(|table| fs::read_to_string(table).unwrap_or_default())
        .concat();
    text.lines().filter_map(connection).collect()
}

/// The numbers of a process's open descriptors.
pub fn descriptors(process: Pid) -> Vec<i32> {
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let entries = fs::read_dir(folder).expect("a running process has descriptors");
    let mut numbers: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The process's own end of its connection with that peer, borrowed while it lives. `None` where this user may not.
pub fn socket_with(process: Pid, peer: &Peer) -> Option<OwnedFd> {
    let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
    descriptors(process).into_iter().find_map(|number| {
        let socket = pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()).ok()?;
        let other: SocketAddr = rustix::net::getpeername(&socket).ok()??.try_into().ok()?;
        (other.to_string() == peer.local()).then_some(socket)
    })
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode`, mostly in hexadecimal.
fn connection(line: &str) -> Option<Connection> {
    let behind_colon = |word: &str| u64::from_str_radix(word.rsplit(':').next()?, 16).ok();
    let mut words = line.split_whitespace().skip(1);
    Some(Connection {
        local: behind_colon(words.next()?)? as u16,
        remote: behind_colon(words.next()?)? as u16,
        state: match words.next()? {
            "02" => State::SynSent,
            "05" => State::FinWait2,
            "0A" => State::Listen,
            _ => State::Other,
        },
        unread: behind_colon(words.next()?)?,
        inode: words.nth(4)?.parse().ok()?,
    })
}

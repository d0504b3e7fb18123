//! What the kernel says of TCP connections, of whatever process: /proc/net/tcp (proc(5)).

use std::fs;

/// A line of the table: one end of a connection, or a listening socket.
#[derive(Debug)]
pub struct Connection {
    pub local: u16,
    pub remote: u16,
    pub state: State,
    /// Bytes that were received and not read.
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

//! `treatment.capture`: which bytes of connections are written down, and where.

use std::path::PathBuf;
use std::time::Duration;

/// Connections are written to files while they go on, or when they have ended badly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureConfig {
    pub files: CaptureFiles,
    pub legs: CaptureLegs,
    /// Bytes that are kept of each record: of what was read, or written, at once. 0 to 64 KiB.
    pub snap: usize,
    /// How long one connection is captured; `None`: to its end.
    pub longest: Option<Duration>,
    /// How many bytes are kept of one connection: the first ones, or the last ones where only those that end badly are written.
    /// `None` is all of them.
    pub bytes: Option<u64>,
    /// Of the connections that it applies to, in hundredths: 0 to 100.
    pub share: u32,
    /// Which of them are written in the end; `None`: all.
    pub only: Option<CaptureOnly>,
}

/// Where captures go. Those that have the same share the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureFiles {
    /// It exists already. What is in it tells what clients have said: who may read it is its owner's business.
    pub directory: PathBuf,
    pub format: CaptureFormat,
    /// Bytes of one file at the most.
    pub size: u64,
    /// Files that are kept: the oldest makes room.
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureFormat {
    /// For Wireshark, tshark, tcpdump and the like.
    #[default]
    Pcapng,
    /// A line for each record, with its bytes as text.
    Text,
    /// A line for each record, and a dump of its bytes below it.
    Hex,
}

/// Which of a connection's sockets, and directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureLegs {
    #[default]
    Both,
    Client,
    Upstream,
    /// What is sent to the server, and to the client: what came out of filters.
    Filtered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureOnly {
    /// Connections whose outcome is any but `finished`.
    Abnormal,
}

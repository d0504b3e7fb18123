//! What sockets are given besides what all have, as it is meant. `None` and `false` leave it to the system.

use std::time::Duration;

/// Of a socket that leads to clients, or to servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketOptions {
    /// Bytes that it keeps of what has come and was not read (SO_RCVBUF), 4 KiB to 1 GiB. The kernel doubles it, for what
    /// it needs itself.
    pub receive_buffer: Option<u32>,
    /// The same of what was written and has not arrived (SO_SNDBUF).
    pub send_buffer: Option<u32>,
    /// By its name in the kernel (TCP_CONGESTION).
    pub congestion_control: Option<String>,
    /// Bytes that wait to be sent for the first time, beyond which it takes no more (TCP_NOTSENT_LOWAT), 1 KiB to 1 GiB.
    pub notsent_lowat: Option<u32>,
    /// The class of its packets (RFC 2474), 0 to 63.
    pub dscp: Option<u8>,
    /// Of its packets, for rules of this machine (SO_MARK).
    pub mark: Option<u32>,
    /// The network interface that its packets go by (SO_BINDTODEVICE).
    pub device: Option<String>,
    /// Bytes of a segment at the most (TCP_MAXSEG), 88 to 32 767.
    pub mss: Option<u16>,
    /// Whether its address may be one that this machine does not have (IP_FREEBIND).
    pub freebind: bool,
}

/// Of a listening socket. Accepted ones inherit it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenerSocket {
    pub options: SocketOptions,
    /// How long a client that says nothing is not told of (TCP_DEFER_ACCEPT), 1 to 60 whole seconds.
    pub defer_accept: Option<Duration>,
    /// How many clients may wait that have sent bytes before they are known to be there (TCP_FASTOPEN), 1 to 65 535.
    pub fast_open: Option<u16>,
    /// Whether it takes connections to addresses that are not this machine's (IP_TRANSPARENT).
    pub is_transparent: bool,
}

/// Of a socket that connects to a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamSocket {
    pub options: SocketOptions,
    /// Whether the first bytes go with the SYN, where the server is known to take them (TCP_FASTOPEN_CONNECT).
    pub fast_open: bool,
}

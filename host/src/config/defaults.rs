//! Every default, with the reason for its number.

use std::time::Duration;

use super::{AtLimit, Drain, FilterLimits, Keepalive, Limits, Timeouts, Vigilance};

/// The file that `run` and `check` read where none is named.
pub const CONFIG_FILE: &str = "spliceway.toml";

pub const TIMEOUTS: Timeouts = Timeouts {
    // Long enough for one lost SYN (retransmitted after 1 s) and a second one (after 3 s); far from the kernel's own 127 s.
    connect: Some(Duration::from_secs(5)),
    // A client's first bytes come within a round trip; one lost packet costs at least 1 s more, two cost 3 s.
    route: Some(Duration::from_secs(5)),
    // A server may have nothing to say until it is asked, and a client may take its time to ask.
    first_byte: None,
    // Envoy's default: without any, a peer that vanished would hold its connection for ever.
    idle: Some(Duration::from_secs(3600)),
    // Below the 60 s after which netfilter forgets a connection in CLOSE_WAIT (nf_conntrack_tcp_timeout_close_wait): what
    // comes later than that would meet a firewall that drops it.
    half_closed: Some(Duration::from_secs(50)),
    // Longer than a person's pause in a pager or a client's pause for backpressure; a third of the 15 min or so in which the
    // kernel gives up a peer that acknowledges nothing (tcp_retries2), of which a peer that takes nothing is the twin.
    stall: Some(Duration::from_secs(300)),
    // Connections that work are nobody's business.
    lifetime: None,
};

/// A silent peer that is gone is noticed within two minutes: one to notice the silence, one of probes, which the loss of a few
/// packets does not fool. Most NATs and load balancers keep silent connections for longer than the first minute.
pub const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(10),
    count: 6,
};

pub const VIGILANCE: Vigilance = Vigilance {
    keepalive: Some(KEEPALIVE),
    // Keepalive says nothing while sent bytes are unacknowledged; then the system's tcp_retries2 does, after 15 minutes or so.
    // A shorter time cannot be a default: it would also cut off a peer that is there and only reads nothing for as long, and
    // the kernel takes it instead of keepalive's `count` (`tcp_keepalive_timer` in net/ipv4/tcp_timer.c).
    user_timeout: None,
};

pub const LIMITS: Limits = Limits {
    connections: None,
    connections_per_client: None,
    rate: None,
    rate_per_client: None,
    // What a provider gives to one customer at least (RFC 6177): fewer bits would take neighbours for one client, more would
    // give one client more than one share.
    ipv6_prefix: 64,
    // Bursts are served a little later; who waits longer than this has given up.
    at_limit: AtLimit::Queue(Duration::from_secs(5)),
};

/// Within the 30 s that Kubernetes and systemd's relatives wait between SIGTERM and SIGKILL.
pub const DRAIN: Drain = Drain {
    // Time for what is being asked to be answered.
    soft: Some(Duration::from_secs(10)),
    // Clients that reconnect do not come all at once.
    spread: Duration::from_secs(10),
    hard: Some(Duration::from_secs(25)),
};

pub const FILTER_LIMITS: FilterLimits = FilterLimits {
    // Sixteen times what the SDK's allocator starts with twice over: room for tables, none for a leak that matters.
    memory: 16 << 20,
    // A call normally takes under a microsecond; a worker that stands still for longer than this is noticed by clients.
    call: Duration::from_millis(20),
    // Parsing a large configuration, compiling its patterns: off the data path, so it may take its time.
    init: Duration::from_secs(1),
};

/// An instance for each connection: a trap, a leak or a loop costs one of them (8 µs and 30 KiB each).
pub const SESSIONS_PER_INSTANCE: u32 = 1;

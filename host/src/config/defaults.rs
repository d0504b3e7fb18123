//! Every default, with the reason for its number.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{
    AtLimit, Canary, Detection, Discovery, Drain, FilterLimits, Grant, Health, Keepalive, Limits, Passive, Quarantine,
    Queue, Resolver, Retire, Retries, Timeouts, TlsVersion, Vigilance,
};

/// The file that `run` and `check` read where none is named.
pub const CONFIG_FILE: &str = "spliceway.toml";

/// Where orders are given, and where `ctl` gives them: `/run` is gone with a restart, as the process is (hier(7)).
pub const ADMIN_SOCKET: &str = "/run/spliceway/admin.sock";
pub const ADMIN_ADDRESS: &str = "unix:/run/spliceway/admin.sock";

/// Where Toxiproxy's clients look for it.
pub const TOXIPROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8474);
pub const TOXIPROXY_ADDRESS: &str = "127.0.0.1:8474";

/// Whoever gives orders can end every connection: that is the owner of the process, and root, unless the file says more.
pub const ADMIN_SOCKET_MODE: u32 = 0o600;
/// Where the package's unit makes a directory for it (RuntimeDirectory, systemd.exec(5)).
pub const UPGRADE_SOCKET: &str = "/run/spliceway/upgrade.sock";

/// A dozen filters compile within ten seconds on one slow core; and whoever types the command waits.
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);

/// An upgrade cuts nobody off that the operator did not ask it to.
pub const UPGRADE_LINGER: Option<Duration> = None;

/// Of a hundred connections, where a collector is told of them.
pub const TRACES: u32 = 100;

/// Of a hundred connections that are to be mirrored.
pub const MIRROR_SHARE: u32 = 100;

/// What a bulk transfer of 10 Gbit/s is in the 3 ms that a busy machine may need to run a program, and what a thousand
/// connections may keep without taking all of a small machine.
pub const MIRROR_LAG: usize = 4 << 20;

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

/// Whoever forgets the header in the proxy in front would otherwise see that proxy's address for every client's, and no error.
pub const PROXY_IN_REQUIRED: bool = true;

/// The header is the first thing that a proxy sends: it takes a round trip, and a second more for a lost packet.
pub const PROXY_IN_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses and every TLV that is registered take less than 1 KiB, unless there is a client's certificate: 1 KiB to 2 KiB.
pub const PROXY_IN_LONGEST: u64 = 4 << 10;

/// Within the 30 s that Kubernetes and systemd's relatives wait between SIGTERM and SIGKILL.
pub const DRAIN: Drain = Drain {
    // Time for what is being asked to be answered.
    soft: Some(Duration::from_secs(10)),
    // Clients that reconnect do not come all at once.
    spread: Duration::from_secs(10),
    hard: Some(Duration::from_secs(25)),
};

pub const RETRIES: Retries = Retries {
    // HAProxy's: one server that has just gone, and one more.
    count: 3,
    // Where every connection fails, trying again only adds to the load that may be the reason (Google's SRE book, chapter 22).
    // One for each connection covers a group of which half has just gone, until a check notices.
    budget: 100,
};

pub const QUEUE: Queue = Queue {
    // What waits costs a descriptor and two KiB.
    length: 1_024,
    // As `AtLimit::Queue`: who waits longer has given up.
    timeout: Duration::from_secs(5),
};

pub const HEALTH: Health = Health {
    // HAProxy's intervals, and a server that hangs is noticed as one that refuses is.
    interval: Duration::from_secs(2),
    fast_interval: Duration::from_secs(1),
    // Shorter than both: a check ends before the next one begins.
    timeout: Duration::from_millis(900),
    // One lost packet is no death, and one answer no recovery.
    rise: 2,
    fall: 3,
    send: Vec::new(),
    expect: Vec::new(),
    port: None,
    // Who has not been asked is not known to live (haproxy#51).
    starts_up: false,
};

pub const PASSIVE: Passive = Passive {
    // Envoy's.
    failures: 5,
    ejection: Duration::from_secs(10),
    longest_ejection: Duration::from_secs(300),
};

pub const DISCOVERY: Discovery = Discovery {
    must_resolve: true,
    // A time to live of 0 must not become a query for each connection.
    shortest: Duration::from_secs(1),
    // What an operator changes should arrive within the hour that he watches.
    longest: Duration::from_secs(3600),
};

pub const RESOLVER: Resolver = Resolver {
    nameservers: Vec::new(),
    // Two tries of a second: a resolver that has to ask others answers within one, mostly.
    timeout: Duration::from_secs(2),
};

pub const FILTER_LIMITS: FilterLimits = FilterLimits {
    // Sixteen times what the SDK's allocator starts with twice over: room for tables, none for a leak that matters.
    memory: 16 << 20,
    // A call normally takes under a microsecond; a worker that stands still for longer than this is noticed by clients.
    call: Duration::from_millis(20),
    // Parsing a large configuration, compiling its patterns: off the data path, so it may take its time.
    init: Duration::from_secs(1),
    // Sixteen times what it is shown in a call: room to expand, none to fill the machine.
    output: 256 << 10,
    // Far more than anybody reads, and far less than fills a disk before somebody looks.
    log_lines: 1_000,
    // More than a filter needs, and too few for one per client.
    metrics: 64,
    store_entries: 65_536,
    store_bytes: 16 << 20,
};

/// A leak is met by the watermark; a healthy instance may live.
pub const RETIRE: Retire = Retire {
    age: None,
    sessions: None,
    memory: None,
};

/// Everything that is ours: it all is about the filter's own connections. Nothing of WASI's.
pub const GRANTS: &[Grant] = &[
    Grant::Connection,
    Grant::Environment,
    Grant::Log,
    Grant::Metrics,
    Grant::Store,
    Grant::Upstreams,
];

/// What `canary = "10%"` means besides: long enough to see a working day's usual protocols, a sample that says something.
pub const CANARY: Canary = Canary {
    share: 10,
    clients: Vec::new(),
    time: Duration::from_secs(600),
    connections: 100,
    // One trap is one too many where nobody waits for the new generation.
    failures: 1,
    margin: 5,
};

/// Ten failures a minute are no accident; a server that has recovered within half a minute was not worth the change.
pub const QUARANTINE: Quarantine = Quarantine {
    failures: 10,
    within: Duration::from_secs(60),
    retry_after: Duration::from_secs(30),
};

/// An instance for each connection: a trap, a leak or a loop costs one of them (8 µs and 30 KiB each).
pub const SESSIONS_PER_INSTANCE: u32 = 1;

/// A client that speaks first has spoken by then, from nearly anywhere; one that waits for the server notices little.
pub const DETECTION: Detection = Detection {
    timeout: Duration::from_millis(500),
    // The largest ClientHello in practice; BoringSSL takes none that is larger.
    longest: 16 << 10,
    // A hello of 1 KiB cut into single bytes passes.
    records: 2048,
};

/// A handshake takes two round trips and less than a millisecond of our time.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Each takes some ten kilobytes and most of a millisecond.
pub const TLS_HANDSHAKES: u32 = 10_000;

/// What is older has been forbidden (RFC 8996).
pub const TLS_MIN_VERSION: TlsVersion = TlsVersion::V1_2;

/// Who asks for certificates mostly means to keep out those without one, and would not notice that they come in.
pub const CLIENT_AUTH_REQUIRED: bool = true;

/// Encryption to somebody unknown protects from those only who listen.
pub const TLS_VERIFY: bool = true;

/// All of what a worker reads at once.
pub const CAPTURE_SNAP: usize = 64 << 10;

/// Wireshark opens it at once, and eight of them are what any disk has.
pub const CAPTURE_FILE_SIZE: u64 = 64 << 20;
pub const CAPTURE_FILES: u32 = 8;

/// The last requests and answers of nearly any protocol; of ten thousand connections 640 MiB.
pub const CAPTURE_MEMORY: u64 = 64 << 10;

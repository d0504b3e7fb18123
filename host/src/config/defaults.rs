//! Every default, with the reason for its number.

use std::time::Duration;

use super::{FilterLimits, Timeouts};

/// The file that `run` and `check` read where none is named.
pub const CONFIG_FILE: &str = "spliceway.toml";

pub const TIMEOUTS: Timeouts = Timeouts {
    // Long enough for one lost SYN (retransmitted after 1 s) and a second one (after 3 s); far from the kernel's own 127 s.
    connect: Some(Duration::from_secs(5)),
    // A client's first bytes come within a round trip; one lost packet costs at least 1 s more, two cost 3 s.
    route: Some(Duration::from_secs(5)),
    // Envoy's default: without any, a peer that vanished would hold its connection for ever.
    idle: Some(Duration::from_secs(3600)),
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

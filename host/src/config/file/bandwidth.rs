//! `bandwidth` and `quota` of a treatment.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::rate::Rate;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{Per, ranges};

/// How fast bytes may go. Whoever shares a bandwidth gets an equal part of it while he can use it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bandwidth {
    /// From clients to servers, 1KiB/s to 1024GiB/s. Without this key: as fast as it can.
    pub up: Option<Given<Rate>>,
    /// From servers to clients, 1KiB/s to 1024GiB/s. Without this key: as fast as it can.
    pub down: Option<Given<Rate>>,
    /// Who shares it: nobody where each `connection` has its own; the connections of one `client` (an IPv4 address, a
    /// /64 of IPv6); those to which a filter gives the same `key`; `all`.
    #[schemars(extend("default" = Word::of(Per::default())))]
    pub per: Option<Given<Word<Per>>>,
    /// What may go at once after a pause, 1KiB to 1GiB. Without this key: what goes in 50ms.
    pub burst: Option<Given<Size>>,
}

impl Read for Bandwidth {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(
            value,
            "a table, as in `{ down = \"10MiB/s\", per = \"client\" }`",
            problems,
            |table| {
                let (up, down) = table.either("up", "down");
                Self {
                    up,
                    down,
                    per: table.optional("per"),
                    burst: table.optional("burst"),
                }
            },
        )
    }
}

/// How much there may be in a length of time, which begins with the first of it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// New connections, 1 to 4294967295. The next ones are closed. Without this key: any number.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub connections: Option<Given<i64>>,
    /// Bytes of both directions, 1KiB to 1048576GiB. Then connections end. Without this key: any number.
    pub bytes: Option<Given<Size>>,
    /// The length of time, 1s to 8760h.
    pub every: Given<Period>,
    /// Whose it is: of each `connection`, `client` or `key`, or of `all`.
    pub per: Given<Word<Per>>,
}

impl Read for Quota {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(
            value,
            "a table, as in `{ bytes = \"10GiB\", every = \"24h\", per = \"client\" }`",
            problems,
            |table| {
                let (connections, bytes) = table.either("connections", "bytes");
                Self {
                    connections,
                    bytes,
                    every: table.required("every"),
                    per: table.required("per"),
                }
            },
        )
    }
}

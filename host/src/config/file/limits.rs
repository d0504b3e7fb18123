//! `[limits]`, and `limits` of a listener.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::{AtLimit, defaults, ranges};

/// What clients may have. Without a number there is no limit.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Connections at once, 1 to 4294967295.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub connections: Option<Given<i64>>,
    /// Connections of one client at once, 1 to 4294967295.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub connections_per_client: Option<Given<i64>>,
    /// New connections per second, 1 to 4294967295.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub rate: Option<Given<i64>>,
    /// New connections of one client per second, 1 to 4294967295.
    #[schemars(extend("minimum" = ranges::LIMIT.start(), "maximum" = ranges::LIMIT.end()))]
    pub rate_per_client: Option<Given<i64>>,
    /// How many leading bits of an IPv6 address are one client, 1 to 128.
    #[schemars(extend(
        "default" = defaults::LIMITS.ipv6_prefix,
        "minimum" = ranges::IPV6_PREFIX.start(),
        "maximum" = ranges::IPV6_PREFIX.end(),
    ))]
    pub ipv6_prefix: Option<Given<i64>>,
    /// What becomes of a new connection at a limit: `queue(5s)` lets it wait its turn, but no longer than 5s (1ms to
    /// 1h), and then closes it with FIN; `delay` lets it wait for as long as it takes; `fin` and `rst` close it at
    /// once, with FIN or RST.
    #[schemars(extend("default" = defaults::LIMITS.at_limit.to_string()))]
    pub at_limit: Option<Given<AtLimit>>,
}

impl Read for Limits {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ connections = 1000 }`", problems, |table| {
            Self {
                connections: table.optional("connections"),
                connections_per_client: table.optional("connections-per-client"),
                rate: table.optional("rate"),
                rate_per_client: table.optional("rate-per-client"),
                ipv6_prefix: table.optional("ipv6-prefix"),
                at_limit: table.optional("at-limit"),
            }
        })
    }
}

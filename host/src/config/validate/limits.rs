//! `[limits]`, and `limits` of a listener.

use super::given::{apart, in_range, or_default, within};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{AtLimit, Limits, defaults, file, ranges};

pub fn limits(typed: file::Limits, problems: &mut Problems) -> Result<Limits, Reported> {
    let mut limit = |given: Option<Given<i64>>, default: Option<u32>| match given {
        None => Ok(default),
        Some(given) => within(given, &ranges::LIMIT, problems).map(|count| u32::try_from(count).ok()),
    };
    let connections = limit(typed.connections, defaults::LIMITS.connections);
    let connections_per_client = limit(typed.connections_per_client, defaults::LIMITS.connections_per_client);
    let rate = limit(typed.rate, defaults::LIMITS.rate);
    let rate_per_client = limit(typed.rate_per_client, defaults::LIMITS.rate_per_client);
    let default = i64::from(defaults::LIMITS.ipv6_prefix);
    let ipv6_prefix = or_default(typed.ipv6_prefix, &ranges::IPV6_PREFIX, default, problems);
    let at_limit = typed
        .at_limit
        .map_or(Ok(defaults::LIMITS.at_limit), |given| at_limit(given, problems));
    Ok(Limits {
        connections: connections?,
        connections_per_client: connections_per_client?,
        rate: rate?,
        rate_per_client: rate_per_client?,
        ipv6_prefix: ipv6_prefix.map(|bits| u8::try_from(bits).unwrap_or(u8::MAX))?,
        at_limit: at_limit?,
    })
}

fn at_limit(given: Given<AtLimit>, problems: &mut Problems) -> Result<AtLimit, Reported> {
    let (at_limit, span) = apart(given.0?);
    match at_limit {
        AtLimit::Queue(longest) => {
            let longest = in_range(Period(longest), span, &ranges::QUEUE, problems)?;
            Ok(AtLimit::Queue(longest.0))
        }
        AtLimit::Delay | AtLimit::Fin | AtLimit::Rst => Ok(at_limit),
    }
}

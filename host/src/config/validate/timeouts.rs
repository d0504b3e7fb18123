//! `timeouts` of a listener, and what an upstream changes of them.

use std::time::Duration;

use super::given::{timeout, timeout_or_default};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::Given;
use crate::config::units::Timeout;
use crate::config::{TimeoutChanges, Timeouts, defaults, file, ranges};

pub fn timeouts(typed: file::Timeouts, problems: &mut Problems) -> Result<Timeouts, Reported> {
    let mut checked = |given: Option<Given<Timeout>>, default: Option<Duration>| {
        timeout_or_default(given, &ranges::TIMEOUT, default, problems)
    };
    let connect = checked(typed.connect, defaults::TIMEOUTS.connect);
    let route = checked(typed.route, defaults::TIMEOUTS.route);
    let first_byte = checked(typed.first_byte, defaults::TIMEOUTS.first_byte);
    let idle = checked(typed.idle, defaults::TIMEOUTS.idle);
    let half_closed = checked(typed.half_closed, defaults::TIMEOUTS.half_closed);
    let stall = checked(typed.stall, defaults::TIMEOUTS.stall);
    let lifetime = checked(typed.lifetime, defaults::TIMEOUTS.lifetime);
    Ok(Timeouts {
        connect: connect?,
        route: route?,
        first_byte: first_byte?,
        idle: idle?,
        half_closed: half_closed?,
        stall: stall?,
        lifetime: lifetime?,
    })
}

pub fn timeout_changes(typed: file::TimeoutChanges, problems: &mut Problems) -> Result<TimeoutChanges, Reported> {
    let mut checked = |given: Option<Given<Timeout>>| {
        given
            .map(|given| timeout(given, &ranges::TIMEOUT, problems))
            .transpose()
    };
    let connect = checked(typed.connect);
    let first_byte = checked(typed.first_byte);
    let idle = checked(typed.idle);
    let half_closed = checked(typed.half_closed);
    let stall = checked(typed.stall);
    let lifetime = checked(typed.lifetime);
    Ok(TimeoutChanges {
        connect: connect?,
        first_byte: first_byte?,
        idle: idle?,
        half_closed: half_closed?,
        stall: stall?,
        lifetime: lifetime?,
    })
}

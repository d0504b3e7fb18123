//! `keepalive` and `user-timeout` of a listener or an upstream.

use std::time::Duration;

use super::given::{apart, in_range, or_default, timeout_or_default};
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::reader::Given;
use crate::config::units::{Period, Timeout};
use crate::config::{Keepalive, Vigilance, defaults, file, ranges};

pub fn vigilance(
    typed: Option<Given<file::Keepalive>>,
    user_timeout: Option<Given<Timeout>>,
    problems: &mut Problems,
) -> Result<Vigilance, Reported> {
    let keepalive = match typed.map(Given::value) {
        None => Ok(defaults::VIGILANCE.keepalive),
        Some(Ok(file::Keepalive::Off)) => Ok(None),
        Some(Ok(file::Keepalive::On(table))) => keepalive(table, problems).map(Some),
        Some(Err(reported)) => Err(reported),
    };
    let default = defaults::VIGILANCE.user_timeout;
    let user_timeout = timeout_or_default(user_timeout, &ranges::USER_TIMEOUT, default, problems);
    Ok(Vigilance {
        keepalive: keepalive?,
        user_timeout: user_timeout?,
    })
}

fn keepalive(typed: file::KeepaliveTable, problems: &mut Problems) -> Result<Keepalive, Reported> {
    let idle = seconds(typed.idle, defaults::KEEPALIVE.idle, problems);
    let interval = seconds(typed.interval, defaults::KEEPALIVE.interval, problems);
    let default = i64::from(defaults::KEEPALIVE.count);
    let count = or_default(typed.count, &ranges::KEEPALIVE_COUNT, default, problems);
    Ok(Keepalive {
        idle: idle?,
        interval: interval?,
        count: count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))?,
    })
}

/// The kernel would round without a word.
fn seconds(given: Option<Given<Period>>, default: Duration, problems: &mut Problems) -> Result<Duration, Reported> {
    let Some(given) = given else {
        return Ok(default);
    };
    let (period, span) = apart(given.0?);
    let Period(duration) = in_range(period, span.clone(), &ranges::KEEPALIVE, problems)?;
    if duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    let whole = Period(Duration::from_secs(duration.as_secs() + 1));
    let problem = Problem::at(span, format!("{period} is not a whole number of seconds"));
    Err(problems.report(problem.label(format!("the kernel counts in seconds here: write \"{whole}\""))))
}

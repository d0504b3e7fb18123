//! `[drain]`

use super::given::{or_default, place, timeout_or_default};
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::units::Period;
use crate::config::{Drain, defaults, file, ranges};

pub fn drain(typed: file::Drain, problems: &mut Problems) -> Result<Drain, Reported> {
    let (soft_at, hard_at) = (place(&typed.soft), place(&typed.hard));
    let soft = timeout_or_default(typed.soft, &ranges::TIMEOUT, defaults::DRAIN.soft, problems);
    let spread = or_default(typed.spread, &ranges::SPREAD, Period(defaults::DRAIN.spread), problems);
    let hard = timeout_or_default(typed.hard, &ranges::TIMEOUT, defaults::DRAIN.hard, problems);
    let drain = Drain {
        soft: soft?,
        spread: spread?.0,
        hard: hard?,
    };
    match out_of_order(&drain, soft_at, hard_at) {
        Some(problem) => Err(problems.report(problem)),
        None => Ok(drain),
    }
}

/// Where all connections are ended before the idle ones, the time for those does nothing. One of the two may be a
/// default that nobody thought of.
fn out_of_order(drain: &Drain, soft_at: Option<Span>, hard_at: Option<Span>) -> Option<Problem> {
    let (soft, hard) = (Period(drain.soft?), Period(drain.hard?));
    if soft < hard {
        return None;
    }
    let what = "`hard` is not later than `soft`";
    match (soft_at, hard_at) {
        (Some(soft_at), Some(hard_at)) => {
            let problem = Problem::at(hard_at, what).label(format!("expected more than {soft}, or \"0\" for never"));
            Some(problem.related(soft_at, "`soft` is here"))
        }
        (None, Some(at)) => {
            Some(Problem::at(at, what).label(format!("expected more than {soft}, the default of `soft`")))
        }
        (Some(at), None) => {
            Some(Problem::at(at, what).label(format!("expected less than {hard}, the default of `hard`")))
        }
        // The defaults are in order.
        (None, None) => None,
    }
}

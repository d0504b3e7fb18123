//! `passive` of an upstream.

use super::given::{count_or_default, or_default, place};
use super::order::Length;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::units::Period;
use crate::config::{Passive, defaults, file, ranges};

pub fn passive(typed: file::Passive, problems: &mut Problems) -> Result<Passive, Reported> {
    let (first_at, longest_at) = (place(&typed.ejection), place(&typed.longest_ejection));
    let failures = count_or_default(typed.failures, &ranges::FAILURES, defaults::PASSIVE.failures, problems);
    let range = &ranges::EJECTION;
    let first = or_default(typed.ejection, range, Period(defaults::PASSIVE.ejection), problems);
    let default = Period(defaults::PASSIVE.longest_ejection);
    let longest = or_default(typed.longest_ejection, range, default, problems);
    let first = Length {
        key: "ejection",
        time: first?.0,
        at: first_at,
    };
    let longest = Length {
        key: "longest-ejection",
        time: longest?.0,
        at: longest_at,
    };
    first.at_most(&longest, problems)?;
    Ok(Passive {
        failures: failures?,
        ejection: first.time,
        longest_ejection: longest.time,
    })
}

//! `passive` of an upstream.

use super::given::count_or_default;
use super::order::Length;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::{Passive, defaults, file, ranges};

pub fn passive(typed: file::Passive, problems: &mut Problems) -> Result<Passive, Reported> {
    let failures = count_or_default(typed.failures, &ranges::FAILURES, defaults::PASSIVE.failures, problems);
    let range = &ranges::EJECTION;
    let first = Length::of("ejection", typed.ejection, range, defaults::PASSIVE.ejection, problems);
    let default = defaults::PASSIVE.longest_ejection;
    let longest = Length::of("longest-ejection", typed.longest_ejection, range, default, problems);
    let (first, longest) = (first?, longest?);
    first.at_most(&longest, problems)?;
    Ok(Passive {
        failures: failures?,
        ejection: first.time,
        longest_ejection: longest.time,
    })
}

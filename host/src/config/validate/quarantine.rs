//! `quarantine` of a filter.

use super::canary::count_or_default;
use super::given::or_default;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Quarantine, defaults, file, ranges};

pub fn quarantine(
    given: Option<Given<file::Quarantine>>,
    problems: &mut Problems,
) -> Result<Option<Quarantine>, Reported> {
    let typed = match given.map(Given::value).transpose()? {
        None => return Ok(Some(defaults::QUARANTINE)),
        Some(file::Quarantine::Off) => return Ok(None),
        Some(file::Quarantine::On(table)) => table,
    };
    let default = defaults::QUARANTINE;
    let failures = count_or_default(typed.failures, &ranges::FAILURES, default.failures, problems);
    let within = or_default(typed.within, &ranges::EJECTION, Period(default.within), problems);
    let (range, retry_after) = (&ranges::RETRY_AFTER, Period(default.retry_after));
    let retry_after = or_default(typed.retry_after, range, retry_after, problems);
    Ok(Some(Quarantine {
        failures: failures?,
        within: within?.0,
        retry_after: retry_after?.0,
    }))
}

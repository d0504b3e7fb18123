//! `detection` of a listener.

use super::given::{count_or_default, or_default};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::units::{Period, Size};
use crate::config::{Detection, defaults, file, ranges};

pub fn detection(typed: file::Detection, problems: &mut Problems) -> Result<Detection, Reported> {
    let Detection {
        timeout,
        longest,
        records,
    } = defaults::DETECTION;
    let timeout = or_default(typed.timeout, &ranges::DETECTION, Period(timeout), problems);
    let longest = or_default(
        typed.max_bytes,
        &ranges::DETECTION_LONGEST,
        Size(longest as u64),
        problems,
    );
    let records = count_or_default(typed.max_records, &ranges::DETECTION_RECORDS, records, problems);
    Ok(Detection {
        timeout: timeout?.0,
        longest: longest.map(|Size(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX))?,
        records: records?,
    })
}

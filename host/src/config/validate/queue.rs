//! `queue` of an upstream.

use super::given::{count_or_default, or_default};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::units::Period;
use crate::config::{Queue, defaults, file, ranges};

pub fn queue(typed: file::Queue, problems: &mut Problems) -> Result<Queue, Reported> {
    let length = count_or_default(typed.length, &ranges::QUEUE_LENGTH, defaults::QUEUE.length, problems);
    let timeout = or_default(typed.timeout, &ranges::QUEUE, Period(defaults::QUEUE.timeout), problems);
    Ok(Queue {
        length: length?,
        timeout: timeout?.0,
    })
}

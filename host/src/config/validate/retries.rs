//! `retries` of an upstream.

use super::given::{count_or_default, or_default};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::{Retries, defaults, file, ranges};

pub fn retries(given: Option<Given<file::Retries>>, problems: &mut Problems) -> Result<Retries, Reported> {
    let typed = match given.map(Given::value).transpose()? {
        None => file::RetriesTable::default(),
        Some(file::Retries::Count(count)) => file::RetriesTable {
            count: Some(count),
            budget: None,
        },
        Some(file::Retries::Table(table)) => table,
    };
    let count = count_or_default(typed.count, &ranges::RETRIES, defaults::RETRIES.count, problems);
    let default = Percentage(defaults::RETRIES.budget);
    let budget = or_default(typed.budget, &ranges::RETRY_BUDGET, default, problems);
    Ok(Retries {
        count: count?,
        budget: budget?.0,
    })
}

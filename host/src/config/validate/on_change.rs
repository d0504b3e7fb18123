//! `on-change` of a listener, a route and an upstream.

use super::given::{apart, in_range};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::file::Fate;
use crate::config::reader::Given;
use crate::config::{OnChange, file, ranges};

pub fn on_change(given: Option<Given<file::OnChange>>, problems: &mut Problems) -> Result<OnChange, Reported> {
    let Some(given) = given else {
        return Ok(OnChange::default());
    };
    Ok(match given.value()? {
        file::OnChange::Word(word) => match word.0 {
            Fate::Keep => OnChange::Keep,
            Fate::Kill => OnChange::Kill,
        },
        file::OnChange::Table(table) => {
            let (period, span) = apart(table.drain.0?);
            OnChange::Drain(in_range(period, span, &ranges::TIMEOUT, problems)?.0)
        }
    })
}

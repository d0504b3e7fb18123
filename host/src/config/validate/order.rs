//! Lengths of time in one table of which one has to be longer than another.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::given::{or_default, place};
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::reader::Given;
use crate::config::units::Period;

/// A length of time in its range: what was typed, or a default that perhaps nobody thought of.
pub struct Length {
    pub key: &'static str,
    pub time: Duration,
    /// `None` for the default.
    pub at: Option<Span>,
}

impl Length {
    pub fn of(
        key: &'static str,
        given: Option<Given<Period>>,
        range: &RangeInclusive<Period>,
        default: Duration,
        problems: &mut Problems,
    ) -> Result<Self, Reported> {
        let at = place(&given);
        let time = or_default(given, range, Period(default), problems)?.0;
        Ok(Self { key, time, at })
    }

    pub fn shorter_than(&self, other: &Self, problems: &mut Problems) -> Result<(), Reported> {
        if self.time < other.time {
            return Ok(());
        }
        self.report(other, "is not shorter than", ["less than", "more than"], problems)
    }

    pub fn at_most(&self, other: &Self, problems: &mut Problems) -> Result<(), Reported> {
        if self.time <= other.time {
            return Ok(());
        }
        self.report(other, "is longer than", ["at most", "at least"], problems)
    }

    fn report(
        &self,
        other: &Self,
        relation: &str,
        [below, above]: [&str; 2],
        problems: &mut Problems,
    ) -> Result<(), Reported> {
        let what = format!("`{}` {relation} `{}`", self.key, other.key);
        let (time, longer) = (Period(self.time), Period(other.time));
        let problem = match (&self.at, &other.at) {
            (Some(at), Some(related)) => Problem::at(at.clone(), what)
                .label(format!("expected {below} {longer}"))
                .related(related.clone(), format!("`{}` is here", other.key)),
            (Some(at), None) => {
                let label = format!("expected {below} {longer}, the default of `{}`", other.key);
                Problem::at(at.clone(), what).label(label)
            }
            (None, Some(at)) => {
                let label = format!("expected {above} {time}, the default of `{}`", self.key);
                Problem::at(at.clone(), what).label(label)
            }
            // The defaults are in order.
            (None, None) => return Ok(()),
        };
        Err(problems.report(problem))
    }
}

//! `retire` of a filter.

use super::given::{apart, in_range, timeout_or_default, within};
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::reader::Given;
use crate::config::units::Size;
use crate::config::{Retire, defaults, file, ranges};

/// `most` is what an instance's memory may grow to, if that is known.
pub fn retire(typed: file::Retire, most: Option<u64>, problems: &mut Problems) -> Result<Retire, Reported> {
    let age = timeout_or_default(typed.age, &ranges::TIMEOUT, defaults::RETIRE.age, problems);
    let sessions = typed
        .sessions
        .map(|given| within(given, &ranges::RETIRE_SESSIONS, problems));
    let memory = typed.memory.map(|given| watermark(given, most, problems));
    Ok(Retire {
        age: age?,
        sessions: sessions
            .transpose()?
            .map_or(defaults::RETIRE.sessions, |count| u64::try_from(count).ok()),
        memory: memory.transpose()?.or(defaults::RETIRE.memory),
    })
}

fn watermark(given: Given<Size>, most: Option<u64>, problems: &mut Problems) -> Result<u64, Reported> {
    let (memory, span) = apart(given.0?);
    in_range(memory, span.clone(), &ranges::MEMORY, problems)?;
    if let Some(most) = most.filter(|most| memory.0 > *most) {
        let problem = Problem::at(span, "no instance gets as much memory");
        let label = format!("expected at most {}, the `limits.memory` of this filter", Size(most));
        return Err(problems.report(problem.label(label)));
    }
    Ok(memory.0)
}

//! `source` and `pull` of a filter.

use std::path::Path;

use super::given::{apart, in_range, path};
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::file::When;
use crate::config::reader::Given;
use crate::config::reference::{Reference, SCHEME};
use crate::config::{Pull, Source, file, ranges};

pub fn source(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<Source, Reported> {
    let (typed, span) = apart(given.0?);
    if typed.starts_with(SCHEME) {
        return typed.parse::<Reference>().map(Source::Oci).map_err(|error| {
            let problem = Problem::at(span, "this is no reference to a filter in a registry");
            problems.report(problem.label(error.to_string()))
        });
    }
    if typed.contains("://") {
        let problem = Problem::at(span, "a filter comes from a file or from a registry");
        return Err(problems.report(problem.label(format!("expected {SOURCE}"))));
    }
    path(&typed, span, SOURCE, directory, problems).map(Source::File)
}

const SOURCE: &str = "a path, as in \"filters/router.wasm\", or `oci://HOST/REPOSITORY:TAG`";

/// Only what a tag means is asked for more than once.
pub fn pull(
    given: Option<Given<file::Pull>>,
    source: &Result<Source, Reported>,
    problems: &mut Problems,
) -> Result<Pull, Reported> {
    let Some(given) = given else { return Ok(Pull::default()) };
    let (typed, span) = apart(given.0?);
    let pull = match typed {
        file::Pull::Word(word) => match word.0 {
            When::IfAbsent => Pull::IfAbsent,
            When::Always => Pull::Always,
        },
        file::Pull::Table(table) => {
            let (period, span) = apart(table.every.0?);
            Pull::Every(in_range(period, span, &ranges::PULL_EVERY, problems)?.0)
        }
    };
    let why = match source {
        Ok(Source::File(_)) => "this filter is a file, which is not pulled: it is loaded when it changes",
        Ok(Source::Oci(reference)) if reference.moving_tag().is_none() && pull != Pull::IfAbsent => {
            "this filter is named by its digest, which never means another one"
        }
        Ok(Source::Oci(_)) | Err(_) => return Ok(pull),
    };
    Err(problems.report(Problem::at(span, why).label("remove this, or name the filter by `oci://HOST/REPOSITORY:TAG`")))
}

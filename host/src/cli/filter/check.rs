//! `spliceway filter check`

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::inspect::rows;
use super::page::page;
use super::subject::Subject;
use crate::cli::{FAILED, complain, say, say_error};
use crate::words::count;

#[derive(Debug, Args)]
#[command(
    after_help = "Without --config, the filter is tried with none, as a proxy would whose configuration says none.\n\n\
                  Exit codes: 0: a proxy would load it; 1: it would not; 2: the command line is wrong."
)]
pub struct Check {
    #[command(flatten)]
    subject: Subject,
}

pub fn check(Check { subject }: Check) -> ExitCode {
    let found = match subject.examine() {
        Ok(found) => found,
        Err(code) => return code,
    };
    let limits = found.limits;
    if subject.json {
        let mut answer = found.json();
        let limits = limits
            .as_typed()
            .map(|(key, value)| (key.to_owned(), Value::String(value)));
        answer["limits"] = Value::Object(limits.into_iter().collect());
        say(&format!("{answer:#}"));
    } else {
        let mut rows = rows(&found);
        rows.push((
            "limits",
            limits.as_typed().map(|(key, value)| format!("{key} {value}")).into(),
        ));
        let schema = if found.schema.is_some() {
            "yes: `spliceway filter inspect` shows it"
        } else {
            "none"
        };
        rows.push(("schema", vec![schema.to_owned()]));
        say(&format!("{}\n{}", found.file.display(), page(&rows)));
    }
    let mut problems = found.problems.clone();
    problems.extend(found.refusal.as_ref().map(|refusal| match subject.given.config {
        None => format!("{refusal}; none was given: --config says one"),
        Some(_) => refusal.clone(),
    }));
    for problem in &problems {
        say_error(&format!("error: {problem}"));
    }
    match found.is_good() {
        true => ExitCode::SUCCESS,
        false => complain(
            FAILED,
            &format!(
                "{}: {}, so that no proxy would load it",
                found.file.display(),
                count(problems.len(), "problem")
            ),
        ),
    }
}

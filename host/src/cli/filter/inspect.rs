//! `spliceway filter inspect`

use std::process::ExitCode;

use clap::Args;

use super::page::{page, short};
use super::subject::Subject;
use crate::authoring::examine::Examination;
use crate::cli::check::size;
use crate::cli::say;

#[derive(Debug, Args)]
#[command(after_help = "A file that no proxy would load is inspected, too: as far as it goes, and with the reason.")]
pub struct Inspect {
    #[command(flatten)]
    subject: Subject,
}

pub fn inspect(Inspect { subject }: Inspect) -> ExitCode {
    match subject.examine() {
        Ok(found) => {
            say(&match subject.json {
                true => format!("{:#}", found.json()),
                false => text(&found),
            });
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// What a person reads.
fn text(found: &Examination) -> String {
    let mut rows = rows(found);
    rows.push(("made by", makers(found)));
    match &found.metrics {
        Some(metrics) => {
            let names = metrics.iter().map(|[name, kind, _]| format!("{name} ({kind})"));
            rows.push(("metrics", names.collect()));
        }
        None if found.problems.is_empty() => {
            rows.push(("metrics", vec!["known with a --config that it takes".to_owned()]));
        }
        None => {}
    }
    let loads = match found.problems.as_slice() {
        [] => "yes".to_owned(),
        problems => format!("no: {}", problems.join("; ")),
    };
    rows.push(("loads", vec![loads]));
    let mut text = format!("{}: {}\n{}", found.file.display(), found.kind.name(), page(&rows));
    if let Some(schema) = &found.schema {
        text.push_str(&format!("\n\nthe schema of its configuration:\n{schema:#}"));
    }
    text
}

/// What `check` shows, too.
pub fn rows(found: &Examination) -> Vec<(&'static str, Vec<String>)> {
    let examined = &found.examined;
    let names = |names: &[String]| names.iter().map(|name| short(name)).collect();
    vec![
        ("digest", vec![found.digest.clone()]),
        ("size", vec![size(found.size)]),
        ("roles", examined.roles.iter().map(ToString::to_string).collect()),
        ("contract", examined.contracts.clone()),
        ("imports", names(&examined.imports)),
        ("exports", names(&examined.exports)),
    ]
}

fn makers(found: &Examination) -> Vec<String> {
    let tools = found.producers.values().flatten();
    tools
        .map(|(tool, version)| match version.as_str() {
            "" => tool.clone(),
            version => format!("{tool} {version}"),
        })
        .collect()
}

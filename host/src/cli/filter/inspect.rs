//! `spliceway filter inspect`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::given::{Given, component};
use super::page::{page, short};
use crate::authoring::examine::{Examination, examine};
use crate::cli::check::size;
use crate::cli::{FAILED, WRONG, complain, say};
use crate::filter::Engine;

#[derive(Debug, Args)]
#[command(after_help = "A file that no proxy would load is inspected, too: as far as it goes, and with the reason.")]
pub struct Inspect {
    /// The component's file, or the directory of a crate that was built
    #[arg(default_value = ".", value_name = "FILE|DIRECTORY")]
    file: PathBuf,

    #[command(flatten)]
    given: Given,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(asked: Inspect) -> ExitCode {
    let config = component(&asked.file).and_then(|file| asked.given.filter(&file));
    let config = match config {
        Ok(config) => config,
        Err(error) => return complain(WRONG, &error),
    };
    match Engine::new().and_then(|engine| examine(&engine, config)) {
        Ok(found) => {
            say(&match asked.json {
                true => format!("{:#}", found.json()),
                false => text(&found),
            });
            ExitCode::SUCCESS
        }
        Err(error) => complain(FAILED, &format!("{error:#}")),
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

//! `spliceway filter test`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use spliceway_transcript::{Case, Failure, Transcript, load, run};

use super::build::unbuilt;
use super::given::Given;
use super::page::took;
use crate::authoring::build::{Build, Profile, build};
use crate::authoring::transcripts::Component;
use crate::cli::{FAILED, WRONG, complain, say};
use crate::filter::{Candidate, Engine};
use crate::words::count;

#[derive(Debug, Args)]
#[command(
    after_help = "A transcript says who sends what, and what is expected then. Each of its cases is played whole, cut at every \
                  byte, in single bytes and in random pieces, and must end the same: without a network, and without waiting.\n\n\
                  Exit codes: 0: every case ended as it says; 1: one did not, or the filter does not load; 2: there is nothing \
                  to test, or the transcripts are wrong."
)]
pub struct Test {
    /// A component, or the directory of a crate, which is built first
    #[arg(default_value = ".", value_name = "FILE|DIRECTORY")]
    filter: PathBuf,

    /// The transcripts: a file, or a directory of them [default: `transcripts` of the crate, or here]
    #[arg(long, value_name = "PATH")]
    transcripts: Option<PathBuf>,

    /// Only cases whose name has this in it
    #[arg(long = "filter", value_name = "TEXT")]
    only: Option<String>,

    /// How the random pieces are drawn: as in a run before, which has said so
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    #[command(flatten)]
    given: Given,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What has come of one case.
pub struct Tested {
    pub case: Case,
    pub result: Result<usize, Failure>,
}

pub fn test(asked: Test) -> ExitCode {
    let begun = Instant::now();
    let file = match component(&asked.filter) {
        Ok(file) => file,
        Err((code, error)) => return complain(code, &error),
    };
    let path = asked.transcripts.clone().unwrap_or_else(|| beside(&asked.filter));
    let transcripts = match read(&path) {
        Ok(transcripts) => transcripts,
        Err(error) => return complain(WRONG, &error),
    };
    let cases = chosen(transcripts, asked.only.as_deref());
    if cases.is_empty() {
        let only = asked.only.as_deref().unwrap_or_default();
        return complain(
            WRONG,
            &format!("no case in {} has \"{only}\" in its name", path.display()),
        );
    }
    let seed = asked.seed.unwrap_or_else(|| fastrand::u64(..));
    let config = match asked.given.filter(&file) {
        Ok(config) => config,
        Err(error) => return complain(WRONG, &error),
    };
    let loaded = Engine::new().and_then(|engine| Candidate::load(&engine, &file, &config.grants));
    let candidate = match loaded {
        Ok(candidate) => candidate,
        Err(error) => return complain(FAILED, &format!("{}: {error:#}", file.display())),
    };
    let mut player = Component {
        candidate: &candidate,
        config,
    };
    let tested: Vec<Tested> = cases.into_iter().map(|case| play(case, &mut player, seed)).collect();
    let failed = tested.iter().filter(|tested| tested.result.is_err()).count();
    if asked.json {
        say(&format!("{:#}", summary(&tested, &file, seed)));
    } else {
        say(&report(&tested));
        let seeded = if failed == 0 {
            String::new()
        } else {
            format!("; --seed {seed} does the same again")
        };
        say(&format!(
            "{}, {failed} failed, in {}{seeded}",
            extent(tested.len(), ways(&tested)),
            took(begun.elapsed())
        ));
    }
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

fn component(path: &Path) -> Result<PathBuf, (u8, String)> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.exists() {
        let missing = format!(
            "{} is not there: expected a component's file, or a crate's directory",
            path.display()
        );
        return Err((WRONG, missing));
    }
    let built = build(&Build {
        directory: path,
        profile: Profile::Filter,
        out: None,
        aloud: true,
    });
    built
        .map(|built| built.file)
        .map_err(|error| (unbuilt(&error), format!("{error:#}")))
}

/// The transcripts of a filter for which none are named.
pub fn beside(filter: &Path) -> PathBuf {
    match filter.is_dir() && filter != Path::new(".") {
        true => filter.join("transcripts"),
        false => PathBuf::from("transcripts"),
    }
}

/// # Errors
/// There are none, or they are wrong: all of it.
pub fn read(path: &Path) -> Result<Vec<Transcript>, String> {
    if !path.exists() {
        return Err(format!(
            "there are no transcripts in {}: `spliceway filter new` makes a crate that has some to begin with, and --transcripts \
             PATH names others",
            path.display()
        ));
    }
    load(path).map_err(|error| error.to_string())
}

fn chosen(transcripts: Vec<Transcript>, only: Option<&str>) -> Vec<Case> {
    let cases = transcripts.into_iter().flat_map(|transcript| transcript.cases);
    cases
        .filter(|case| only.is_none_or(|only| case.name.contains(only)))
        .collect()
}

pub fn play(case: Case, player: &mut Component<'_>, seed: u64) -> Tested {
    let result = run(&case, player, seed).map(|count| count.variants);
    Tested { case, result }
}

/// How much was played: what failed was played until then, and does not count as a way.
fn extent(cases: usize, ways: usize) -> String {
    let cases = count(cases, "case");
    match ways {
        0 => cases,
        ways => format!("{cases}, {}", count(ways, "way")),
    }
}

pub fn ways(tested: &[Tested]) -> usize {
    tested.iter().filter_map(|tested| tested.result.as_ref().ok()).sum()
}

/// A line for each case, under the name of its file.
pub fn report(tested: &[Tested]) -> String {
    let mut report = String::new();
    let mut file = None;
    for Tested { case, result } in tested {
        if file.replace(&case.file) != Some(&case.file) {
            report.push_str(&format!("{}\n", case.file.display()));
        }
        match result {
            Ok(ways) => report.push_str(&format!("  ok    {} ({})\n", case.name, count(*ways, "way"))),
            Err(failure) => report.push_str(&failed(failure)),
        }
    }
    report.truncate(report.trim_end().len());
    report
}

pub fn failed(failure: &Failure) -> String {
    let mut text = format!(
        "  FAIL  {}\n        {}:{}, {}\n",
        failure.name,
        failure.file.display(),
        failure.line,
        failure.cut
    );
    for mismatch in &failure.mismatches {
        let lines = mismatch.to_string().replace('\n', "\n          ");
        text.push_str(&format!("        {lines}\n"));
    }
    text
}

fn summary(tested: &[Tested], file: &Path, seed: u64) -> Value {
    let case = |Tested { case, result }: &Tested| {
        let mut object = json!({ "name": case.name, "file": case.file, "line": case.line, "passed": result.is_ok() });
        match result {
            Ok(ways) => object["ways"] = (*ways).into(),
            Err(failure) => {
                object["cut"] = failure.cut.to_string().into();
                object["mismatches"] = failure.mismatches.iter().map(ToString::to_string).collect();
            }
        }
        object
    };
    json!({
        "filter": file,
        "seed": seed,
        "cases": tested.iter().map(case).collect::<Vec<_>>(),
        "failed": tested.iter().filter(|tested| tested.result.is_err()).count(),
    })
}

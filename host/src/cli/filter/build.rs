//! `spliceway filter build`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::page::{page, short, took};
use crate::authoring::build::{Build as Wanted, NoCrate, Profile, build as build_crate};
use crate::cli::check::size;
use crate::cli::{FAILED, WRONG, complain, say, say_error};
use crate::config::defaults;
use crate::filter::{Engine, examination};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0: it is built, and a proxy would load it; 1: it does not compile, or no proxy would; 2: there \
                        is no crate."
)]
pub struct Build {
    /// The crate's directory
    #[arg(default_value = ".", value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Where the component goes, instead of target/filters/NAME.wasm of the crate
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Compile in less time, to a larger and slower component
    #[arg(long)]
    quick: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The exit code where nothing was built.
pub fn unbuilt(error: &anyhow::Error) -> u8 {
    if error.is::<NoCrate>() { WRONG } else { FAILED }
}

pub fn build(asked: Build) -> ExitCode {
    let begun = Instant::now();
    let built = build_crate(&Wanted {
        directory: &asked.directory,
        profile: if asked.quick { Profile::Quick } else { Profile::Filter },
        out: asked.out.as_deref(),
        aloud: true,
    });
    let built = match built {
        Ok(built) => built,
        Err(error) => return complain(unbuilt(&error), &format!("{error:#}")),
    };
    let time = begun.elapsed();
    let examined = Engine::new().and_then(|engine| examination(&engine, &built.file, defaults::GRANTS));
    let about = match examined {
        Ok(about) => about,
        Err(error) => return complain(FAILED, &format!("{error:#}")),
    };
    let examined = about.examined;
    let names = |names: &[String]| names.iter().map(|name| short(name)).collect::<Vec<_>>();
    let (imports, exports) = (names(&examined.imports), names(&examined.exports));
    if asked.json {
        let answer = json!({
            "name": built.name,
            "file": built.file,
            "digest": about.digest.to_string(),
            "bytes": about.bytes.len(),
            "roles": examined.roles,
            "imports": examined.imports,
            "exports": examined.exports,
            "problems": examined.problems,
            "milliseconds": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        });
        say(&format!("{answer:#}"));
    } else {
        say(&format!("built {} in {}", built.file.display(), took(time)));
        let roles = examined.roles.iter().map(ToString::to_string).collect();
        say(&page(&[
            ("size", vec![size(about.bytes.len())]),
            ("roles", roles),
            ("imports", imports),
            ("exports", exports),
        ]));
    }
    if examined.problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    for problem in &examined.problems {
        say_error(&format!("error: {problem}"));
    }
    complain(FAILED, &format!("no proxy would load {}", built.file.display()))
}

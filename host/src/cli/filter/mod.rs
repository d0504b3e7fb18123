//! `spliceway filter`: everything between an empty directory and a filter that other teams run.

mod inspect;

use std::process::ExitCode;

use clap::Subcommand;

/// One command a file, each of the same name.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what a filter is: its digest, roles, imports and the schema of its configuration
    Inspect(inspect::Inspect),
}

pub fn filter(asked: Command) -> ExitCode {
    match asked {
        Command::Inspect(asked) => inspect::inspect(asked),
    }
}

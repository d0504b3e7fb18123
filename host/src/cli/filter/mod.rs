//! `spliceway filter`: everything between an empty directory and a filter that other teams run.

mod build;
mod given;
mod inspect;
mod new;
mod page;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

/// One command a file, each of the same name.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a crate: a filter that builds, with tests and a README
    New(new::New),
    /// Compile a crate to a component, and say what it is
    Build(build::Build),
    /// Play transcripts to a filter in the proxy's own engine: whole, cut at every byte, and in random pieces
    Test(test::Test),
    /// Say what a filter is: its digest, roles, imports and the schema of its configuration
    Inspect(inspect::Inspect),
}

pub fn filter(asked: Command) -> ExitCode {
    match asked {
        Command::New(asked) => new::new(asked),
        Command::Build(asked) => build::build(asked),
        Command::Test(asked) => test::test(asked),
        Command::Inspect(asked) => inspect::inspect(asked),
    }
}

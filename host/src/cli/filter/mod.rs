//! `spliceway filter`: everything between an empty directory and a filter that other teams run.

mod bench;
mod build;
mod check;
mod dev;
mod given;
mod inspect;
mod new;
mod page;
mod run;
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
    /// Say whether a proxy would load a filter, with that configuration, and everything that is wrong with it
    Check(check::Check),
    /// Play transcripts to a filter in the proxy's own engine: whole, cut at every byte, and in random pieces
    Test(test::Test),
    /// Show bytes to a filter, and say what it does with them
    Run(Box<run::Run>),
    /// Measure what a filter costs: for each call, for each connection, and in memory
    Bench(bench::Bench),
    /// Build, check, test and replace a filter in a proxy that runs, whenever its crate changes
    Dev(dev::Dev),
    /// Say what a filter is: its digest, roles, imports and the schema of its configuration
    Inspect(inspect::Inspect),
}

pub fn filter(asked: Command) -> ExitCode {
    match asked {
        Command::New(asked) => new::new(asked),
        Command::Build(asked) => build::build(asked),
        Command::Check(asked) => check::check(asked),
        Command::Test(asked) => test::test(asked),
        Command::Run(asked) => run::run(&asked),
        Command::Bench(asked) => bench::bench(asked),
        Command::Dev(asked) => dev::dev(asked),
        Command::Inspect(asked) => inspect::inspect(asked),
    }
}

//! `spliceway filter`: everything between an empty directory and a filter that other teams run.

mod bench;
mod build;
mod check;
mod dev;
mod given;
mod inspect;
mod keygen;
mod list;
mod new;
mod page;
mod pull;
mod push;
mod run;
mod sharing;
mod sign;
mod subject;
mod test;
mod verify;

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
    /// Make a pair of keys: one to sign with, and one for the configurations of those who trust it
    Keygen(keygen::Keygen),
    /// Sign a filter, in a file or in a registry
    Sign(sign::Sign),
    /// Say who has signed a filter
    Verify(verify::Verify),
    /// Publish a filter in a registry
    Push(push::Push),
    /// Get a filter from a registry into a file
    Pull(pull::Pull),
    /// Say which versions of a filter a registry has
    List(list::List),
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
        Command::Keygen(asked) => sharing::end(keygen::keygen(&asked)),
        Command::Sign(asked) => sharing::end(sign::sign(&asked)),
        Command::Verify(asked) => sharing::end(verify::verify(&asked)),
        Command::Push(asked) => sharing::end(push::push(&asked)),
        Command::Pull(asked) => sharing::end(pull::pull(&asked)),
        Command::List(asked) => sharing::end(list::list(&asked)),
    }
}

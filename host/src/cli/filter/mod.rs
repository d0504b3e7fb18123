//! `spliceway filter`: everything between an empty directory and a filter that other teams run.

mod inspect;
mod keygen;
mod list;
mod pull;
mod push;
mod sharing;
mod sign;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

/// One command a file, each of the same name.
#[derive(Debug, Subcommand)]
pub enum Command {
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
        Command::Inspect(asked) => inspect::inspect(asked),
        Command::Keygen(asked) => sharing::end(keygen::keygen(&asked)),
        Command::Sign(asked) => sharing::end(sign::sign(&asked)),
        Command::Verify(asked) => sharing::end(verify::verify(&asked)),
        Command::Push(asked) => sharing::end(push::push(&asked)),
        Command::Pull(asked) => sharing::end(pull::pull(&asked)),
        Command::List(asked) => sharing::end(list::list(&asked)),
    }
}

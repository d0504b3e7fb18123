//! `spliceway filter inspect`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{FAILED, complain, say};

#[derive(Debug, Args)]
pub struct Inspect {
    /// The component's file
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(asked: Inspect) -> ExitCode {
    match std::fs::read(&asked.file) {
        Ok(bytes) => {
            say(&format!("{} bytes", bytes.len()));
            ExitCode::SUCCESS
        }
        Err(error) => complain(FAILED, &format!("{}: {error}", asked.file.display())),
    }
}

//! A filter's file and its configuration, for the commands that say all that is known about it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::given::{Given, component};
use crate::authoring::examine::{Examination, examine};
use crate::cli::{FAILED, WRONG, complain};
use crate::filter::Engine;

#[derive(Debug, Args)]
pub struct Subject {
    /// The component's file, or the directory of a crate that was built
    #[arg(default_value = ".", value_name = "FILE|DIRECTORY")]
    file: PathBuf,

    #[command(flatten)]
    pub given: Given,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Subject {
    /// Everything about it.
    ///
    /// # Errors
    /// Nothing can be found out: why has been said, and this is the exit code.
    pub fn examine(&self) -> Result<Examination, ExitCode> {
        let config = component(&self.file).and_then(|file| self.given.filter(&file));
        let config = config.map_err(|error| complain(WRONG, &error))?;
        let found = Engine::new().and_then(|engine| examine(&engine, config));
        found.map_err(|error| complain(FAILED, &format!("{error:#}")))
    }
}

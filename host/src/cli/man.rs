//! `spliceway man`

use std::fs;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_mangen::{Man as Page, generate_to};

use super::{FAILED, complain, say};

#[derive(Debug, Args)]
#[command(after_help = "To read one at once: spliceway man | man -l -")]
pub struct Man {
    /// Where the pages go, one for each command, as in /usr/local/share/man/man1; without it, the first is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub fn man(asked: Man, command: clap::Command) -> ExitCode {
    let written = match &asked.directory {
        None => print(command),
        Some(directory) => write(command, directory),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(FAILED, &format!("cannot write the manual: {error}")),
    }
}

fn print(command: clap::Command) -> io::Result<()> {
    let mut page = Vec::new();
    Page::new(command).render(&mut page)?;
    stdout().write_all(&page)
}

fn write(command: clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    generate_to(command, directory)?;
    say(&format!("the manual is in {}", directory.display()));
    Ok(())
}

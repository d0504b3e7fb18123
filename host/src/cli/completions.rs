//! `spliceway completions`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use super::{FAILED, complain};

#[derive(Debug, Args)]
#[command(
    after_help = "For one session of bash: source <(spliceway completions bash). For all of them, put what it prints where your \
                  shell looks: ~/.local/share/bash-completion/completions/spliceway, a directory of zsh's fpath as _spliceway, \
                  ~/.config/fish/completions/spliceway.fish."
)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn completions(asked: Completions, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    generate(asked.shell, &mut command, "spliceway", &mut script);
    match stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(FAILED, &format!("cannot write to standard output: {error}")),
    }
}

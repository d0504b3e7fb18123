//! `spliceway upgrade`: another process in the place of a running one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{FAILED, WRONG, complain, load, say, say_error};
use crate::config::defaults;
use crate::handover::{Answer, ask, configuration_of};

#[derive(Debug, Args)]
#[command(
    after_help = "The running process starts the new one with its own arguments. It serves on until the new one serves; \
                        one that fails changes nothing, and is told of here. SIGUSR2 does the same, and tells the log alone."
)]
pub struct Upgrade {
    /// The configuration file of the running process, which says where it is asked
    #[arg(long, default_value = defaults::CONFIG_FILE, value_name = "FILE")]
    config: PathBuf,

    /// The number of the running process, in the place of its configuration
    #[arg(long, conflicts_with = "config", value_name = "PID")]
    pid: Option<u32>,

    /// The program to run; the one that is installed in the running one's place otherwise
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

pub fn upgrade(asked: Upgrade) -> ExitCode {
    let config = match asked.pid.map_or(Ok(asked.config), configuration_of) {
        Ok(config) => config,
        Err(error) => return complain(WRONG, &format!("{error:#}")),
    };
    let socket = match load(&config) {
        Ok(config) => config.process.upgrade_socket.path(),
        Err(code) => return code,
    };
    let Some(socket) = socket else {
        let message = format!("{} has no `upgrade-socket`: send the process SIGUSR2", config.display());
        return complain(WRONG, &message);
    };
    let binary = match asked.binary.as_deref().map(found).transpose() {
        Ok(binary) => binary,
        Err(code) => return code,
    };
    match ask(&socket, binary) {
        Ok(Answer::Upgraded { from, to, version }) => {
            say(&format!(
                "upgraded: process {to} (spliceway {version}) serves; process {from} ends with its last connection"
            ));
            ExitCode::SUCCESS
        }
        Ok(Answer::Failed { why, lines }) => {
            if !lines.is_empty() {
                say_error("The last lines of the new process:");
                lines.iter().for_each(|line| say_error(&format!("  {line}")));
            }
            complain(
                FAILED,
                &format!("not upgraded, and the running process serves on: {why}"),
            )
        }
        Err(error) => complain(FAILED, &format!("{error:#}")),
    }
}

/// Whole, since the running process stands in another directory.
fn found(binary: &Path) -> Result<PathBuf, ExitCode> {
    binary
        .canonicalize()
        .map_err(|error| complain(WRONG, &format!("--binary {}: {error}", binary.display())))
}

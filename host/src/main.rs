//! The command `spliceway`.

use std::process::ExitCode;

fn main() -> ExitCode {
    spliceway::cli::main()
}

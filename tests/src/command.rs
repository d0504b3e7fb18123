//! Running other programs, so that none outlives its test.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::wait_until_exit;

/// A command that dies with the thread that starts it.
///
/// A test that is killed (nextest ends a slow one so) runs no `Drop`. The kernel's parent-death signal covers that case
/// without a line of unsafe code here: `setpriv` asks for it and becomes the program, so the process id is the program's.
pub fn lasting(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// As [`lasting`], as another user. Only root can.
pub fn lasting_as(user: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg("--regid")
        .arg(group_of(user))
        .args(["--clear-groups", "--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

fn group_of(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a program that ended has said.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Its output, where it succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: &mut Command, within: Duration) -> Finished {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{:?}: {error} (scripts/apt-packages installs what the tests need)",
                command.get_program()
            )
        });
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait_until_exit(&mut child, within);
    if status.is_none() {
        child.kill().ok();
    }
    let finished = Finished {
        status: child.wait().expect("a child can be waited for"),
        stdout: stdout.join().expect("the reader of stdout does not panic"),
        stderr: stderr.join().expect("the reader of stderr does not panic"),
    };
    assert!(
        status.is_some(),
        "{command:?} still ran after {within:?}\n{}{}",
        finished.stdout,
        finished.stderr
    );
    finished
}

/// Runs a program while the test goes on.
pub fn beside(mut command: Command, within: Duration) -> thread::JoinHandle<Finished> {
    // Started by the thread that waits for it: it dies with the thread that started it.
    thread::spawn(move || run(&mut command, within))
}

/// The SHA-256 of what a shell command prints, by `sha256sum`: for more than a test would hold in memory.
#[track_caller]
pub fn sha256_of(shell_command: &str) -> String {
    let script = format!("set -euo pipefail; {shell_command} | sha256sum");
    let said = run(lasting("bash").args(["-c", &script]), Duration::from_secs(180)).success();
    said.split_whitespace().next().unwrap_or_default().to_owned()
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).ok();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

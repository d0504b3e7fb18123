//! A shell that a reader of a document types into, and the programs that he leaves running in other ones.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::lasting;
use crate::kernel::{State, connections};
use crate::{artifacts, eventually};

/// One bash for one document: what a command leaves behind (a variable, an open descriptor) is there for the next one.
pub struct Terminal {
    bash: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    typed: PathBuf,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    pub status: i32,
}

/// A command may compile a crate.
const PATIENCE: Duration = Duration::from_secs(300);

/// Printed after each command; no command prints it by itself.
const END: &str = "-- end of command";

impl Terminal {
    /// In this folder. `folder/bin` comes first where programs are looked for.
    #[track_caller]
    pub fn open(folder: &Path) -> Self {
        let mut bash = shell(folder)
            .args(["--norc", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash is installed");
        let mut stdin = bash.stdin.take().expect("stdin is piped");
        let stdout = bash.stdout.take().expect("stdout is piped");
        stdin.write_all(b"exec 2>&1\n").expect("bash reads");
        let (line, lines) = channel();
        thread::spawn(move || {
            for read in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    return;
                }
            }
        });
        Self {
            bash,
            stdin,
            lines,
            typed: folder.join(".typed"),
        }
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> Answer {
        fs::write(&self.typed, command).expect("a file in a folder of the test's");
        let line = format!(". {} </dev/null; printf '\\n{END} %s\\n' $?\n", self.typed.display());
        self.stdin.write_all(line.as_bytes()).expect("bash reads");
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no end of `{command}` within {PATIENCE:?}\n{}", said.join("\n"));
            };
            if let Some(status) = line.strip_prefix(END) {
                let text = said.join("\n").trim_end().to_owned();
                let status = status.trim().parse().expect("bash prints a status");
                return Answer { text, status };
            }
            said.push(line);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bash.kill().ok();
        self.bash.wait().ok();
    }
}

/// A program that goes on until it is dropped.
pub struct Running {
    child: Child,
    command: String,
    output: PathBuf,
}

impl Running {
    /// Whether a reader has to open another terminal to go on.
    pub fn stays(command: &str) -> bool {
        let mut words = command.split_whitespace();
        match (words.next(), words.next()) {
            (Some("spliceway"), Some(second)) => ["run", "forward"].contains(&second) && !command.contains("--help"),
            (Some("socat"), _) => command.contains("LISTEN:"),
            (Some("redis-server"), _) => true,
            (Some("env"), _) => command.contains(" docker-registry serve "),
            _ => false,
        }
    }

    /// Starts it, and waits until it serves: at the first of these ports that it names.
    #[track_caller]
    pub fn start(folder: &Path, number: usize, command: &str, ports: &[u16]) -> Self {
        let output = folder.join(format!(".output-{number}"));
        let file = File::create(&output).expect("a file in a folder of the test's");
        let child = shell(folder)
            .args(["-c", &format!("exec {command}")])
            .stdout(file.try_clone().expect("a descriptor is free"))
            .stderr(file)
            .spawn()
            .expect("bash is installed");
        let mut running = Self {
            child,
            command: command.to_owned(),
            output,
        };
        let place = |port: &u16| command.find(&port.to_string());
        let named = ports
            .iter()
            .filter(|port| place(port).is_some())
            .min_by_key(|port| place(port));
        let named = named.copied().filter(|_| !command.starts_with("spliceway run"));
        eventually(&format!("`{command}` serves"), || {
            if let Ok(Some(status)) = running.child.try_wait() {
                panic!("`{command}` ended with {status}\n{}", running.output());
            }
            let serves = match named {
                Some(port) => is_listening(port),
                None => running.output().contains("ready"),
            };
            serves.then_some(())
        });
        running
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("---- `{}`\n{}", self.command, self.output());
        }
    }
}

fn shell(folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = lasting("bash");
    command
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("XDG_CACHE_HOME", folder.join(".cache"))
        // The SDK of this work tree, as for whoever makes a crate in a checkout.
        .env("SPLICEWAY_SDK", artifacts::workspace().join("sdk"))
        .env("PGCONNECT_TIMEOUT", "20");
    command
}

/// Whether somebody listens there. Asked of the kernel: a connection would be one more than a test or a document makes.
pub fn is_listening(port: u16) -> bool {
    connections()
        .iter()
        .any(|one| one.local == port && one.state == State::Listen)
}

/// A folder as a reader has it who stands in the work tree after `make filters`: the examples, with these numbers in the
/// place of those ports, the built filters, and `spliceway` in `bin`.
#[track_caller]
pub fn desk(folder: &Path, numbers: &[(u16, u16)]) {
    let filters = folder.join("target/filters");
    for made in [&filters, &folder.join("bin")] {
        fs::create_dir_all(made).expect("a folder in a folder of the test's");
    }
    std::os::unix::fs::symlink(artifacts::binary(), folder.join("bin/spliceway")).expect("a link can be made");
    for (name, path) in artifacts::filters() {
        fs::copy(path, filters.join(format!("{name}.wasm"))).expect("a filter can be copied");
    }
    copy_texts(
        &artifacts::workspace().join("examples"),
        &folder.join("examples"),
        numbers,
    );
}

fn copy_texts(from: &Path, to: &Path, numbers: &[(u16, u16)]) {
    fs::create_dir_all(to).expect("a folder in a folder of the test's");
    for entry in fs::read_dir(from).expect("the examples can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_texts(&source, &target, numbers);
        } else if let Ok(text) = fs::read_to_string(&source) {
            fs::write(target, crate::document::renumbered(&text, numbers)).expect("a file can be written");
        }
    }
}

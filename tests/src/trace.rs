//! What the proxy asked the kernel for, by strace; and answers that the kernel gives seldom.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::command::lasting;
use crate::{DEADLINE, Proxy, wait_until_exit};

/// A running strace on all threads of a proxy.
pub struct Trace {
    strace: Child,
    output: NamedTempFile,
}

impl Trace {
    /// Begins to watch these system calls (a list as strace has it); `None` where strace is missing or may not.
    pub fn attach(proxy: &Proxy, calls: &str) -> Option<Self> {
        Self::attach_with(proxy, &format!("trace={calls}"))
    }

    /// Begins to answer system calls in the kernel's place, as `--inject` of strace(1) has it: `splice:error=EINVAL:when=3`
    /// is the third splice of each thread. A call that is answered so does nothing.
    pub fn inject(proxy: &Proxy, fault: &str) -> Option<Self> {
        Self::attach_with(proxy, &format!("inject={fault}"))
    }

    fn attach_with(proxy: &Proxy, expression: &str) -> Option<Self> {
        let output = NamedTempFile::new().expect("a temporary file");
        let mut strace = lasting("strace")
            .args(["-f", "-p", &proxy.pid().to_string(), "-e"])
            .arg(expression)
            .arg("-o")
            .arg(output.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let stderr = strace.stderr.take().expect("stderr is piped");
        let (said, hears) = mpsc::channel();
        // Read to the end, since strace tells of every thread and must not be stopped by a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("attached") {
                    said.send(()).ok();
                }
            }
        });
        // It says that it is attached once it is attached to all threads; where it may not, its stderr ends.
        match hears.recv_timeout(DEADLINE) {
            Ok(()) => Some(Self { strace, output }),
            Err(_) => {
                strace.kill().ok();
                strace.wait().ok();
                None
            }
        }
    }

    /// Stops watching, and returns the calls, one a line.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        // At SIGINT strace lets go of the process before it ends.
        kill_process(Pid::from_child(&self.strace), Signal::INT).expect("strace runs");
        wait_until_exit(&mut self.strace, DEADLINE).expect("strace ends in time");
        let text = fs::read_to_string(self.output.path()).expect("strace wrote its output");
        text.lines().map(str::to_owned).collect()
    }
}

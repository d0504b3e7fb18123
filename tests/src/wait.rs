//! Waiting for something, never for a while.

use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::DEADLINE;

/// Asks until there is an answer: for states that nobody announces, such as a server that begins to accept.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of a process; `None` where it still runs after that time.
pub fn wait_until_exit(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    let pid = Pid::from_child(child);
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("a child that was not waited for has a pidfd");
    readable(&process, within).then(|| child.wait().expect("a child can be waited for"))
}

/// Waits until the descriptor has something to say.
pub(crate) fn readable(descriptor: &impl AsFd, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a deadline fits a timespec");
        let mut interest = [PollFd::new(descriptor, PollFlags::IN)];
        match poll(&mut interest, Some(&timeout)) {
            Ok(ready) => return ready > 0,
            // A signal to the test process is none of ours.
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => panic!("poll: {error}"),
        }
    }
}

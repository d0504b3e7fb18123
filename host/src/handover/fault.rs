//! Faults that tests ask for, in builds with debug assertions alone: a new process that dies or stands still at a step.

#[cfg(debug_assertions)]
use std::sync::OnceLock;

#[cfg(debug_assertions)]
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

/// How far a new process has come.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Before it has said anything.
    Begun,
    /// It has the sockets.
    Inherited,
    /// It serves, and has not said so. From then on the old process may be gone, and this one is not to be.
    Serving,
}

/// Does what `SPLICEWAY_FAULT=STEP:kill`, `STEP:panic`, `STEP:hang` or `STEP:orphan` says; the last one goes on when the process
/// that has started this one is gone.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "a test asks for it")]
pub fn at(step: Step) {
    // Known from the first step on: later it may be gone already.
    static PARENT: OnceLock<Option<Pid>> = OnceLock::new();
    let parent = *PARENT.get_or_init(getppid);
    let Ok(asked) = std::env::var("SPLICEWAY_FAULT") else {
        return;
    };
    let Some((place, what)) = asked.split_once(':') else {
        return;
    };
    if place != format!("{step:?}").to_lowercase() {
        return;
    }
    match what {
        "kill" => _ = kill_process(getpid(), Signal::KILL),
        "orphan" => {
            while getppid() == parent {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
        }
        "panic" => panic!("a fault that a test has asked for"),
        _ => loop {
            std::thread::park();
        },
    }
}

#[cfg(not(debug_assertions))]
pub fn at(_: Step) {}

//! A proxy that is upgraded: the process that a test has started, and those that came after it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::command::Finished;
use crate::{Client, DEADLINE, Peer, Proxy, artifacts, spliceway};

/// An upgrade starts a process of a debug build, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy, and the processes that take its place.
pub struct Service {
    pub proxy: Proxy,
    /// For what it needs beside its configuration.
    pub folder: TempDir,
}

impl Service {
    /// `config` is made with that folder's path, and has an `upgrade-socket` there.
    #[track_caller]
    pub fn run(config: impl FnOnce(&str) -> String) -> Self {
        let folder = TempDir::with_prefix("spliceway-").expect("a temporary folder");
        let config = config(&folder.path().display().to_string());
        Self {
            proxy: Proxy::run(&config).log_level("info").start(),
            folder,
        }
    }

    pub fn address(&self, listener: &str) -> &str {
        self.proxy.listener(listener)
    }

    #[track_caller]
    pub fn connected(&self, listener: &str) -> Peer {
        connected(self.address(listener))
    }

    pub fn config_file(&self) -> PathBuf {
        self.proxy.folder().join("spliceway.toml")
    }

    pub fn config(&self) -> String {
        fs::read_to_string(self.config_file()).expect("the proxy's file")
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.config_file(), text).expect("the proxy's file");
    }

    pub fn upgrade(&self, more: &[&str]) -> Finished {
        let config = self.config_file().display().to_string();
        spliceway([&["upgrade", "--config", &config], more].concat(), PATIENCE)
    }

    #[track_caller]
    pub fn upgraded(&self) {
        let said = self.upgrade(&[]).success();
        assert!(said.contains(&format!("process {} ", self.newest())), "{said}");
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file in a folder of the test's");
        path
    }

    pub fn script(&self, name: &str, commands: &str) -> PathBuf {
        let path = self.file(name, &format!("#!/bin/sh\n{commands}\n"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
        path
    }

    /// The proxy, with a fault at a step of its upgrade.
    pub fn faulty(&self, step: &str, fault: &str) -> PathBuf {
        let program = artifacts::binary().display().to_string();
        let commands = format!("RUST_BACKTRACE=0 SPLICEWAY_FAULT={step}:{fault} exec {program} \"$@\"");
        self.script(&format!("{step}-{fault}"), &commands)
    }

    /// The one that was started last.
    pub fn newest(&self) -> u64 {
        let started = self.proxy.logged("upgrade: another process is started");
        started
            .last()
            .map_or(self.proxy.pid().into(), |event| event.number("process"))
    }

    /// The one that serves whoever comes now.
    pub fn serving(&self) -> u64 {
        let upgraded = self.proxy.logged("upgraded: another process serves");
        upgraded
            .last()
            .map_or(self.proxy.pid().into(), |event| event.number("process"))
    }

    /// The processes of this service that run.
    pub fn processes(&self) -> BTreeSet<u64> {
        let started = self.proxy.logged("upgrade: another process is started");
        let started = started.iter().map(|event| event.number("process"));
        started
            .chain([self.proxy.pid().into()])
            .filter(|process| runs(*process))
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(EndOf(self.processes().into_iter().collect()));
    }
}

/// Processes that are nobody's children any more, and are to end with the test.
pub struct EndOf(pub Vec<u64>);

impl Drop for EndOf {
    fn drop(&mut self) {
        for process in self.0.iter().filter(|process| runs(**process)) {
            kill_process(pid(*process), Signal::KILL).ok();
        }
    }
}

pub fn pid(process: u64) -> Pid {
    Pid::from_raw(process as i32).expect("the number of a process")
}

/// A process that has ended and that nobody has asked for runs no more.
pub fn runs(process: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    test_kill_process(pid(process)).is_ok() && !matches!(state, None | Some('Z' | 'X'))
}

/// How many sockets it has open.
pub fn sockets(process: u64) -> usize {
    let Ok(open) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return 0;
    };
    let is_socket = |target: PathBuf| target.to_string_lossy().starts_with("socket:");
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|target| is_socket(target.clone()))
        .count()
}

/// A connection that has been served.
#[track_caller]
pub fn connected(address: &str) -> Peer {
    let mut client = Client::connect(address);
    client.deadline(DEADLINE);
    client.send(b"hello");
    client.expect(b"hello");
    client
}

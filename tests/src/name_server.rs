//! A real name server for one zone, which a test rewrites as it goes on.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::lasting;
use crate::ports::Port;
use crate::servers::folder;
use crate::{eventually, wait_until_exit};

/// nsd, which knows `example.test` and says so with a time to live of a second.
pub struct NameServer {
    /// `None` while it is stopped.
    child: Option<Child>,
    port: Port,
    folder: TempDir,
    serial: u32,
}

impl NameServer {
    /// With these records, as they stand in a zone file: `db A 127.0.0.1`.
    #[track_caller]
    pub fn start(records: &str) -> Self {
        let mut server = Self::stopped(records);
        for _ in 0..5 {
            if server.try_run() {
                return server;
            }
            // Somebody outside of the tests was quicker.
            server.port = Port::reserve();
        }
        panic!("five ports in a row were taken by somebody else");
    }

    /// One that knows the same and is not there yet.
    pub fn stopped(records: &str) -> Self {
        let mut server = Self {
            child: None,
            port: Port::reserve(),
            folder: folder("nsd"),
            serial: 0,
        };
        server.write(records);
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The records are others from now on, or a moment later.
    pub fn change(&mut self, records: &str) {
        self.write(records);
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), Signal::HUP).expect("a child can be sent a signal");
        }
    }

    /// Nobody answers any more.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(Pid::from_child(&child), Signal::TERM).ok();
            if wait_until_exit(&mut child, Duration::from_secs(10)).is_none() {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }

    /// Answers, at the same address as before.
    #[track_caller]
    pub fn run(&mut self) {
        // Children of the one before may still hold the port for a moment.
        eventually("the name server runs", || self.try_run().then_some(()));
    }

    /// Whether it runs; not, where the port is in use.
    #[track_caller]
    fn try_run(&mut self) -> bool {
        let log = self.folder.path().join("server.log");
        let config = self.folder.path().join("nsd.conf");
        let place = self.folder.path().display();
        let port = self.port.number();
        let text = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n do-ip6: no\n username: \"\"\n chroot: \"\"\n database: \"\"\n \
             zonesdir: \"{place}\"\n pidfile: \"{place}/nsd.pid\"\n zonelistfile: \"{place}/zone.list\"\n \
             xfrdfile: \"\"\n xfrdir: \"{place}\"\n server-count: 1\n zonefiles-check: yes\n\
             remote-control:\n control-enable: no\n\
             zone:\n name: example.test\n zonefile: zone\n"
        );
        fs::write(&config, text).expect("a file in a folder of the test's");
        let output = File::create(&log).expect("a file in a folder of the test's");
        let mut child = lasting("/usr/sbin/nsd")
            .args(["-d", "-c"])
            .arg(&config)
            .stdout(output.try_clone().expect("a descriptor is free"))
            .stderr(output)
            .spawn()
            .expect("setpriv (util-linux) is installed");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let runs = eventually("the name server accepts", || match child.try_wait() {
            Ok(None) => TcpStream::connect_timeout(&address, Duration::from_secs(1))
                .is_ok()
                .then_some(true),
            _ => Some(false),
        });
        if runs {
            self.child = Some(child);
            return true;
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(
            said.contains("in use"),
            "nsd did not start (scripts/apt-packages installs what the tests need):\n{said}"
        );
        false
    }

    fn write(&mut self, records: &str) {
        self.serial += 1;
        let zone = format!(
            "$ORIGIN example.test.\n$TTL 1\n@ SOA ns hostmaster {} 60 60 3600 1\n@ NS ns\nns A 127.0.0.1\n{records}\n",
            self.serial
        );
        // At once: it may be read at any time.
        let new = self.folder.path().join("zone.new");
        fs::write(&new, zone).expect("a file in a folder of the test's");
        fs::rename(new, self.folder.path().join("zone")).expect("the folder is the test's");
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop();
    }
}

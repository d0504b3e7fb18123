//! Ports for servers that cannot be told "any port" and asked which.
//!
//! A port that the kernel chose and that we gave back may go to anybody before the server binds it. So these come from
//! below the range that the kernel chooses from, and a file lock reserves each among the tests of this machine, in
//! whatever process they run. A program outside of the tests may still take one: [`crate::servers`] then tries another.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

/// Reserved until dropped.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// # Panics
    ///
    /// Where no port is free, which means that something else is wrong.
    pub fn reserve() -> Self {
        // A folder for each user: what root has made, nobody else may write to.
        let user = rustix::process::geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("spliceway-tests-ports-{user}"));
        fs::create_dir_all(&folder).expect("the folder of the port locks can be made");
        // Another place to start for each process, so that they do not all queue for the first one.
        let first = 10_000 + (std::process::id() % 1_000) as u16 * 16;
        (first..kernels_first().max(first))
            .chain(10_000..first)
            .find_map(|number| {
                let lock = File::options()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(folder.join(number.to_string()))
                    .ok()?;
                lock.try_lock().ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self { number, _lock: lock })
            })
            .expect("a port is free")
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The first port that the kernel gives to whoever asks for any.
fn kernels_first() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

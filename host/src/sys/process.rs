//! What the process uses of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

use super::clock::process_cpu_time;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    /// Open descriptors, and how many there may be (RLIMIT_NOFILE); `None`: any number.
    pub descriptors: u64,
    pub most_descriptors: Option<u64>,
    /// In bytes.
    pub resident: u64,
    pub virtual_size: u64,
}

/// Reads /proc/self, which is zero where it is not mounted. It takes a microsecond for each ten descriptors: not for a worker.
pub fn usage() -> Usage {
    let (virtual_size, resident) = memory().unwrap_or_default();
    Usage {
        cpu: process_cpu_time(),
        descriptors: descriptors().unwrap_or_default(),
        most_descriptors: getrlimit(Resource::Nofile).current,
        resident,
        virtual_size,
    }
}

fn descriptors() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself is open while it is read.
    u64::try_from(open.saturating_sub(1)).ok()
}

/// The first two fields of proc_pid_statm(5), which are pages.
fn memory() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().map_while(|field| field.parse::<u64>().ok());
    let size = page_size() as u64;
    Some((pages.next()? * size, pages.next()? * size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let usage = usage();
        assert!(usage.descriptors >= 3, "{usage:?}");
        assert!(
            usage.resident > 1 << 20 && usage.virtual_size >= usage.resident,
            "{usage:?}"
        );
    }
}

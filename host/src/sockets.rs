//! Whether the options of sockets can be had here: tried before anybody is served, since a connection that fails for one tells
//! nobody why.

use std::fs;
use std::io;
use std::thread;

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::config::{Config, ListenAddress, ListenerConfig, ListenerSocket, UpstreamConfig};
use crate::sys::{Refused, Why, try_as_client, try_connecting, try_listening};

/// Everything that a configuration wants of sockets and that they cannot be given. `before` is what is in force, whose sockets are
/// there already.
pub fn problems(before: Option<&Config>, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    for listener in &config.listeners {
        let old = before.and_then(|before| before.listeners.iter().find(|old| old.name == listener.name));
        let old = old.filter(|old| old.address == listener.address).map(|old| &old.socket);
        problems.extend(of_listener(old.unwrap_or(&ListenerSocket::default()), listener));
    }
    problems.extend(of_upstreams(before, config));
    problems
}

/// What the sockets of a listener cannot be given, that have those options `before`.
pub fn of_listener(before: &ListenerSocket, config: &ListenerConfig) -> Vec<String> {
    let wanted = &config.socket;
    if before == wanted {
        return Vec::new();
    }
    let is_ipv6 = matches!(&config.address, ListenAddress::Socket(address) if address.is_ipv6());
    let whose = format!("listener \"{}\"", config.name);
    let mut problems = said(&whose, try_listening(is_ipv6, before, wanted));
    if wanted.fast_open.is_some() && before.fast_open.is_none() {
        problems.extend(fast_open(&whose, SERVES));
    }
    problems
}

/// What the sockets of new and changed upstreams cannot be given.
pub fn of_upstreams(before: Option<&Config>, config: &Config) -> Vec<String> {
    let is_known = |upstream: &&UpstreamConfig| {
        let same = |old: &UpstreamConfig| {
            old.name == upstream.name && old.socket == upstream.socket && old.as_client == upstream.as_client
        };
        before.is_some_and(|before| before.upstreams.iter().any(same))
    };
    let changed = config.upstreams.iter().filter(|upstream| !is_known(upstream));
    let has_options = |upstream: &&UpstreamConfig| upstream.socket.is_some() || upstream.as_client;
    let with_options: Vec<_> = changed.filter(has_options).collect();
    if with_options.is_empty() {
        return Vec::new();
    }
    let try_all = || with_options.iter().flat_map(|upstream| of_upstream(upstream)).collect();
    // Connections are made when privileges have been given away.
    let account = config.process.user.as_ref();
    match account.is_some_and(|account| account.user != geteuid().as_raw()) {
        true => without_privileges(try_all),
        false => try_all(),
    }
}

fn of_upstream(config: &UpstreamConfig) -> Vec<String> {
    let whose = format!("upstream \"{}\"", config.name);
    let mut problems = Vec::new();
    if config.as_client
        && let Err(error) = try_as_client()
    {
        problems.push(format!("{whose}: `source = \"client\"`: {error}: {NEEDS_ADMIN}"));
    }
    let Some(socket) = &config.socket else { return problems };
    problems.extend(said(&whose, try_connecting(socket)));
    if socket.fast_open {
        problems.extend(fast_open(&whose, CONNECTS));
    }
    problems
}

fn said(whose: &str, refused: io::Result<Vec<Refused>>) -> Vec<String> {
    match refused {
        Ok(refused) => refused
            .iter()
            .map(|refused| format!("{whose}: {}", explained(refused)))
            .collect(),
        Err(error) => vec![format!("{whose}: its `socket` cannot be tried: {error}")],
    }
}

/// What was refused, why, and what to do.
pub fn explained(refused: &Refused) -> String {
    let advice = match (&refused.why, refused.key) {
        (Why::Granted(most), key) => {
            let limit = if key == "socket.receive-buffer" {
                "rmem_max"
            } else {
                "wmem_max"
            };
            Some(format!("raise net.core.{limit} (sysctl), or write at most {most}"))
        }
        (Why::Kernel(error), key) => kernel_advice(key, error),
    };
    match advice {
        Some(advice) => format!("{refused}: {advice}"),
        None => refused.to_string(),
    }
}

fn kernel_advice(key: &str, error: &io::Error) -> Option<String> {
    let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
    let of_tcp = |what| fs::read_to_string(format!("/proc/sys/net/ipv4/{what}")).unwrap_or_default();
    match key {
        "socket.congestion-control" if is_forbidden => Some(format!(
            "without CAP_NET_ADMIN there are {} (net.ipv4.tcp_allowed_congestion_control)",
            listed(&of_tcp("tcp_allowed_congestion_control"))
        )),
        "socket.congestion-control" => Some(format!(
            "the kernel has {} (net.ipv4.tcp_available_congestion_control); others are modules, as in `modprobe tcp_bbr`",
            listed(&of_tcp("tcp_available_congestion_control"))
        )),
        "socket.mark" | "transparent" if is_forbidden => Some(NEEDS_ADMIN.to_owned()),
        "socket.device" if is_forbidden => Some(
            "a socket that is bound to an interface already leaves it with CAP_NET_RAW alone; restart, or give the process that"
                .to_owned(),
        ),
        "socket.device" => Some(format!("the interfaces are {}", interfaces())),
        _ => None,
    }
}

/// What to do where CAP_NET_ADMIN is missing.
const NEEDS_ADMIN: &str = "it needs CAP_NET_ADMIN: `AmbientCapabilities=` and `CapabilityBoundingSet=` of a systemd unit give it \
     to a process that is not root's; `[process] user` gives it away";

/// Bits of net.ipv4.tcp_fastopen.
const CONNECTS: u32 = 1;
const SERVES: u32 = 2;

/// The kernel takes the option, and leaves it at that, where the system does not want it.
fn fast_open(whose: &str, bit: u32) -> Option<String> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen").ok()?;
    let has: u32 = text.trim().parse().ok()?;
    (has & bit == 0).then(|| {
        format!(
            "{whose}: `socket.fast-open`: this system does not do it: net.ipv4.tcp_fastopen is {has}; set it to {} (sysctl)",
            has | bit
        )
    })
}

fn interfaces() -> String {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    listed(&names.join(" "))
}

/// A dozen is enough to see what was meant.
fn listed(names: &str) -> String {
    let names: Vec<_> = names.split_whitespace().take(12).collect();
    names.join(", ")
}

/// Does something as a process that has given its capabilities away. They are a thread's own (capabilities(7)).
fn without_privileges<T: Default + Send>(work: impl FnOnce() -> T + Send) -> T {
    let there = || {
        if let Ok(mut sets) = capabilities(None) {
            sets.effective = CapabilitySet::empty();
            // To have fewer is allowed to everybody.
            let _ = set_capabilities(None, sets);
        }
        work()
    };
    thread::scope(|scope| scope.spawn(there).join().unwrap_or_default())
}

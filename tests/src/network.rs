//! A network of its own for one test: client, proxy and upstream in namespaces, with a link between each two neighbours.
//!
//! ```text
//! client 192.0.2.2 ---- 192.0.2.1 proxy 198.51.100.1 ---- 198.51.100.2 upstream
//! ```
//!
//! The addresses (of the blocks that are kept for documentation, RFC 5737) exist in these namespaces alone. A namespace is held
//! by a descriptor, so all of it is gone with the test, also when the test is killed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::resume_unwind;
use std::process::{Stdio, id};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{lasting, run};
use crate::is_root;

/// Where the proxy listens, and where the upstream does.
pub const PROXY: &str = "192.0.2.1";
pub const UPSTREAM: &str = "198.51.100.2";

/// Where the client is.
pub const CLIENT: &str = "192.0.2.2";

/// The same of IPv6 (RFC 3849), once the proxy's place is a router.
pub const CLIENT_V6: &str = "2001:db8:1::2";
pub const PROXY_V6: &str = "2001:db8:1::1";
pub const UPSTREAM_V6: &str = "2001:db8:2::2";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Client,
    Proxy,
    Upstream,
}

pub struct Network {
    client: OwnedFd,
    proxy: OwnedFd,
    upstream: OwnedFd,
}

impl Network {
    /// `Err` says why it cannot be had here: for [`crate::skip!`].
    pub fn lay() -> Result<Self, String> {
        if !is_root() {
            return Err("only root can make network namespaces".to_owned());
        }
        let make = || namespace().map_err(|error| format!("no network namespace: {error}"));
        let network = Self {
            client: make()?,
            proxy: make()?,
            upstream: make()?,
        };
        network.link(Place::Client, &["192.0.2.2/24", "192.0.2.1/24"]);
        network.link(Place::Upstream, &["198.51.100.2/24", "198.51.100.1/24"]);
        for place in [Place::Client, Place::Proxy, Place::Upstream] {
            network.ip(place, "link set lo up");
        }
        Ok(network)
    }

    /// The calling thread is there from now on, and so is whatever it starts.
    pub fn enter(&self, place: Place) {
        move_into_link_name_space(self.namespace(place).as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter a namespace of its own");
    }

    /// Does something there. A socket stays where it was made, whoever uses it.
    #[track_caller]
    pub fn at<T: Send>(&self, place: Place, work: impl FnOnce() -> T + Send) -> T {
        let there = || {
            self.enter(place);
            work()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// From now on so many of a hundred packets are lost on their way to each place.
    pub fn lose(&self, percent: u32) {
        for place in [Place::Client, Place::Proxy, Place::Upstream] {
            self.nft(place, "add table inet faults");
            self.nft(
                place,
                "add chain inet faults loss { type filter hook input priority 0; }",
            );
            // Not what a place says to itself.
            let rule = format!("iif != lo numgen random mod 100 < {percent} counter drop");
            self.nft(place, &format!("add rule inet faults loss {rule}"));
        }
    }

    /// How many packets were lost so far.
    #[track_caller]
    pub fn lost(&self) -> u64 {
        let places = [Place::Client, Place::Proxy, Place::Upstream];
        places
            .map(|place| packets(&self.nft(place, "list ruleset")))
            .iter()
            .sum()
    }

    /// From now on nobody hears from this place, nor does it hear anybody: it is dead, and nobody has said so.
    pub fn silence(&self, place: Place) {
        self.nft(place, "add table inet faults");
        for hook in ["input", "output"] {
            let chain =
                format!("add chain inet faults dead_{hook} {{ type filter hook {hook} priority 0; policy drop; }}");
            self.nft(place, &chain);
        }
    }

    /// From now on the proxy's place is a router, too: the client and the upstream reach each other by it, of IPv6 as well.
    pub fn route(&self) {
        self.at(Place::Proxy, || {
            for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{setting}"), "1").expect("a setting of this network");
            }
        });
        let sides = [
            (Place::Client, "client", ["2001:db8:1::2", "2001:db8:1::1"], "192.0.2.1"),
            (
                Place::Upstream,
                "upstream",
                ["2001:db8:2::2", "2001:db8:2::1"],
                "198.51.100.1",
            ),
        ];
        for (place, name, [here, there], router) in sides {
            // Nobody else has the address: it is not asked for at first, which takes seconds.
            self.ip(place, &format!("address add {here}/64 dev proxy nodad"));
            self.ip(Place::Proxy, &format!("address add {there}/64 dev {name} nodad"));
            self.ip(place, &format!("route add default via {router}"));
            self.ip(place, &format!("-6 route add default via {there}"));
        }
    }

    /// One end of a pair of interfaces at this place, and the other one at the proxy's.
    fn link(&self, place: Place, [here, there]: &[&str; 2]) {
        let proxy = format!("/proc/{}/fd/{}", id(), self.proxy.as_raw_fd());
        let name = match place {
            Place::Client => "client",
            Place::Upstream => "upstream",
            Place::Proxy => unreachable!("the proxy is in the middle"),
        };
        self.ip(
            place,
            &format!("link add proxy type veth peer name {name} netns {proxy}"),
        );
        for (at, interface, address) in [(place, "proxy", here), (Place::Proxy, name, there)] {
            self.ip(at, &format!("address add {address} dev {interface}"));
            self.ip(at, &format!("link set {interface} up"));
        }
    }

    /// What `ip` (iproute2) does there.
    #[track_caller]
    pub fn ip(&self, place: Place, arguments: &str) {
        self.command(place, "ip", &arguments.split(' ').collect::<Vec<_>>());
    }

    /// What `nft` says there.
    #[track_caller]
    pub fn nft(&self, place: Place, command: &str) -> String {
        self.command(place, "nft", &[command])
    }

    #[track_caller]
    fn command(&self, place: Place, program: &str, arguments: &[&str]) -> String {
        self.at(place, || {
            run(lasting(program).args(arguments), Duration::from_secs(10)).success()
        })
    }

    fn namespace(&self, place: Place) -> &OwnedFd {
        match place {
            Place::Client => &self.client,
            Place::Proxy => &self.proxy,
            Place::Upstream => &self.upstream,
        }
    }
}

/// What a rule has counted, of a list such as `... counter packets 12 bytes 3456 drop`.
fn packets(rules: &str) -> u64 {
    let mut words = rules.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A new one, made by a program that ends when it has been taken over.
fn namespace() -> io::Result<OwnedFd> {
    let mut cat = lasting("unshare")
        .args(["--net", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (cat.stdin.take(), cat.stdout.take());
    let (mut stdin, mut stdout) = (stdin.expect("stdin is piped"), stdout.expect("stdout is piped"));
    // Answered from within the namespace, or not at all.
    stdin.write_all(b"x")?;
    stdout.read_exact(&mut [0])?;
    let namespace = File::open(format!("/proc/{}/ns/net", cat.id()))?;
    drop(stdin);
    cat.wait()?;
    Ok(namespace.into())
}

//! The configuration as its users meet it: what is accepted, and what is said about what is not.

mod access_log;
mod address;
mod admin;
mod capture;
mod containment;
mod drain;
mod faults;
mod filter;
mod limits;
mod meaning;
mod messages;
mod metrics;
mod mirror;
mod process;
mod proxy_protocol;
mod resolver;
mod robustness;
mod route;
mod schema;
mod sharing;
mod socket;
mod tls;
mod transparent;
mod units;
mod upstream;
mod vigilance;

use std::path::Path;
use std::time::Duration;

use super::Config;
use super::load::parse;

/// Uses everything that there is.
const COMPLETE: &str = r#"
workers = 2

[limits]
connections = 20000
connections-per-client = 100
rate = 1000
rate-per-client = 10
ipv6-prefix = 56
at-limit = "queue(2s)"

[drain]
soft = "5s"
spread = "0"
hard = "1m"

[access-log]
file = "access.log"
format = "{time} {{{client}}} {outcome}"
open = true
every = "5m"

[resolver]
nameservers = ["10.0.0.53", "[2001:db8::53]:5353"]
timeout = "1s"

[metrics]
address = "[::]:9464"
expose = true

[admin]
listen = "127.0.0.1:9465"
token-file = "admin.token"
[process]
user = "65534"
group = "65534"
upgrade-socket = "upgrade.sock"
upgrade-timeout = "2m"
upgrade-linger = "24h"

[registries]
cache = "pulled"
insecure = ["Registry.internal:5000"]
authorities = "registry-ca.pem"

[[trust]]
repository = "oci://registry.example/team-a/"
keys = ["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "keys/team-a.pub"]

[[trust]]
path = "filters/"
keys = ["keys/ours.pub"]

[filters.router]
source = "filters/router.wasm"
config = { default = "blue", since = 1979-05-27T07:32:00Z, share = 0.5, big = 18446744073709551615, tags = ["a", {}] }
on-error = "pass"
sessions-per-instance = 16
at-budget = "refuse"
retire = { age = "24h", sessions = 1000000, memory = "512KiB" }
grants = ["connection", "environment", "log", "metrics", "store", "upstreams", "wasi-clocks", "wasi-random"]

[filters.router.limits]
memory = "1MiB"
call = "5ms"
init = "10s"
output = "4MiB"
log-lines = 0
metrics = 1024
store-entries = 10000000
store-bytes = "1GiB"

[filters.audit]
source = "/opt/audit.wasm"

[filters.guard]
source = "oci://registry.example:5000/team-a/redis-guard:1.2"
pull = { every = "5m" }

[upstreams.blue]
balance = "least-connections"
connect = "first-byte"
retries = { count = 2, budget = "10%" }
queue = { length = 100, timeout = "1s" }
preconnect = 0
source = ["10.0.0.5", "2001:db8::5"]
slow-start = "30s"
panic = "50%"
on-down = "drain"
servers = [
    "10.0.0.1:5432",
    { address = "[2001:db8::1]:5432", weight = 256, max-connections = 100 },
    "unix:/run/x.sock",
    { address = "DB.example:5432", backup = true },
    { srv = "_postgres._TCP.example.org", max-connections = 4294967295 },
]
timeouts = { connect = "2s", first-byte = "30s", idle = "10m", half-closed = "30s", stall = "1m", lifetime = "0" }
keepalive = { idle = "30s", interval = "5s", count = 3 }
user-timeout = "5m"

[upstreams.blue.health]
interval = "5s"
fast-interval = "2s"
timeout = "1500ms"
rise = 1
fall = 100
send = 'PING\x0d\n'
expect = "+PONG"
port = 8080
start = "up"

[upstreams.blue.passive]
failures = 3
ejection = "5s"
longest-ejection = "1m"

[upstreams.blue.dns]
at-start = "later"
shortest = "5s"
longest = "10m"

[upstreams.a-second]
servers = ["localhost:1"]
retries = 0
preconnect = 1024
socket = { congestion-control = "cubic", device = "lo", fast-open = false }
proxy-protocol = { version = "v2", tlvs = ["authority", "alpn", "ssl", "unique-id", "crc32c"], pass = ["0xEA", "0x04"] }

[upstreams.a-second.tls]
verify = true
name = "Blue.internal."
authorities = "ca.pem"
certificate = { chain = "us.pem", key = "/etc/us.key" }
alpn = ["postgresql"]
min-version = "1.3"

[upstreams.onwards]
original-destination = ["10.0.0.0/8", ":443"]
source = "client"

[[listeners]]
name = "postgres"
address = ":5432"
filters = ["router", "audit"]
upstream = "blue"
accept = "shared"
keepalive = "off"
user-timeout = 0

[listeners.socket]
receive-buffer = "64KiB"
send-buffer = "1GiB"
congestion-control = "bbr"
notsent-lowat = "16KiB"
dscp = "EF"
mark = 0x10
device = "eth0"
mss = 1400
freebind = false
defer-accept = "5s"
fast-open = 256

[listeners.timeouts]
connect = "250ms"
route = 0
first-byte = "1m"
idle = "1h 30m"
half-closed = "10s"
stall = 0
lifetime = "8h"

[listeners.limits]
connections = 1
connections-per-client = 4294967295
rate = 2
rate-per-client = 3
ipv6-prefix = 128
at-limit = "rst"

[[listeners]]
name = "other"
address = "127.0.0.1:0"
transparent = "redirect"
filters = ["audit"]
proxy-protocol = { required = false, trusted = ["10.0.0.0/8", "unix"], timeout = "1s", max-length = "1KiB" }
detection = { timeout = "200ms", max-bytes = "64KiB", max-records = 65536 }

[listeners.tls]
certificates = ["a.pem", { chain = "/etc/b.pem", key = "b.key" }]
strict = true
start = "detect"
passthrough = ["*.db.example.com", "c.example.com"]
client-auth = { authorities = "ca.pem", required = false, revocations = "crl.pem" }
alpn = ["h2", "http/1.1"]
min-version = "1.3"
timeout = "5s"
max-handshakes = 1

[[listeners.routes]]
name = "green"
sni = ["*.EU.example.com", "A.example.com.", '~db[0-9]+\.example\.com']
alpn = ["h2"]
protocol = ["postgres", "tls"]
client = ["10.0.0.0/8", "unix"]
destination = ["10.0.0.0/8:5432", ":443"]
proxy-tlv = [{ type = "0xEA", value = "*-1" }, { type = "0x02" }]
subject = ["CN=Alice,O=Example", "*,O=Other", "~CN=bob.*"]
upstream = "a-second"

[[listeners.routes]]
protocol = ["ssh"]
split = [{ upstream = "blue", weight = 9 }, { upstream = "a-second" }]

[[routes]]
listeners = ["other"]
client = ["192.0.2.0/24"]
refuse = "rst"

[[routes]]
name = "rest"
sni = ["~.*"]
refuse = "alert"
"#;

/// Uses the least that there must be.
const LEAST: &str = "listeners = [{ name = 'a', address = ':1', upstream = 'a' }]\nupstreams.a.servers = ['a:1']";

fn accepted(text: &str) -> Config {
    parse(Path::new("/etc/spliceway/proxy.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(text: &str) -> String {
    match parse(Path::new("proxy.toml"), text) {
        Ok(config) => panic!("accepted:\n{text}\nas {config:#?}"),
        Err(problems) => problems.to_string(),
    }
}

/// What is said about a file, word for word.
#[track_caller]
fn alone(text: &str, said: &str) {
    assert_eq!(refused(text.trim_start()), said.trim_matches('\n'));
}

/// The same with an upstream behind the text.
#[track_caller]
fn with_upstream(text: &str, said: &str) {
    alone(&format!("{text}\n[upstreams.z]\nservers = [\"z:1\"]\n"), said);
}

/// The same with a listener behind the text, and its upstream.
#[track_caller]
fn with_listener(text: &str, said: &str) {
    with_upstream(
        &format!("{text}\n[[listeners]]\nname = \"z\"\naddress = \":1\"\nupstream = \"z\"\n"),
        said,
    );
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Says everything that may be said.
pub(super) fn complete() -> Config {
    accepted(COMPLETE)
}

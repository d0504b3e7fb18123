//! The configuration as its users meet it: what is accepted, and what is said about what is not.

mod address;
mod meaning;
mod messages;
mod robustness;
mod schema;
mod units;

use std::path::Path;

use super::Config;
use super::load::parse;

/// Uses everything that there is.
const COMPLETE: &str = r#"
workers = 2

[filters.router]
source = "filters/router.wasm"
config = { default = "blue", since = 1979-05-27T07:32:00Z, share = 0.5, big = 18446744073709551615, tags = ["a", {}] }
on-error = "pass"
sessions-per-instance = 16
limits = { memory = "1MiB", call = "5ms", init = "10s" }

[filters.audit]
source = "/opt/audit.wasm"

[upstreams.blue]
balance = "round-robin"
servers = ["10.0.0.1:5432", { address = "[2001:db8::1]:5432" }, "unix:/run/x.sock", "DB.example:5432"]

[upstreams.a-second]
servers = ["localhost:1"]

[[listeners]]
name = "postgres"
address = ":5432"
filters = ["router", "audit"]
upstream = "blue"
timeouts = { connect = "250ms", route = 0, idle = "1h 30m" }

[[listeners]]
name = "other"
address = "127.0.0.1:0"
filters = ["audit"]
"#;

fn accepted(text: &str) -> Config {
    parse(Path::new("/etc/spliceway/proxy.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(text: &str) -> String {
    match parse(Path::new("proxy.toml"), text) {
        Ok(config) => panic!("accepted:\n{text}\nas {config:#?}"),
        Err(problems) => problems.to_string(),
    }
}

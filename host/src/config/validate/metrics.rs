//! `[metrics]`

use super::given::apart;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::reader::Given;
use crate::config::{ListenAddress, file};

pub fn metrics(typed: file::Metrics, problems: &mut Problems) -> Result<ListenAddress, Reported> {
    let expose = typed.expose.map_or(Ok(false), Given::value);
    let (address, span) = apart(typed.address.0?);
    if expose? || stays_here(&address) {
        return Ok(address);
    }
    let problem = Problem::at(span, format!("other machines may reach the metrics at `{address}`"));
    let problem =
        problem.label("expected an address of this machine alone, as in \"127.0.0.1:9464\", or a `unix:` one");
    let help = "the page tells of listeners and filters, and asks nobody who he is; `expose = true` allows it";
    Err(problems.report(problem.help(help)))
}

/// Whether nobody but this machine reaches it. What a name leads to is known later, `localhost` apart (RFC 6761, 6.3).
pub fn stays_here(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Socket(address) => address.ip().to_canonical().is_loopback(),
        ListenAddress::Host { host, .. } => host == "localhost" || host.ends_with(".localhost"),
        ListenAddress::Unix(_) => true,
    }
}

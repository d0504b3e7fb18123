//! `[resolver]`

use std::net::SocketAddr;

use super::given::{apart, or_default};
use crate::config::diagnostics::{Problem, Problems, Reported, all};
use crate::config::name_server::NameServer;
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Resolver, defaults, file, ranges};

pub fn resolver(typed: file::Resolver, problems: &mut Problems) -> Result<Resolver, Reported> {
    let nameservers = typed.nameservers.map(|given| name_servers(given, problems)).transpose();
    let timeout = or_default(
        typed.timeout,
        &ranges::LOOKUP,
        Period(defaults::RESOLVER.timeout),
        problems,
    );
    Ok(Resolver {
        nameservers: nameservers?.unwrap_or_default(),
        timeout: timeout?.0,
    })
}

fn name_servers(given: Given<Vec<Given<NameServer>>>, problems: &mut Problems) -> Result<Vec<SocketAddr>, Reported> {
    let (servers, span) = apart(given.0?);
    if servers.is_empty() {
        let problem = Problem::at(span, "nobody is asked for names");
        let label = "expected at least one; those of /etc/resolv.conf are asked without this key";
        return Err(problems.report(problem.label(label)));
    }
    if !ranges::NAME_SERVERS.contains(&servers.len()) {
        let problem = Problem::at(span, format!("{} name servers are too many", servers.len()));
        return Err(problems.report(problem.label(format!("expected at most {}", ranges::NAME_SERVERS.end()))));
    }
    all(servers.into_iter().map(|server| Ok(server.value()?.0)))
}

//! `servers` of an upstream.

use super::given::{apart, count_or_default, within};
use crate::config::address::Address;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::reader::Given;
use crate::config::srv_name::SrvName;
use crate::config::{ServerConfig, ServerPlace, file, ranges};

pub fn servers(
    given: Given<Vec<Given<file::Server>>>,
    upstream: &str,
    problems: &mut Problems,
) -> Result<Vec<ServerConfig>, Reported> {
    let (servers, span) = apart(given.0?);
    if servers.is_empty() {
        let problem = Problem::at(span, format!("the upstream `{upstream}` has no servers"));
        return Err(problems.report(problem.label("expected at least one, as in [\"10.0.0.1:5432\"]")));
    }
    let servers = all(servers.into_iter().map(|server| one(server, problems)))?;
    if servers.iter().all(|server| server.backup) {
        let problem = Problem::at(span, format!("every server of the upstream `{upstream}` is a backup"));
        return Err(problems.report(problem.label("expected at least one that is not")));
    }
    Ok(servers)
}

pub fn one(given: Given<file::Server>, problems: &mut Problems) -> Result<ServerConfig, Reported> {
    let (server, span) = apart(given.0?);
    match server {
        file::Server::Short(address) => Ok(address.into()),
        file::Server::Long(table) => self::server(table, span, problems),
    }
}

fn server(typed: file::ServerTable, span: Span, problems: &mut Problems) -> Result<ServerConfig, Reported> {
    let weighed = typed.weight.is_some() && typed.srv.is_some();
    let place = place(typed.address, typed.srv, &span, problems);
    let weight = match typed.weight {
        Some(Given(Ok(weight))) if weighed => {
            let problem = Problem::at(weight.span(), "`weight` has no effect beside `srv`");
            Err(problems.report(problem.label("the records have weights of their own")))
        }
        weight => count_or_default(weight, &ranges::WEIGHT, 1, problems),
    };
    let most = typed
        .max_connections
        .map(|given| within(given, &ranges::LIMIT, problems));
    let max_connections = most.map(|most| most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)));
    let backup = typed.backup.map_or(Ok(false), Given::value);
    Ok(ServerConfig {
        place: place?,
        weight: weight?,
        max_connections: max_connections.transpose()?,
        backup: backup?,
    })
}

fn place(
    address: Option<Given<Address>>,
    srv: Option<Given<SrvName>>,
    table: &Span,
    problems: &mut Problems,
) -> Result<ServerPlace, Reported> {
    match (address, srv) {
        (Some(address), None) => address.value().map(ServerPlace::Address),
        (None, Some(srv)) => srv.value().map(|name| ServerPlace::Srv(name.0)),
        (Some(address), Some(srv)) => {
            let at = super::given::place(&Some(srv)).unwrap_or_else(|| table.clone());
            let problem = Problem::at(at, "a server with both an `address` and an `srv`").label("expected one of them");
            Err(problems.report(match super::given::place(&Some(address)) {
                Some(address) => problem.related(address, "`address` is here"),
                None => problem,
            }))
        }
        (None, None) => unreachable!("the reader puts a report in the place of the address"),
    }
}

//! `[upstreams.NAME]`

use super::given::{apart, table_or_default, word_or_default};
use super::timeouts::timeout_changes;
use super::vigilance::vigilance;
use crate::config::diagnostics::{Problem, Problems, Reported, all};
use crate::config::named::Entry;
use crate::config::reader::Given;
use crate::config::{ServerConfig, UpstreamConfig, file};

pub fn upstream(entry: Entry<file::Upstream>, problems: &mut Problems) -> Result<UpstreamConfig, Reported> {
    let typed = entry.table.value()?;
    let balance = word_or_default(typed.balance);
    let servers = servers(typed.servers, &entry.key, problems);
    let timeouts = table_or_default(typed.timeouts).and_then(|typed| timeout_changes(typed, problems));
    let vigilance = vigilance(typed.keepalive, typed.user_timeout, problems);
    Ok(UpstreamConfig {
        name: entry.name?.0,
        balance: balance?,
        servers: servers?,
        timeouts: timeouts?,
        vigilance: vigilance?,
    })
}

fn servers(
    given: Given<Vec<Given<file::Server>>>,
    upstream: &str,
    problems: &mut Problems,
) -> Result<Vec<ServerConfig>, Reported> {
    let (servers, span) = apart(given.0?);
    if servers.is_empty() {
        let problem = Problem::at(span, format!("the upstream `{upstream}` has no servers"));
        return Err(problems.report(problem.label("expected at least one, as in [\"10.0.0.1:5432\"]")));
    }
    all(servers.into_iter().map(|server| {
        let address = match server.value()? {
            file::Server::Short(address) => address,
            file::Server::Long(table) => table.address.value()?,
        };
        Ok(ServerConfig { address })
    }))
}

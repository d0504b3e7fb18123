//! `[upstreams.NAME]`

use std::path::Path;
use std::time::Duration;

use super::dns::dns;
use super::given::{count_or_default, or_default, place, table_or_default, word_or_default};
use super::health::health;
use super::on_change::on_change;
use super::passive::passive;
use super::proxy_protocol::proxy_out;
use super::queue::queue;
use super::retries::retries;
use super::server::servers;
use super::socket::{Circumstances, upstream_socket};
use super::source::source;
use super::timeouts::timeout_changes;
use super::tls::tls_out;
use super::vigilance::vigilance;
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::named::Entry;
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Address, Balance, Connect, UpstreamConfig, file, ranges};

pub fn upstream(
    entry: Entry<file::Upstream>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<UpstreamConfig, Reported> {
    let typed = entry.table.value()?;
    let useful = check_use(&typed, problems);
    let unix = unix_socket(&typed.servers);

    let has_source = typed.source.is_some();
    let (is_told, is_secured) = (typed.proxy_protocol.is_some(), typed.tls.is_some());

    let balance = word_or_default(typed.balance);
    let servers = servers(typed.servers, &entry.key, problems);
    let timeouts = table_or_default(typed.timeouts).and_then(|typed| timeout_changes(typed, problems));
    let vigilance = vigilance(typed.keepalive, typed.user_timeout, problems);
    let connect = word_or_default(typed.connect);
    let circumstances = Circumstances {
        unix: unix.clone(),
        has_source,
        speaks_first: is_told || is_secured || !matches!(connect, Ok(Connect::AtOnce)),
    };
    let socket = upstream_socket(typed.socket, &circumstances, problems);
    let retries = retries(typed.retries, problems);
    let queue = table_or_default(typed.queue).and_then(|typed| queue(typed, problems));
    let preconnect = count_or_default(typed.preconnect, &ranges::PRECONNECT, 0, problems);
    let source = typed.source.map(|given| source(given, problems));
    let health = typed.health.map(|given| health(given.value()?, problems));
    let passive = typed.passive.map(|given| passive(given.value()?, problems));
    let slow_start = or_default(typed.slow_start, &ranges::SLOW_START, Period(Duration::ZERO), problems);
    let panic = or_default(typed.panic, &ranges::PANIC, Percentage(0), problems);
    let on_down = word_or_default(typed.on_down);
    let on_change = on_change(typed.on_change, problems);
    let discovery = table_or_default(typed.dns).and_then(|typed| dns(typed, problems));
    let proxy_protocol = typed.proxy_protocol.map(|typed| proxy_out(typed, problems)).transpose();
    let tls = typed
        .tls
        .map(|typed| tls_out(typed, unix, directory, problems))
        .transpose();
    let upstream = UpstreamConfig {
        name: entry.name?.0,
        balance: balance?,
        servers: servers?,
        timeouts: timeouts?,
        vigilance: vigilance?,
        socket: socket?,
        connect: connect?,
        retries: retries?,
        queue: queue?,
        preconnect: preconnect?,
        source: source.transpose()?.unwrap_or_default(),
        health: health.transpose()?,
        passive: passive.transpose()?,
        slow_start: slow_start?.0,
        panic: panic.map(|share| u8::try_from(share.0).unwrap_or(u8::MAX))?,
        on_down: on_down?,
        discovery: discovery?,
        on_change: on_change?,
        proxy_protocol: proxy_protocol?,
        tls: tls?.flatten(),
    };
    useful?;
    Ok(upstream)
}

/// Keys that do nothing as the others are: whoever typed them expects otherwise.
fn check_use(typed: &file::Upstream, problems: &mut Problems) -> Result<(), Reported> {
    let mut useful = Ok(());
    let mut report = |problem| useful = Err(problems.report(problem));
    if typed.health.is_none() && typed.passive.is_none() {
        let keys = [
            ("slow-start", place(&typed.slow_start)),
            ("panic", place(&typed.panic)),
            // An address that a name has no more is down, too.
            ("on-down", place(&typed.on_down).filter(|_| !has_name(&typed.servers))),
        ];
        for (key, at) in keys.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            let problem = Problem::at(at, format!("`{key}` has no effect without `health` or `passive`"));
            report(problem.label("no server is ever known to be down"));
        }
    }
    if let Some(at) = place(&typed.queue)
        && !has_limit(&typed.servers)
        // Clients wait for the first check as well.
        && typed.health.is_none()
    {
        let problem = Problem::at(
            at,
            "`queue` has no effect without `max-connections` of a server, or `health`",
        );
        report(problem.label("no connection ever waits"));
    }
    if let Some(Given(Ok(preconnect))) = &typed.preconnect
        && *preconnect.get_ref() > 0
        && let Some(Given(Ok(connect))) = &typed.connect
        && connect.get_ref().0 == Connect::FirstByte
    {
        let problem = Problem::at(preconnect.span(), "`preconnect` contradicts `connect = \"first-byte\"`");
        let problem = problem.label("this connects before there is a client");
        report(problem.related(connect.span(), "this waits for a client's first byte"));
    }
    if let Some(Given(Ok(preconnect))) = &typed.preconnect
        && *preconnect.get_ref() > 0
        && let Some(Given(Ok(balance))) = &typed.balance
        && matches!(balance.get_ref().0, Balance::SourceHash | Balance::Maglev)
    {
        let problem = Problem::at(preconnect.span(), "`preconnect` has no effect with this `balance`");
        let problem = problem.label("a connection that is there already leads to any server");
        report(problem.related(balance.span(), "this sends each client to a server of its own"));
    }
    if let Some(Given(Ok(preconnect))) = &typed.preconnect
        && *preconnect.get_ref() > 0
        && let Some(Given(Ok(socket))) = &typed.socket
        && let Some(Given(Ok(fast_open))) = &socket.get_ref().fast_open
        && *fast_open.get_ref()
    {
        let problem = Problem::at(preconnect.span(), "`preconnect` contradicts `socket.fast-open`");
        let problem = problem.label("this connects before there is anything to send");
        report(problem.related(fast_open.span(), "this waits for the first bytes"));
    }
    useful
}

/// Where one of the servers is a unix socket, as far as can be read.
fn unix_socket(servers: &Given<Vec<Given<file::Server>>>) -> Option<Span> {
    let Given(Ok(servers)) = servers else { return None };
    servers.get_ref().iter().find_map(|server| {
        let server = server.0.as_ref().ok()?;
        let address = match server.get_ref() {
            file::Server::Short(address) => address,
            file::Server::Long(table) => table.address.as_ref()?.0.as_ref().ok()?.get_ref(),
        };
        matches!(address, Address::Unix(_)).then(|| server.span())
    })
}

/// Whether one of the servers is a name, as far as can be read.
fn has_name(servers: &Given<Vec<Given<file::Server>>>) -> bool {
    let Given(Ok(servers)) = servers else { return true };
    let is_name = |address: &Address| matches!(address, Address::Host { .. });
    servers.get_ref().iter().any(|server| match &server.0 {
        Ok(server) => match server.get_ref() {
            file::Server::Short(address) => is_name(address),
            file::Server::Long(table) => match &table.address {
                Some(Given(Ok(address))) => is_name(address.get_ref()),
                Some(Given(Err(_))) => true,
                None => table.srv.is_some(),
            },
        },
        Err(_) => true,
    })
}

/// Whether connections to one of the servers are limited, as far as can be read.
fn has_limit(servers: &Given<Vec<Given<file::Server>>>) -> bool {
    let Given(Ok(servers)) = servers else { return true };
    servers.get_ref().iter().any(|server| match &server.0 {
        Ok(server) => matches!(server.get_ref(), file::Server::Long(table) if table.max_connections.is_some()),
        Err(_) => true,
    })
}

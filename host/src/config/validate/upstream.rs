//! `[upstreams.NAME]`

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::dns::dns;
use super::given::{apart, count_or_default, or_default, place, table_or_default, word_or_default};
use super::health::health;
use super::mirror::check_mirrors;
use super::names::Names;
use super::on_change::on_change;
use super::passive::passive;
use super::proxy_protocol::proxy_out;
use super::queue::queue;
use super::retries::retries;
use super::route::destinations;
use super::server::servers;
use super::socket::{Circumstances, upstream_socket};
use super::source::source;
use super::timeouts::timeout_changes;
use super::tls::tls_out;
use super::treatment::treatment;
use super::vigilance::vigilance;
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::named::{Entry, Named};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Address, Balance, Connect, Destination, UpstreamConfig, file, ranges};

pub fn upstream(
    entry: Entry<file::Upstream>,
    upstreams: &Names,
    directory: &Path,
    problems: &mut Problems,
) -> Result<UpstreamConfig, Reported> {
    let typed = entry.table.value()?;
    let useful = check_use(&typed, problems);
    let unix = typed.servers.as_ref().and_then(unix_socket);

    // Who connects as somebody else needs no leave for it besides.
    let has_source = typed.source.as_ref().is_some_and(|given| !is_client(given));
    let (is_told, is_secured) = (typed.proxy_protocol.is_some(), typed.tls.is_some());

    let balance = word_or_default(typed.balance);
    let servers = typed
        .servers
        .map_or(Ok(Vec::new()), |given| servers(given, &entry.key, problems));
    let original_destination = typed
        .original_destination
        .map(|given| original_destination(given, problems));
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
    let mirrors = check_mirrors(&typed.treatment, upstreams, Some(&entry.key), problems);
    let treatment = treatment(typed.treatment, problems).and_then(|treatment| mirrors.map(|()| treatment));
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
        original_destination: original_destination.transpose()?,
        timeouts: timeouts?,
        vigilance: vigilance?,
        socket: socket?,
        connect: connect?,
        retries: retries?,
        queue: queue?,
        preconnect: preconnect?,
        as_client: matches!(source, Some(Ok(None))),
        source: source.transpose()?.flatten().unwrap_or_default(),
        health: health.transpose()?,
        passive: passive.transpose()?,
        slow_start: slow_start?.0,
        panic: panic.map(|share| u8::try_from(share.0).unwrap_or(u8::MAX))?,
        on_down: on_down?,
        discovery: discovery?,
        treatment: treatment?,
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
            (
                "on-down",
                place(&typed.on_down).filter(|_| !typed.servers.as_ref().is_some_and(has_name)),
            ),
        ];
        for (key, at) in keys.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            let problem = Problem::at(at, format!("`{key}` has no effect without `health` or `passive`"));
            report(problem.label("no server is ever known to be down"));
        }
    }
    if let Some(at) = place(&typed.queue)
        && !typed.servers.as_ref().is_some_and(has_limit)
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
    if let Some(at) = place(&typed.source).filter(|_| typed.source.as_ref().is_some_and(is_client)) {
        if let Some(unix) = typed.servers.as_ref().and_then(unix_socket) {
            let problem = Problem::at(at.clone(), "`source = \"client\"` means nothing for a unix socket");
            let problem = problem.label("expected servers of TCP, or no such key");
            report(problem.related(unix, "this server is one"));
        }
        if let Some(Given(Ok(preconnect))) = &typed.preconnect
            && *preconnect.get_ref() > 0
        {
            let problem = Problem::at(preconnect.span(), "`preconnect` contradicts `source = \"client\"`");
            let problem = problem.label("this connects before there is a client");
            report(problem.related(at, "this connects as the client"));
        }
    }
    if let Some(destination) = place(&typed.original_destination) {
        for (key, at) in of_servers(typed) {
            let problem = Problem::at(at, format!("`{key}` has no effect with `original-destination`"));
            let problem = problem.label("it is about servers that are known beforehand");
            report(problem.related(destination.clone(), "each connection has a server of its own"));
        }
    }
    useful
}

/// Keys that choose among servers, or judge them.
fn of_servers(typed: &file::Upstream) -> impl Iterator<Item = (&'static str, Span)> {
    let keys = [
        (
            "servers",
            typed
                .servers
                .as_ref()
                .and_then(|given| given.0.as_ref().ok())
                .map(Spanned::span),
        ),
        ("balance", place(&typed.balance)),
        ("retries", place(&typed.retries)),
        ("queue", place(&typed.queue)),
        ("preconnect", place(&typed.preconnect)),
        ("health", place(&typed.health)),
        ("passive", place(&typed.passive)),
        ("slow-start", place(&typed.slow_start)),
        ("panic", place(&typed.panic)),
        ("on-down", place(&typed.on_down)),
        ("dns", place(&typed.dns)),
    ];
    keys.into_iter().filter_map(|(key, at)| Some((key, at?)))
}

fn is_client(given: &Given<file::Source>) -> bool {
    matches!(&given.0, Ok(source) if matches!(source.get_ref(), file::Source::Client))
}

/// Names of those that send connections on their way, as far as can be read.
pub fn relays(given: &Option<Given<Named<file::Upstream>>>) -> HashSet<String> {
    let Some(Given(Ok(upstreams))) = given else {
        return HashSet::new();
    };
    let entries = upstreams.get_ref().0.iter();
    let is_one = |entry: &&Entry<file::Upstream>| match &entry.table.0 {
        Ok(table) => table.get_ref().original_destination.is_some(),
        Err(_) => false,
    };
    entries.filter(is_one).map(|entry| entry.key.clone()).collect()
}

fn original_destination(
    given: Given<file::OriginalDestination>,
    problems: &mut Problems,
) -> Result<Vec<Destination>, Reported> {
    let (typed, span) = apart(given.0?);
    match typed {
        file::OriginalDestination::Anywhere => Ok(Vec::new()),
        file::OriginalDestination::To(listed) if listed.is_empty() => {
            let problem = Problem::at(span, "there is nowhere that connections may go");
            Err(problems.report(problem.label("expected networks and ports, or `true` for anywhere")))
        }
        file::OriginalDestination::To(listed) => destinations(listed, problems),
    }
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

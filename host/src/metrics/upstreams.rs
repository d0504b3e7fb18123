//! What has become of upstreams and their servers.

use std::fmt;

use super::family::{Families, Labels};
use super::sums::bytes;
use crate::upstream::{ServerSeen, State, UpstreamSeen};

pub fn write(upstreams: &[UpstreamSeen], left_out: usize, families: &mut Families<'_, '_>) -> fmt::Result {
    connections(upstreams, families)?;
    retries(upstreams, families)?;
    families.gauges(
        "spliceway_upstream_servers",
        "Servers, by what is thought of them.",
        upstreams.iter().flat_map(|upstream| {
            State::ALL.map(|state| {
                let servers = upstream.servers.iter().filter(|server| server.state == state);
                let labels = vec![("upstream", &*upstream.name), ("state", state.name())];
                (labels, servers.count() as f64)
            })
        }),
    )?;
    servers(upstreams, families)?;
    families.gauges(
        "spliceway_servers_left_out",
        "Servers that are not on the page, because there are too many.",
        (!upstreams.is_empty()).then(|| (Vec::new(), left_out as f64)),
    )
}

fn connections(upstreams: &[UpstreamSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.gauges(
        "spliceway_upstream_connections_open",
        "Connections for which the upstream was chosen and that have not ended.",
        per(upstreams, |upstream| upstream.open as f64),
    )?;
    families.counters(
        "spliceway_upstream_connections",
        "Those that have ended.",
        per(upstreams, |upstream| upstream.sums.connections),
    )?;
    families.counters(
        "spliceway_upstream_bytes",
        "Their bytes.",
        bytes(per(upstreams, |upstream| upstream.sums)),
    )?;
    families.gauges(
        "spliceway_upstream_queue_length",
        "Connections that wait for a place at a server.",
        per(upstreams, |upstream| upstream.waiting.into()),
    )
}

fn retries(upstreams: &[UpstreamSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counters(
        "spliceway_upstream_retries",
        "Further servers that were tried.",
        per(upstreams, |upstream| upstream.retries.granted),
    )?;
    families.counters(
        "spliceway_upstream_retries_denied",
        "Servers that were not tried, because the budget was spent.",
        per(upstreams, |upstream| upstream.retries.denied),
    )?;
    families.gauges(
        "spliceway_upstream_retry_budget",
        "Retries that there may be now.",
        per(upstreams, |upstream| upstream.retries.left),
    )
}

fn servers(upstreams: &[UpstreamSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.gauges(
        "spliceway_server_up",
        "Whether it gets connections as far as it is concerned: it is up, and not ejected.",
        of_servers(upstreams, |server| f64::from(u8::from(server.state == State::Up))),
    )?;
    families.gauges(
        "spliceway_server_share_ratio",
        "Which part of new connections is meant for it.",
        of_servers(upstreams, |server| server.share),
    )?;
    families.gauges(
        "spliceway_server_connections_open",
        "Places that are taken: connections, those that are being made, and spare ones.",
        of_servers(upstreams, |server| server.open as f64),
    )?;
    families.counters(
        "spliceway_server_connections",
        "Connections to it that have ended.",
        of_servers(upstreams, |server| server.sums.connections),
    )?;
    families.counters(
        "spliceway_server_bytes",
        "Their bytes.",
        bytes(of_servers(upstreams, |server| server.sums)),
    )?;
    families.counters(
        "spliceway_server_connects",
        "Connections to it that came about.",
        of_servers(upstreams, |server| server.connected),
    )?;
    families.counters(
        "spliceway_server_connect_failures",
        "Attempts to connect to it that failed.",
        of_servers(upstreams, |server| server.refused),
    )?;
    families.counters(
        "spliceway_server_transitions",
        "How many times it went up or down, was ejected or came back.",
        of_servers(upstreams, |server| server.transitions),
    )?;
    families.counters(
        "spliceway_server_ejections",
        "How many times it was left alone because connections to it failed.",
        of_servers(upstreams, |server| server.ejections),
    )
}

fn per<'s, T>(
    upstreams: &'s [UpstreamSeen],
    read: impl Fn(&UpstreamSeen) -> T,
) -> impl Iterator<Item = (Labels<'s>, T)> {
    upstreams
        .iter()
        .map(move |upstream| (vec![("upstream", &*upstream.name)], read(upstream)))
}

fn of_servers<'s, T>(
    upstreams: &'s [UpstreamSeen],
    read: impl Fn(&ServerSeen) -> T + Copy,
) -> impl Iterator<Item = (Labels<'s>, T)> {
    upstreams.iter().flat_map(move |upstream| {
        let labels = |server| vec![("upstream", &*upstream.name), ("server", server)];
        let servers = upstream.servers.iter();
        servers.map(move |server| (labels(&*server.address), read(server)))
    })
}

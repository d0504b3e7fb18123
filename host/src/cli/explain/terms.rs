//! What a connection to one upstream is subject to: its server, its limits and timeouts, the way of its bytes.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::filters::{Met, Says};
use crate::config::{
    Balance, Config, Connect, Limits, ListenerConfig, OnChange, RouteConfig, TimeoutChanges, Timeouts, UpstreamConfig,
    defaults, period, shown_treatment,
};
use crate::flow::Direction;
use crate::upstream::{self, method};
use crate::words::count;

/// Of whom it is said.
pub(super) struct Of<'a> {
    pub config: &'a Config,
    pub listener: &'a ListenerConfig,
    pub route: Option<&'a RouteConfig>,
    pub upstream: &'a UpstreamConfig,
    pub client: Option<IpAddr>,
    /// What its client sends is decrypted.
    pub is_decrypted: bool,
    pub filters: &'a [Met],
}

pub(super) fn write_terms(text: &mut String, of: &Of<'_>) -> fmt::Result {
    writeln!(text, "server: {}", server(of.upstream, of.client))?;
    writeln!(text, "limits: {}", limits(of))?;
    writeln!(text, "timeouts: {}", timeouts(of.listener, of.upstream))?;
    for (direction, index) in [(Direction::Up, 0), (Direction::Down, 1)] {
        writeln!(text, "{direction}: {}", way(direction, index, of))?;
    }
    write_treatments(text, of)?;
    writeln!(text, "on change: {}", on_change(of))
}

/// What is done to its bytes besides passing them on, as it is typed; no line where nothing is.
fn write_treatments(text: &mut String, of: &Of<'_>) -> fmt::Result {
    let treatments = [
        (
            format!("listener \"{}\"", of.listener.name),
            Some(&of.listener.treatment),
        ),
        ("route".to_owned(), of.route.map(|route| &route.treatment)),
        (
            format!("upstream \"{}\"", of.upstream.name),
            Some(&of.upstream.treatment),
        ),
    ];
    for (whose, treatment) in treatments {
        if let Some(treatment) = treatment.filter(|treatment| !treatment.is_nothing()) {
            writeln!(text, "treatment: {} ({whose})", shown_treatment(treatment))?;
        }
    }
    Ok(())
}

/// Where the upstream hashes, the one; elsewhere how it is chosen.
fn server(upstream: &UpstreamConfig, client: Option<IpAddr>) -> String {
    let when = match upstream.connect {
        Connect::AtOnce => "",
        Connect::FirstByte => ", once the client has said something (connect = \"first-byte\")",
    };
    if upstream.original_destination.is_some() {
        return format!("where it was to go before it was led here{when}");
    }
    let method = method(upstream.balance);
    let first: Vec<_> = upstream.servers.iter().filter(|server| !server.backup).collect();
    let hashes = matches!(upstream.balance, Balance::SourceHash | Balance::Maglev);
    if let Some(client) = client.filter(|_| hashes) {
        return match upstream::imagine(upstream, client) {
            Some(server) => format!("{server}, by the hash of {client} ({method}), while all servers are up{when}"),
            None => format!("the one that the hash of {client} leads to ({method}), once names are looked up{when}"),
        };
    }
    let places: Vec<String> = first
        .iter()
        .map(|server| weighed(server.weight, &server.place))
        .collect();
    match places.as_slice() {
        [] => format!("one of the backups{when}"),
        [one] => format!("{one}{when}"),
        several => format!("one of {} ({method}){when}", several.join(", ")),
    }
}

fn weighed(weight: u32, place: &impl fmt::Display) -> String {
    match weight {
        1 => place.to_string(),
        weight => format!("{place} (weight {weight})"),
    }
}

fn limits(of: &Of<'_>) -> String {
    let listener = format!("listener \"{}\"", of.listener.name);
    let mut limits: Vec<String> = [
        (&of.listener.limits, listener.as_str()),
        (&of.config.limits, "all listeners"),
    ]
    .into_iter()
    .filter_map(|(limits, whose)| limited(limits, whose))
    .collect();
    let most = of
        .upstream
        .servers
        .iter()
        .filter_map(|server| server.max_connections)
        .max();
    limits.extend(most.map(|most| {
        let queue = of.upstream.queue;
        format!(
            "at most {} at a server, where {} may wait up to {} (upstream \"{}\")",
            count(most as usize, "connection"),
            queue.length,
            period(queue.timeout),
            of.upstream.name
        )
    }));
    match limits.is_empty() {
        true => "none".to_owned(),
        false => limits.join("; "),
    }
}

/// `None` where nothing is.
fn limited(limits: &Limits, whose: &str) -> Option<String> {
    let each = [
        ("connections", limits.connections),
        ("connections-per-client", limits.connections_per_client),
        ("rate", limits.rate),
        ("rate-per-client", limits.rate_per_client),
    ];
    let each = each
        .iter()
        .filter_map(|(key, most)| Some(format!("{key} {}", (*most)?)));
    let each: Vec<_> = each.collect();
    (!each.is_empty()).then(|| format!("{}, at the limit {} ({whose})", each.join(", "), limits.at_limit))
}

type Get = fn(&Timeouts) -> Option<Duration>;

/// Each with who has said it.
fn timeouts(listener: &ListenerConfig, upstream: &UpstreamConfig) -> String {
    let TimeoutChanges {
        connect,
        first_byte,
        idle,
        half_closed,
        stall,
        lifetime,
    } = upstream.timeouts;
    let (own, usual) = (&listener.timeouts, &defaults::TIMEOUTS);
    let each: [(&str, Option<Option<Duration>>, Get); 7] = [
        ("connect", connect, |it| it.connect),
        ("route", None, |it| it.route),
        ("first-byte", first_byte, |it| it.first_byte),
        ("idle", idle, |it| it.idle),
        ("half-closed", half_closed, |it| it.half_closed),
        ("stall", stall, |it| it.stall),
        ("lifetime", lifetime, |it| it.lifetime),
    ];
    let (mut of_upstream, mut of_listener, mut by_default) = (Vec::new(), Vec::new(), Vec::new());
    for (name, changed, get) in each {
        let said = |time: Option<Duration>| format!("{name} {}", time.map_or_else(|| "none".to_owned(), period));
        match changed {
            Some(time) => of_upstream.push(said(time)),
            None if get(own) != get(usual) => of_listener.push(said(get(own))),
            None => by_default.push(said(get(own))),
        }
    }
    let groups = [
        (of_upstream, format!("upstream \"{}\"", upstream.name)),
        (of_listener, format!("listener \"{}\"", listener.name)),
        (by_default, "defaults".to_owned()),
    ];
    let groups = groups.iter().filter(|(said, _)| !said.is_empty());
    let groups: Vec<_> = groups
        .map(|(said, whose)| format!("{} ({whose})", said.join(", ")))
        .collect();
    groups.join("; ")
}

fn way(direction: Direction, index: usize, of: &Of<'_>) -> String {
    let watching = |met: &&Met| matches!(&met.says, Says::This { watches, .. } if watches[index]);
    let unknown = |met: &&Met| matches!(met.says, Says::Nothing(_));
    let names = |wanted: &dyn Fn(&&Met) -> bool| {
        let names: Vec<&str> = of.filters.iter().filter(wanted).map(|met| met.name.as_str()).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("filter {one} is")),
            several => Some(format!("filters {} are", several.join(", "))),
        }
    };
    let tls = match (of.is_decrypted, of.upstream.tls.is_some()) {
        (false, false) => None,
        (true, false) => Some("TLS with the client"),
        (false, true) => Some("TLS with the server"),
        (true, true) => Some("TLS with both"),
    };
    if let Some(watching) = names(&watching) {
        let then = tls.map(|tls| format!(", and there is {tls}")).unwrap_or_default();
        return format!("not spliced {direction}: {watching} subscribed{then}");
    }
    let unknown = names(&unknown);
    let unless = unknown
        .map(|unknown| format!(", unless {unknown} subscribed"))
        .unwrap_or_default();
    match tls {
        Some(tls) => format!("copied: the sockets cannot be spliced ({tls}){unless}"),
        None => format!("spliced where it is bulk, copied where transfers are small{unless}"),
    }
}

/// Of the listener, the route and the upstream, those that do not leave it as it is.
fn on_change(of: &Of<'_>) -> String {
    let fates = [
        ("listener", Some(of.listener.on_change)),
        ("route", of.route.map(|route| route.on_change)),
        ("upstream", Some(of.upstream.on_change)),
    ];
    let fates = fates.into_iter().filter_map(|(whose, fate)| Some((whose, fate?)));
    let fates = fates.filter(|(_, fate)| *fate != OnChange::Keep);
    let fates: Vec<_> = fates
        .map(|(whose, fate)| format!("its connections {fate} (of the {whose})"))
        .collect();
    match fates.is_empty() {
        true => format!("its connections {}", OnChange::Keep),
        false => fates.join("; "),
    }
}

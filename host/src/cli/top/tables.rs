//! What there is to see of a picture, as tables and as words.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::columns::{Cell, Column, Table, plain_cell as cell, toned};
use super::look::Order;
use super::paint::Tone;
use super::picture::{Picture, ever};
use crate::admin::said::{
    Bytes, Connection, Ended, Filter, FilterGeneration, Generation, Listener, LogLine, Server, ServerState, Upstream,
};
use crate::words::{count, size, time};

/// A worker says every second that it is there.
const SILENT_MS: u64 = 5_000;

/// What stands in the place of a figure that nobody knows.
const UNKNOWN: &str = "-";

/// Who is asked, and how it is.
pub fn identity(picture: &Picture, address: &str) -> Vec<Cell> {
    let status = &picture.overview.status;
    vec![
        toned(format!("spliceway {}", status.version), Tone::Strong),
        match status.draining {
            false => toned("serving", Tone::Good),
            true => toned("draining", Tone::Odd),
        },
        cell(format!("pid {}", status.pid)),
        cell(format!("up {}", time(status.uptime_ms))),
        toned(address, Tone::Quiet),
    ]
}

/// What it has to do, and who does it.
pub fn work(picture: &Picture) -> Vec<Cell> {
    let overview = &picture.overview;
    let workers = &overview.workers;
    let delay = workers.iter().map(|worker| worker.delay_us).max().unwrap_or(0);
    let silent = workers.iter().enumerate().max_by_key(|(_, worker)| worker.silent_ms);
    let silent = silent.filter(|(_, worker)| worker.silent_ms >= SILENT_MS);
    let number = usize::try_from(overview.status.workers).unwrap_or(usize::MAX);
    let mut facts = vec![
        cell(format!("{} open", overview.status.connections)),
        cell(format!(
            "{}/s accepted",
            rated(picture.rates.as_ref().map(|it| it.accepted))
        )),
    ];
    if let Some((place, worker)) = silent {
        let said = format!("worker {place} silent for {}", time(worker.silent_ms));
        facts.push(toned(said, Tone::Bad));
    }
    facts.push(cell(count(number, "worker")));
    facts.push(cell(format!("late by {}", micros(delay))));
    facts
}

/// The same where there are two lines for all of it.
pub fn short(picture: &Picture) -> Vec<Cell> {
    let rates = picture.rates.as_ref();
    let speed = |bytes: Option<Bytes>| or_unknown(bytes.map(|it| size(it.total())));
    vec![
        cell(format!("{} open", picture.overview.status.connections)),
        cell(format!("up {}/s", speed(rates.map(|it| it.up)))),
        cell(format!("down {}/s", speed(rates.map(|it| it.down)))),
        cell(format!("{}/s accepted", rated(rates.map(|it| it.accepted)))),
    ]
}

pub fn traffic(picture: &Picture) -> Table {
    let mut table = Table::of(vec![
        Column::word("BYTES/S"),
        Column::figure("ALL"),
        Column::figure("COPIED").rank(2),
        Column::figure("SPLICED").rank(2),
        Column::figure("FILTERED").rank(2),
        Column::figure("SO FAR").rank(1),
    ]);
    let traffic = &picture.overview.traffic;
    let rates = picture.rates.as_ref();
    for (way, rate, so_far) in [
        ("up", rates.map(|it| it.up), traffic.up),
        ("down", rates.map(|it| it.down), traffic.down),
    ] {
        let speed = |of: fn(&Bytes) -> u64| cell(or_unknown(rate.map(|rate| size(of(&rate)))));
        table.push(vec![
            cell(way),
            speed(Bytes::total),
            speed(|it| it.copied),
            speed(|it| it.spliced),
            speed(|it| it.filtered),
            cell(size(so_far.total())),
        ]);
    }
    table
}

pub fn workers(picture: &Picture) -> Table {
    let mut table = Table::of(vec![
        Column::figure("WORKER"),
        Column::figure("DELAY"),
        Column::figure("SEEN"),
        Column::figure("PIPES"),
    ]);
    for (place, worker) in picture.overview.workers.iter().enumerate() {
        table.push(vec![
            cell(place.to_string()),
            cell(micros(worker.delay_us)),
            match worker.silent_ms {
                0..SILENT_MS => cell(time(worker.silent_ms)),
                _ => toned(time(worker.silent_ms), Tone::Bad),
            },
            cell(worker.pipes.to_string()),
        ]);
    }
    table
}

pub fn listeners(picture: &Picture, order: Order) -> Table {
    let mut listeners: Vec<&Listener> = picture.overview.listeners.iter().collect();
    match order {
        Order::Connections => listeners.sort_by_key(|it| Reverse(it.connections)),
        Order::Bytes => listeners.sort_by_key(|it| Reverse(both(it.up, it.down))),
        _ => listeners.sort_by_key(|it| &it.name),
    }
    let mut table = Table::of(vec![
        Column::text("LISTENER"),
        Column::address("ADDRESS"),
        Column::text("UPSTREAM").rank(2),
        Column::word("TLS").rank(4),
        Column::text("ROUTES").rank(5),
        Column::text("FILTERS").rank(3),
        Column::figure("ENDED/S"),
        Column::figure("ENDED").rank(1),
        Column::figure("UP"),
        Column::figure("DOWN"),
        Column::text("OUTCOMES").rank(6),
    ]);
    for listener in listeners {
        let ended = picture.rates.as_ref().and_then(|rates| rates.ended.get(&listener.name));
        let mut outcomes: Vec<(&String, &u64)> = listener.outcomes.iter().collect();
        outcomes.sort_by_key(|(_, times)| Reverse(**times));
        let outcomes = outcomes.iter().map(|(outcome, times)| format!("{outcome} {times}"));
        table.push(vec![
            cell(&listener.name),
            cell(&listener.address),
            cell(known(listener.upstream.as_deref())),
            cell(if listener.tls { "yes" } else { "no" }),
            cell(listed(listener.routes.iter().cloned())),
            cell(listed(listener.filters.iter().cloned())),
            cell(rated(ended.copied())),
            cell(listener.connections.to_string()),
            cell(size(listener.up.total())),
            cell(size(listener.down.total())),
            cell(listed(outcomes)),
        ]);
    }
    table
}

/// A line for each upstream.
pub fn upstreams(picture: &Picture) -> Table {
    let is_up = |server: &&Server| server.state == ServerState::Up;
    let missing = |upstream: &Upstream| upstream.servers.len() - upstream.servers.iter().filter(is_up).count();
    let mut upstreams: Vec<&Upstream> = picture.overview.upstreams.iter().collect();
    upstreams.sort_by_key(|it| (Reverse(missing(it)), &it.name));
    let mut table = Table::of(vec![
        Column::text("UPSTREAM"),
        Column::word("SERVERS"),
        Column::figure("OPEN"),
        Column::text("NOT UP").rank(1),
    ]);
    for upstream in upstreams {
        let (all, missing) = (upstream.servers.len(), missing(upstream));
        let tone = match missing {
            _ if missing == all => Tone::Bad,
            0 => Tone::Good,
            _ => Tone::Odd,
        };
        let others = upstream.servers.iter().filter(|server| !is_up(server));
        let others = others.map(|server| format!("{} {}", server.address, server.state));
        table.push(vec![
            cell(&upstream.name),
            toned(format!("{} of {all} up", all - missing), tone),
            cell(upstream.connections.to_string()),
            cell(listed(others)),
        ]);
    }
    table
}

/// A line for each server.
pub fn servers(picture: &Picture, order: Order) -> Table {
    let mut upstreams: Vec<&Upstream> = picture.overview.upstreams.iter().collect();
    upstreams.sort_by_key(|it| &it.name);
    let of_each = |upstream| servers_of(upstream).map(move |server| (upstream, server));
    let mut servers: Vec<(&Upstream, Option<&Server>)> = upstreams.into_iter().flat_map(of_each).collect();
    match order {
        Order::Worst => servers.sort_by_key(|(_, server)| server.map_or(0, |it| goodness(it.state))),
        Order::Connections => servers.sort_by_key(|(_, server)| Reverse(server.map_or(0, |it| it.connections))),
        _ => {}
    }
    let mut table = Table::of(vec![
        Column::text("UPSTREAM"),
        Column::address("SERVER"),
        Column::word("STATE"),
        Column::word("HEALTH").rank(1),
        Column::figure("OPEN"),
        Column::figure("WEIGHT").rank(2),
        Column::figure("CHANGES").rank(3),
        Column::text("HOST").rank(4),
    ]);
    for (upstream, server) in servers {
        let Some(server) = server else {
            let row = [cell(&upstream.name), cell(UNKNOWN), toned("no servers", Tone::Bad)];
            table.push(row.into());
            continue;
        };
        let backup = if server.backup { " (backup)" } else { "" };
        let ejected = server
            .ejected_ms
            .map(|left| format!(" {}", time(left)))
            .unwrap_or_default();
        let most = server
            .max_connections
            .map(|most| format!("/{most}"))
            .unwrap_or_default();
        let configured = match server.weight == server.configured_weight {
            true => String::new(),
            false => format!(" (of {})", server.configured_weight),
        };
        table.push(vec![
            cell(&upstream.name),
            cell(format!("{}{backup}", server.address)),
            toned(format!("{}{ejected}", server.state), tone(server.state)),
            toned(server.health.to_string(), tone(server.health)),
            cell(format!("{}{most}", server.connections)),
            cell(format!("{}{configured}", server.weight)),
            cell(server.transitions.to_string()),
            cell(&server.host),
        ]);
    }
    table
}

pub fn filters(picture: &Picture, order: Order) -> Table {
    let cost = |(filter, generation): &(&Filter, &Generation)| {
        picture
            .rates
            .as_ref()
            .and_then(|rates| rates.cost(&filter.name, generation.number))
    };
    let mut filters: Vec<(&Filter, &Generation)> = Vec::new();
    for filter in &picture.overview.filters {
        filters.extend(filter.generations.iter().map(|generation| (filter, generation)));
    }
    let share = |it: &(&Filter, &Generation)| cost(it).map_or(0.0, |cost| cost.share);
    match order {
        Order::Cost => filters.sort_by(|a, b| share(b).total_cmp(&share(a))),
        Order::Worst => filters.sort_by_key(|(_, generation)| Reverse(generation.failures)),
        _ => filters.sort_by_key(|(filter, generation)| (&filter.name, Reverse(generation.number))),
    }
    let mut table = Table::of(vec![
        Column::text("FILTER"),
        Column::figure("GEN"),
        Column::word("STATE"),
        Column::figure("CALLS/S"),
        Column::figure("US/CALL"),
        Column::figure("EVER").rank(5),
        Column::figure("CPU").rank(1),
        Column::figure("FAILURES"),
        Column::figure("MEMORY").rank(2),
        Column::figure("INSTANCES").rank(3),
        Column::figure("SHOWN").rank(4),
        Column::figure("SKIPPED").rank(4),
        Column::text("SOURCE").rank(6),
    ]);
    for of in filters {
        let (filter, generation) = of;
        let cost = cost(&of);
        let failures = match generation.failures {
            0 => cell("0"),
            some => toned(some.to_string(), Tone::Bad),
        };
        let state = match generation.state.as_str() {
            "stable" => Tone::Good,
            "quarantined" => Tone::Bad,
            "canary" => Tone::Odd,
            _ => Tone::Plain,
        };
        table.push(vec![
            cell(&filter.name),
            cell(generation.number.to_string()),
            toned(&generation.state, state),
            cell(rated(cost.map(|it| it.calls))),
            cell(rated(cost.and_then(|it| it.each))),
            cell(rated(ever(generation))),
            cell(or_unknown(cost.map(|it| format!("{:.1}%", it.share * 100.0)))),
            failures,
            cell(size(generation.memory_bytes)),
            cell(generation.instances.to_string()),
            cell(size(generation.shown_bytes)),
            cell(size(generation.skipped_bytes)),
            cell(&filter.source),
        ]);
    }
    table
}

/// The biggest, unless the slowest are asked for.
pub fn connections(picture: &Picture, order: Order) -> Table {
    let (title, connections): (_, &[Connection]) = match order {
        Order::Slowest => ("SLOWEST", &picture.overview.slowest),
        _ => ("BIGGEST", &picture.overview.biggest),
    };
    let mut table = Table::of(vec![
        Column::figure(title),
        Column::address("CLIENT"),
        Column::text("LISTENER").rank(3),
        Column::text("UPSTREAM").rank(4),
        Column::address("SERVER").rank(1),
        Column::word("STAGE"),
        Column::figure("CONNECT").rank(3),
        Column::figure("AGE"),
        Column::figure("UP/S").rank(2),
        Column::figure("DOWN/S").rank(2),
        Column::figure("UP"),
        Column::figure("DOWN"),
        Column::text("FILTERS").rank(5),
        Column::text("ROUTE").rank(6),
    ]);
    for connection in connections {
        let moved = picture.rates.as_ref().and_then(|rates| rates.moved(connection.id));
        let filter = |it: &FilterGeneration| format!("{} {}", it.filter, it.generation);
        table.push(vec![
            cell(connection.id.to_string()),
            cell(known(connection.client.as_deref())),
            cell(&connection.listener),
            cell(known(connection.upstream.as_deref())),
            cell(known(connection.server.as_deref())),
            cell(&connection.stage),
            cell(or_unknown(connection.connect_ms.map(time))),
            cell(time(connection.age_ms)),
            cell(or_unknown(moved.map(|(up, _)| size(up)))),
            cell(or_unknown(moved.map(|(_, down)| size(down)))),
            cell(size(connection.up.total())),
            cell(size(connection.down.total())),
            cell(listed(connection.filters.iter().map(filter))),
            cell(known(connection.route.as_deref())),
        ]);
    }
    table
}

/// Connections that have ended.
pub fn recent(picture: &Picture, order: Order) -> Table {
    let mut recent: Vec<&Ended> = picture.overview.recent.iter().collect();
    match order {
        Order::Worst => recent.sort_by_key(|it| it.ok),
        Order::Longest => recent.sort_by_key(|it| Reverse(it.duration_ms)),
        Order::Bytes => recent.sort_by_key(|it| Reverse(both(it.up, it.down))),
        _ => {}
    }
    let mut table = Table::of(vec![
        Column::figure("ENDED"),
        Column::address("OUTCOME"),
        Column::figure("AGO"),
        Column::address("CLIENT").rank(1),
        Column::text("LISTENER").rank(3),
        Column::text("UPSTREAM").rank(4),
        Column::address("SERVER").rank(2),
        Column::figure("LASTED"),
        Column::figure("UP"),
        Column::figure("DOWN"),
    ]);
    for ended in recent {
        table.push(vec![
            cell(ended.id.to_string()),
            toned(&ended.outcome, if ended.ok { Tone::Good } else { Tone::Odd }),
            cell(time(picture.overview.at_ms.saturating_sub(ended.at_ms))),
            cell(known(ended.client.as_deref())),
            cell(&ended.listener),
            cell(known(ended.upstream.as_deref())),
            cell(known(ended.server.as_deref())),
            cell(time(ended.duration_ms)),
            cell(size(ended.up.total())),
            cell(size(ended.down.total())),
        ]);
    }
    table
}

/// Of the log: a line for each, of which no more is shown than fits.
pub fn errors(picture: &Picture) -> Table {
    let mut table = Table::of(vec![
        Column::word("LOGGED").rank(1),
        Column::word("LEVEL"),
        Column::figure("AGO"),
        Column::text("TEXT"),
    ]);
    for line in &picture.overview.errors {
        table.push(vec![
            cell(moment(line.at_ms)),
            level(line),
            cell(time(picture.overview.at_ms.saturating_sub(line.at_ms))),
            cell(&line.text),
        ]);
    }
    table
}

pub fn level(line: &LogLine) -> Cell {
    let tone = if line.level == "error" { Tone::Bad } else { Tone::Odd };
    toned(&line.level, tone)
}

/// As the log has it.
pub fn moment(ms: u64) -> String {
    let moment = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    or_unknown(moment.map(|moment| format!("{moment:.3}")))
}

/// One without any has a line too.
fn servers_of(upstream: &Upstream) -> impl Iterator<Item = Option<&Server>> {
    let none = upstream.servers.is_empty().then_some(None);
    upstream.servers.iter().map(Some).chain(none)
}

/// What is worse comes before.
fn goodness(state: ServerState) -> u8 {
    match state {
        ServerState::Down => 0,
        ServerState::Ejected => 1,
        ServerState::Unknown => 2,
        ServerState::Disabled => 3,
        ServerState::Draining => 4,
        ServerState::Up => 5,
    }
}

fn tone(state: ServerState) -> Tone {
    match state {
        ServerState::Up => Tone::Good,
        ServerState::Down | ServerState::Ejected => Tone::Bad,
        ServerState::Unknown | ServerState::Draining | ServerState::Disabled => Tone::Odd,
    }
}

fn both(up: Bytes, down: Bytes) -> u64 {
    up.total().saturating_add(down.total())
}

fn known(text: Option<&str>) -> &str {
    text.unwrap_or(UNKNOWN)
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| UNKNOWN.to_owned())
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    match texts.is_empty() {
        true => UNKNOWN.to_owned(),
        false => texts.join(", "),
    }
}

/// With a digit behind the point where there are few before it.
fn rated(rate: Option<f64>) -> String {
    match rate {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}"),
        Some(rate) if rate < 1e6 => format!("{rate:.0}"),
        Some(rate) => format!("{rate:.1e}"),
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        _ => time(us / 1000),
    }
}

//! Answers as people read them.

use crate::admin::said::{
    Bytes, Connection, Connections, FilterChanged, Filters, Limits, LimitsInForce, Listeners, Reloaded, Server,
    ServerOrigin, Status, StepKind, StepResult, Trace, Upstreams,
};
use crate::words::{printable, size, time};

pub fn status(status: &Status) -> String {
    let state = if status.draining { "draining" } else { "serving" };
    let generations: Vec<_> = status
        .generations
        .iter()
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    let mut lines = vec![
        format!("version      {}", status.version),
        format!("pid          {}", status.pid),
        format!("state        {state}"),
        format!("uptime       {}", time(status.uptime_ms)),
        format!("workers      {}", status.workers),
        format!("connections  {}", status.connections),
        format!("log level    {}", status.log_level),
    ];
    if !generations.is_empty() {
        lines.push(format!("filters      {}", generations.join(", ")));
    }
    lines.join("\n")
}

pub fn listeners(said: &Listeners) -> String {
    let mut rows = vec![row(&[
        "LISTENER", "ADDRESS", "UPSTREAM", "FILTERS", "ENDED", "UP", "DOWN",
    ])];
    for listener in &said.listeners {
        rows.push(vec![
            listener.name.clone(),
            listener.address.clone(),
            or_dash(listener.upstream.as_deref()),
            or_dash(
                Some(listener.filters.join(","))
                    .as_deref()
                    .filter(|names| !names.is_empty()),
            ),
            listener.connections.to_string(),
            size(listener.up.total()),
            size(listener.down.total()),
        ]);
    }
    aligned(&rows)
}

pub fn upstreams(said: &Upstreams) -> String {
    let mut rows = vec![row(&[
        "UPSTREAM",
        "SERVER",
        "STATE",
        "HEALTH",
        "WEIGHT",
        "CONNECTIONS",
        "CHANGES",
    ])];
    for upstream in &said.upstreams {
        let servers = upstream.servers.iter();
        rows.extend(servers.map(|server| [vec![upstream.name.clone()], server_row(server)].concat()));
    }
    aligned(&rows)
}

pub fn server(server: &Server) -> String {
    let head = row(&["SERVER", "STATE", "HEALTH", "WEIGHT", "CONNECTIONS", "CHANGES"]);
    aligned(&[head, server_row(server)])
}

fn server_row(server: &Server) -> Vec<String> {
    let backup = if server.backup { " (backup)" } else { "" };
    let origin = match server.origin {
        ServerOrigin::Operator => " (operator)",
        ServerOrigin::File | ServerOrigin::Dns => "",
    };
    let weight = match server.weight == server.configured_weight {
        true => server.weight.to_string(),
        false => format!("{} (configured: {})", server.weight, server.configured_weight),
    };
    let most = server
        .max_connections
        .map(|most| format!("/{most}"))
        .unwrap_or_default();
    vec![
        format!("{}{backup}{origin}", server.address),
        server.state.to_string(),
        server.health.to_string(),
        weight,
        format!("{}{most}", server.connections),
        server.transitions.to_string(),
    ]
}

pub fn limits(said: &LimitsInForce) -> String {
    let number = |limit: Option<i64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let column = |limits: &Limits| {
        [
            number(limits.connections),
            number(limits.connections_per_client),
            number(limits.rate),
            number(limits.rate_per_client),
            number(limits.ipv6_prefix),
            or_dash(limits.at_limit.as_deref()),
        ]
    };
    let keys = [
        "connections",
        "connections-per-client",
        "rate",
        "rate-per-client",
        "ipv6-prefix",
        "at-limit",
    ];
    let mut rows = vec![row(&["LIMIT", "IN FORCE", "CONFIGURED"])];
    let columns = column(&said.limits).into_iter().zip(column(&said.configured));
    rows.extend(
        keys.iter()
            .zip(columns)
            .map(|(key, (now, configured))| vec![(*key).to_owned(), now, configured]),
    );
    aligned(&rows)
}

pub fn filters(said: &Filters) -> String {
    let mut rows = vec![row(&[
        "FILTER",
        "GENERATION",
        "STATE",
        "DIGEST",
        "CALLS",
        "FAILURES",
        "CONNECTIONS",
        "INSTANCES",
    ])];
    for filter in &said.filters {
        for generation in &filter.generations {
            // As much of it as tells generations apart.
            let digest = generation.digest.strip_prefix("sha256:").unwrap_or(&generation.digest);
            rows.push(vec![
                filter.name.clone(),
                generation.number.to_string(),
                generation.state.clone(),
                digest.chars().take(12).collect(),
                generation.calls.to_string(),
                generation.failures.to_string(),
                generation.connections.to_string(),
                generation.instances.to_string(),
            ]);
        }
    }
    aligned(&rows)
}

pub fn filter_changed(said: &FilterChanged) -> String {
    let filter = &said.filter;
    match said.changed {
        true => format!("changed: generation {} of `{}` serves", filter.generation, filter.name),
        false => format!(
            "unchanged: generation {} of `{}` serves",
            filter.generation, filter.name
        ),
    }
}

/// As `spliceway check --against` prints it of two files.
pub fn planned(said: &Reloaded) -> String {
    let kept = said.kept.iter().map(|kept| format!("= {kept}"));
    let mut lines: Vec<_> = said.changed.iter().cloned().chain(kept).collect();
    let stays = &said.unchanged;
    lines.push(match said.changed.is_empty() {
        true => "= nothing changes".to_owned(),
        false => format!(
            "= as they are: filters: {}, upstreams: {}, listeners: {}",
            stays.filters, stays.upstreams, stays.listeners
        ),
    });
    lines.join("\n")
}

pub fn connections(said: &Connections) -> String {
    let mut rows = vec![row(&[
        "CONNECTION",
        "CLIENT",
        "LISTENER",
        "UPSTREAM",
        "SERVER",
        "STAGE",
        "AGE",
        "UP",
        "DOWN",
    ])];
    for connection in &said.connections {
        rows.push(vec![
            connection.id.to_string(),
            or_dash(connection.client.as_deref()),
            connection.listener.clone(),
            or_dash(connection.upstream.as_deref()),
            or_dash(connection.server.as_deref()),
            connection.stage.clone(),
            time(connection.age_ms),
            size(connection.up.total()),
            size(connection.down.total()),
        ]);
    }
    let more = said.next.map(|next| format!("there are more: --after {next}\n"));
    aligned(&rows) + &more.unwrap_or_default()
}

pub fn connection(said: &Connection) -> String {
    let filters = said.filters.iter().map(|it| format!("{} {}", it.filter, it.generation));
    let filters: Vec<_> = filters.collect();
    let moved = |bytes: &Bytes| {
        let Bytes {
            copied,
            spliced,
            filtered,
        } = bytes;
        format!(
            "{} bytes ({copied} copied, {spliced} spliced, {filtered} filtered)",
            bytes.total()
        )
    };
    [
        format!("connection  {}", said.id),
        format!("client      {}", or_dash(said.client.as_deref())),
        format!("listener    {}", said.listener),
        format!("route       {}", or_dash(said.route.as_deref())),
        format!("upstream    {}", or_dash(said.upstream.as_deref())),
        format!("server      {}", or_dash(said.server.as_deref())),
        format!(
            "filters     {}",
            or_dash(Some(filters.join(", ")).as_deref().filter(|names| !names.is_empty()))
        ),
        format!("stage       {}", said.stage),
        format!("age         {}", time(said.age_ms)),
        format!("up          {}", moved(&said.up)),
        format!("down        {}", moved(&said.down)),
    ]
    .join("\n")
        + &said.trace.as_ref().map(trace).unwrap_or_default()
}

/// A line for each decision, behind an empty one.
fn trace(trace: &Trace) -> String {
    let steps = trace.steps.iter().map(|step| {
        let name = step.name.as_deref().unwrap_or_default();
        row(&[decided_about(step.step), name, decided(step.result), &step.why])
    });
    let mut lines = format!("\n\n{}", aligned(&steps.collect::<Vec<_>>()));
    for (direction, way) in [("up", &trace.up), ("down", &trace.down)] {
        if let Some(way) = way {
            // As wide as "upstream", which there is where there are ways.
            lines.push_str(&format!("{direction:<8}  {}\n", way.why));
        }
    }
    lines.trim_end().to_owned()
}

fn decided_about(step: StepKind) -> &'static str {
    match step {
        StepKind::Accept => "accept",
        StepKind::Limit => "limit",
        StepKind::Detect => "detect",
        StepKind::Tls => "tls",
        StepKind::Route => "route",
        StepKind::Filter => "filter",
        StepKind::Upstream => "upstream",
        StepKind::Server => "server",
    }
}

fn decided(result: StepResult) -> &'static str {
    match result {
        StepResult::Done => "done",
        StepResult::Waits => "waits",
        StepResult::Late => "late",
        StepResult::Matched => "matched",
        StepResult::NoMatch => "no match",
        StepResult::Passed => "passed",
        StepResult::Chosen => "chosen",
        StepResult::Watches => "watches",
        StepResult::Failed => "failed",
    }
}

pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

pub(super) fn row(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Two spaces between columns, each as wide as its widest.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let shown = |row: &Vec<String>| row.iter().map(|text| printable(text).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column));
        widths.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (text, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{text:<width$}  "));
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::said::{Step, Way};

    #[test]
    fn a_trace_reads_like_an_explanation() {
        let step = |step, name: Option<&str>, result, why: &str| Step {
            step,
            name: name.map(str::to_owned),
            result,
            why: why.to_owned(),
            took_us: None,
        };
        let way = |zero_copy, why: &str| {
            Some(Way {
                zero_copy,
                why: why.to_owned(),
            })
        };
        let said = Trace {
            steps: vec![
                step(StepKind::Route, Some("blue"), StepResult::NoMatch, "client: no"),
                step(
                    StepKind::Upstream,
                    Some("app"),
                    StepResult::Chosen,
                    "the listener's own",
                ),
                step(StepKind::Server, Some("10.0.0.1:80"), StepResult::Chosen, "in turn"),
            ],
            up: way(false, "copied: transfers are small so far"),
            down: way(true, "spliced"),
        };
        assert_eq!(
            trace(&said),
            "\n
route     blue         no match  client: no
upstream  app          chosen    the listener's own
server    10.0.0.1:80  chosen    in turn
up        copied: transfers are small so far
down      spliced"
        );
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [row(&["A", "LONG"]), row(&["value", "x"])];
        assert_eq!(aligned(&rows), "A      LONG\nvalue  x\n");
        let hostile = [row(&["A"]), row(&["x\u{1b}[2J\n"])];
        assert_eq!(aligned(&hostile), "A\nx\\u{1b}[2J\\n\n");
    }
}

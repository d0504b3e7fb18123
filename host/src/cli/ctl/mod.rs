//! `spliceway ctl`: asks a proxy that runs what it does, and tells it what to do.

mod capture;
mod measures;
pub(super) mod table;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::ask::{Place, Trouble};
use super::{FAILED, WRONG, complain, say, top};
use crate::admin::said::{
    Connection, Connections, FilterChanged, Filters, Limits, LimitsInForce, Listeners, Load, LogLevel, NewServer,
    Reloaded, Server, ServerChange, ServerMode, Status, Upstream, Upstreams,
};
use crate::config::SCHEME;
use capture::{Capture, capture};
use measures::{OfMeasures, measures};

#[derive(Debug, Args)]
pub struct Ctl {
    #[command(flatten)]
    place: Place,

    /// Print answers as they come
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How the process is
    Status,
    /// Everything at a glance, as `spliceway top` shows it
    Overview,
    /// The configuration in force
    Config,
    /// Where clients connect, and what has become of their connections
    Listeners,
    /// Groups of servers, and how the servers are
    Upstreams,
    /// Filters and their generations
    Filters,
    /// The connections that are open now, or one of them
    Connections(Wanted),
    /// End a connection with RST
    Kill {
        /// Its number, as `connections` and the access log have it
        id: u64,
        /// For the log
        #[arg(long)]
        reason: Option<String>,
    },
    /// Change what a server gets
    #[command(subcommand)]
    Server(OnServer),
    /// What clients may have, or change it
    Limits(OfLimits),
    /// What is done to connections besides what the configuration says, or change it
    Measures(OfMeasures),
    /// Write down for a while what connections say, for Wireshark or as text
    Capture(Box<Capture>),
    /// Change which generation of a filter serves
    #[command(subcommand)]
    Filter(OnFilter),
    /// Do what SIGHUP does
    Reload {
        /// Change nothing, and say what would be changed
        #[arg(long)]
        dry_run: bool,
    },
    /// Accept nothing more, and end with the last connection
    Drain,
    /// What is logged, or change it
    LogLevel {
        /// error, warn, info, debug, trace, off, or directives such as `info,filter=debug`
        level: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Wanted {
    /// This one alone
    #[arg(conflicts_with_all = ["listener", "upstream", "client", "limit", "after"])]
    id: Option<u64>,
    /// Of this listener
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// To this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Of this address, or of this network
    #[arg(long, value_name = "IP[/BITS]")]
    client: Option<String>,
    /// How many, up to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// With higher numbers than this
    #[arg(long, value_name = "ID", default_value_t = 0)]
    after: u64,
}

#[derive(Debug, Args)]
struct OfLimits {
    /// Of this listener; of all together otherwise
    #[arg(long, value_name = "NAME", global = true)]
    listener: Option<String>,
    #[command(subcommand)]
    change: Option<OnLimits>,
}

#[derive(Debug, Subcommand)]
enum OnLimits {
    /// Limit these; what is left out is not limited
    Set {
        /// Connections at once
        #[arg(long, value_name = "N")]
        connections: Option<u32>,
        #[arg(long, value_name = "N")]
        connections_per_client: Option<u32>,
        /// New connections per second
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
        #[arg(long, value_name = "N")]
        rate_per_client: Option<u32>,
        /// How many leading bits of an IPv6 address are one client
        #[arg(long, value_name = "BITS")]
        ipv6_prefix: Option<u32>,
        /// What becomes of a new connection: queue(TIME), delay, fin or rst
        #[arg(long, value_name = "WHAT")]
        at_limit: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum OnServer {
    /// One more server
    Add {
        upstream: String,
        /// ip:port, host:port, or unix:PATH
        address: String,
        /// Its share in proportion to the others', 1 to 256
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
        /// It gets connections only where none of the others is up
        #[arg(long)]
        backup: bool,
        /// Connections that it may have at once
        #[arg(long, value_name = "N")]
        max_connections: Option<u32>,
    },
    /// No server any more
    Remove {
        upstream: String,
        /// As the file has it, or as it was added
        server: String,
        /// What becomes of its connections: keep, kill, or drain:TIME; as the upstream says otherwise
        #[arg(long, value_name = "FATE")]
        on_change: Option<String>,
    },
    /// Give it another share of new connections
    Weight {
        upstream: String,
        /// As `upstreams` has it
        server: String,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
        weight: u32,
    },
    /// No new connections, and those that it has end when they are idle
    Drain { upstream: String, server: String },
    /// No new connections, as if it were down
    Disable { upstream: String, server: String },
    /// Connections again, while it is up
    Enable { upstream: String, server: String },
}

#[derive(Debug, Subcommand)]
enum OnFilter {
    /// Look at its source again
    Reload { filter: String },
    /// Load it from somewhere else
    Load {
        filter: String,
        /// A file that the process may read, or `oci://HOST/REPOSITORY:TAG`
        source: String,
        /// What has to be there: sha256:DIGITS
        #[arg(long)]
        digest: Option<String>,
    },
    /// What is tried serves all new connections
    Promote { filter: String },
    /// What is tried serves none; where nothing is, the generation before serves again
    Rollback { filter: String },
}

/// What is asked, and how its answer looks.
struct Question {
    method: &'static str,
    path: String,
    body: Option<Json>,
    table: fn(&str) -> serde_json::Result<String>,
}

pub fn ctl(asked: Ctl) -> ExitCode {
    let asker = match asked.place.asker() {
        Ok(asker) => asker,
        Err(trouble) => return complain(WRONG, &trouble.to_string()),
    };
    let question = question(asked.command);
    match asker.ask(question.method, &question.path, question.body.as_ref()) {
        Ok(answer) if asked.json => {
            say(answer.trim_end());
            ExitCode::SUCCESS
        }
        Ok(answer) => match (question.table)(&answer) {
            Ok(table) => {
                say(table.trim_end());
                ExitCode::SUCCESS
            }
            Err(error) => complain(
                FAILED,
                &format!(
                    "the answer is not what was expected: {error}; is it a proxy of this version? (`--json` shows it)"
                ),
            ),
        },
        Err(Trouble::Refused { answer, .. }) if asked.json => {
            say(answer.trim_end());
            ExitCode::from(FAILED)
        }
        Err(trouble) => complain(FAILED, &trouble.to_string()),
    }
}

fn question(command: Command) -> Question {
    match command {
        Command::Status => get("/v1/status", |answer| {
            read::<Status>(answer).map(|it| table::status(&it))
        }),
        Command::Overview => get("/v1/overview", top::text),
        Command::Config => get("/v1/config", |answer| {
            let config: Json = serde_json::from_str(answer)?;
            serde_json::to_string_pretty(&config)
        }),
        Command::Listeners => get("/v1/listeners", |answer| {
            read::<Listeners>(answer).map(|it| table::listeners(&it))
        }),
        Command::Upstreams => get("/v1/upstreams", |answer| {
            read::<Upstreams>(answer).map(|it| table::upstreams(&it))
        }),
        Command::Filters => get("/v1/filters", |answer| {
            read::<Filters>(answer).map(|it| table::filters(&it))
        }),
        Command::Connections(wanted) => connections(&wanted),
        Command::Kill { id, reason } => post(
            &format!("/v1/connections/{id}/kill"),
            reason.map(|reason| json!({ "reason": reason })),
            |answer| read::<Connection>(answer).map(|it| format!("connection {} is killed", it.id)),
        ),
        Command::Server(change) => on_server(change),
        Command::Limits(of) => limits(of),
        Command::Measures(of) => measures(of),
        Command::Capture(asked) => capture(*asked),
        Command::Filter(change) => {
            let (filter, what, body) = match change {
                OnFilter::Reload { filter } => (filter, "reload", None),
                OnFilter::Load { filter, source, digest } => {
                    let source = absolute(source);
                    (filter, "load", serde_json::to_value(Load { source, digest }).ok())
                }
                OnFilter::Promote { filter } => (filter, "promote", None),
                OnFilter::Rollback { filter } => (filter, "rollback", None),
            };
            post(&format!("/v1/filters/{}/{what}", escaped(&filter)), body, |answer| {
                read::<FilterChanged>(answer).map(|it| table::filter_changed(&it))
            })
        }
        Command::Reload { dry_run: true } => post("/v1/reload?dry-run=true", None, |answer| {
            read::<Reloaded>(answer).map(|it| table::planned(&it))
        }),
        Command::Reload { dry_run: false } => post("/v1/reload", None, |answer| {
            read::<Reloaded>(answer).map(|it| match it.changed.is_empty() {
                true => "reloaded".to_owned(),
                false => it.changed.join("\n"),
            })
        }),
        Command::Drain => post("/v1/drain", None, |answer| {
            read::<Status>(answer).map(|it| format!("draining: {} connections are open", it.connections))
        }),
        Command::LogLevel { level: None } => get("/v1/log-level", |answer| read::<LogLevel>(answer).map(|it| it.level)),
        Command::LogLevel { level: Some(level) } => Question {
            method: "PUT",
            body: Some(json!({ "level": level })),
            ..get("/v1/log-level", |answer| read::<LogLevel>(answer).map(|it| it.level))
        },
    }
}

fn connections(wanted: &Wanted) -> Question {
    if let Some(id) = wanted.id {
        return get(&format!("/v1/connections/{id}"), |answer| {
            read::<Connection>(answer).map(|it| table::connection(&it))
        });
    }
    let mut path = format!("/v1/connections?limit={}&after={}", wanted.limit, wanted.after);
    for (key, value) in [
        ("listener", &wanted.listener),
        ("upstream", &wanted.upstream),
        ("client", &wanted.client),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", escaped(value)));
        }
    }
    get(&path, |answer| {
        read::<Connections>(answer).map(|it| table::connections(&it))
    })
}

fn limits(of: OfLimits) -> Question {
    let path = match of.listener {
        None => "/v1/limits".to_owned(),
        Some(name) => format!("/v1/listeners/{}/limits", escaped(&name)),
    };
    let question = get(&path, |answer| {
        read::<LimitsInForce>(answer).map(|it| table::limits(&it))
    });
    match of.change {
        None => question,
        Some(OnLimits::Set {
            connections,
            connections_per_client,
            rate,
            rate_per_client,
            ipv6_prefix,
            at_limit,
        }) => Question {
            method: "PUT",
            body: serde_json::to_value(Limits {
                connections: connections.map(i64::from),
                connections_per_client: connections_per_client.map(i64::from),
                rate: rate.map(i64::from),
                rate_per_client: rate_per_client.map(i64::from),
                ipv6_prefix: ipv6_prefix.map(i64::from),
                at_limit,
            })
            .ok(),
            ..question
        },
    }
}

/// The proxy has another directory.
fn absolute(source: String) -> String {
    if source.starts_with(SCHEME) {
        return source;
    }
    std::path::absolute(&source).map_or(source, |path| path.display().to_string())
}

/// Its servers from now on.
fn servers(answer: &str) -> serde_json::Result<String> {
    let upstream = read::<Upstream>(answer)?;
    Ok(table::upstreams(&Upstreams {
        upstreams: vec![upstream],
    }))
}

fn on_server(change: OnServer) -> Question {
    let mode = |mode| ServerChange {
        mode: Some(mode),
        weight: None,
    };
    let (upstream, server, change) = match change {
        OnServer::Add {
            upstream,
            address,
            weight,
            backup,
            max_connections,
        } => {
            let new = NewServer {
                address,
                weight: weight.map(i64::from),
                backup: backup.then_some(true),
                max_connections: max_connections.map(i64::from),
            };
            let path = format!("/v1/upstreams/{}/servers", escaped(&upstream));
            return post(&path, serde_json::to_value(new).ok(), servers);
        }
        OnServer::Remove {
            upstream,
            server,
            on_change,
        } => {
            let fate = on_change.map(|fate| format!("?on-change={}", escaped(&fate)));
            let (upstream, server) = (escaped(&upstream), escaped(&server));
            let path = format!("/v1/upstreams/{upstream}/servers/{server}{}", fate.unwrap_or_default());
            return Question {
                method: "DELETE",
                ..get(&path, servers)
            };
        }
        OnServer::Weight {
            upstream,
            server,
            weight,
        } => {
            let change = ServerChange {
                mode: None,
                weight: Some(weight),
            };
            (upstream, server, change)
        }
        OnServer::Drain { upstream, server } => (upstream, server, mode(ServerMode::Draining)),
        OnServer::Disable { upstream, server } => (upstream, server, mode(ServerMode::Disabled)),
        OnServer::Enable { upstream, server } => (upstream, server, mode(ServerMode::Enabled)),
    };
    let path = format!("/v1/upstreams/{}/servers/{}", escaped(&upstream), escaped(&server));
    post(&path, serde_json::to_value(change).ok(), |answer| {
        read::<Server>(answer).map(|it| table::server(&it))
    })
}

fn get(path: &str, table: fn(&str) -> serde_json::Result<String>) -> Question {
    Question {
        method: "GET",
        path: path.to_owned(),
        body: None,
        table,
    }
}

fn post(path: &str, body: Option<Json>, table: fn(&str) -> serde_json::Result<String>) -> Question {
    Question {
        method: "POST",
        body,
        ..get(path, table)
    }
}

fn read<T: DeserializeOwned>(answer: &str) -> serde_json::Result<T> {
    serde_json::from_str(answer)
}

/// As a part of a path, or of a query (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_is_escaped() {
        assert_eq!(escaped("unix:/run/a b.sock"), "unix%3A%2Frun%2Fa%20b.sock");
        assert_eq!(escaped("[::1]:80"), "%5B%3A%3A1%5D%3A80");
        let drain = OnServer::Drain {
            upstream: "a".to_owned(),
            server: "10.0.0.1:80".to_owned(),
        };
        let question = on_server(drain);
        assert_eq!(question.path, "/v1/upstreams/a/servers/10.0.0.1%3A80");
        assert_eq!(question.body, Some(json!({ "mode": "draining" })));
    }
}

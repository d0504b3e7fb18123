//! What a listener's filters would say of a connection: they are loaded, and asked as a proxy asks them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::connection::Connection;
use crate::config::{Config, FilterConfig, ListenerConfig, UpstreamConfig};
use crate::detect::{Found, Hello, speaks};
use crate::filter::{Attention, Candidate, Decision, Engine, Facts, Group, Groups, Role, Stop, Trial, Watcher, Window};
use crate::route::rules::{First, Known, Tls};

/// One filter, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Met {
    pub name: String,
    pub says: Says,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// It cannot be asked here: why.
    Nothing(String),
    /// Where it is a router, what it answers at first; and in which directions it wants to see bytes, up and down.
    This { router: Option<Answer>, watches: [bool; 2] },
}

/// What a router answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Passes,
    /// It has to see more, or to speak with the client.
    Wants(String),
    Chooses(String),
    Refuses(String),
    Fails,
}

/// In their order, with those that are not in a file left unasked: nobody connects anywhere.
pub(super) fn ask(config: &Config, listener: &ListenerConfig, connection: &Connection) -> Vec<Met> {
    if listener.filters.is_empty() {
        return Vec::new();
    }
    let engine = Engine::new();
    let met = listener.filters.iter().map(|name| {
        let says = match (&engine, config.filters.iter().find(|filter| filter.name == *name)) {
            (Ok(engine), Some(filter)) => ask_one(engine, config, filter, &connection.known()),
            (Err(error), _) => Err(error.to_string()),
            (_, None) => Err("there is none of that name".to_owned()),
        };
        Met {
            name: name.clone(),
            says: says.unwrap_or_else(Says::Nothing),
        }
    });
    met.collect()
}

fn ask_one(engine: &Engine, config: &Config, filter: &FilterConfig, known: &Known<'_>) -> Result<Says, String> {
    let file = filter.source.file().ok_or("it lies in a registry")?;
    let plain = FilterConfig {
        canary: None,
        quarantine: None,
        ..filter.clone()
    };
    let trial = Candidate::load(engine, file, &filter.grants)
        .and_then(|candidate| candidate.trial(plain, Arc::new(Servers::of(&config.upstreams))))
        .map_err(|error| format!("{error:#}"))?;
    let facts = facts(known);
    Ok(Says::This {
        router: trial.generation().is_router().then(|| answer(&trial, &facts, known)),
        watches: watches(&trial, &facts),
    })
}

/// What it could find out about such a connection.
fn facts(known: &Known<'_>) -> Arc<Facts> {
    let client = known.client.map(|client| SocketAddr::new(client, 0));
    let facts = Facts::new(0, client, None, "".into());
    let (name, alpn) = match known.tls {
        Tls::Hello { name, offered } => (name, offered.to_vec()),
        Tls::Established { name, alpn } => (name, alpn.map(str::to_owned).into_iter().collect()),
        Tls::Unknown | Tls::Absent => (None, Vec::new()),
    };
    let hello = matches!(known.tls, Tls::Hello { .. } | Tls::Established { .. }).then(|| Hello {
        server_name: name.map(str::to_owned),
        alpn,
        ..Hello::default()
    });
    let protocol = speaks(bytes(known));
    facts.learn(Arc::new(Found { protocol, hello }));
    Arc::new(facts)
}

fn bytes<'a>(known: &Known<'a>) -> &'a [u8] {
    match known.first {
        First::Bytes(bytes) => bytes,
        First::Gone { .. } => &[],
    }
}

fn answer(trial: &Trial, facts: &Arc<Facts>, known: &Known<'_>) -> Answer {
    let window = Window {
        bytes: bytes(known).to_vec(),
        round: 0,
        finished: false,
        timed_out: known.over,
        full: false,
    };
    match trial.route(facts, &window) {
        Ok(_) if !facts.failed().is_empty() => Answer::Fails,
        Ok(Decision::Pass) => Answer::Passes,
        Ok(Decision::Need(_)) if known.over => Answer::Passes,
        Ok(Decision::Need(more)) => Answer::Wants(format!("{more} more bytes of the client")),
        Ok(Decision::Exchange { .. }) => Answer::Wants("to speak with the client".to_owned()),
        Ok(Decision::Route { upstream, .. }) => Answer::Chooses(upstream),
        Err(Stop::Refused(refused)) => Answer::Refuses(refused.reason),
        Err(Stop::Failed { .. }) => Answer::Refuses("it fails, and its policy is to close".to_owned()),
    }
}

fn watches(trial: &Trial, facts: &Arc<Facts>) -> [bool; 2] {
    let roles = [Role::Inspector, Role::Transformer];
    if !roles.into_iter().any(|role| trial.generation().has_role(role)) {
        return [false; 2];
    }
    let watchers: Vec<Watcher> = match trial.open(facts) {
        Ok(Some(chain)) => chain.watchers(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let wants = |attention| attention != Attention::Detached;
    [
        watchers.iter().any(|watcher| wants(watcher.up.attention)),
        watchers.iter().any(|watcher| wants(watcher.down.attention)),
    ]
}

/// Upstreams as filters see them, where all of their servers are up.
struct Servers(Vec<Group>);

impl Servers {
    fn of(upstreams: &[UpstreamConfig]) -> Self {
        let group = |upstream: &UpstreamConfig| {
            let servers = u32::try_from(upstream.servers.len()).unwrap_or(u32::MAX);
            Group {
                name: upstream.name.clone(),
                servers,
                healthy: servers,
                connections: 0,
            }
        };
        Self(upstreams.iter().map(group).collect())
    }
}

impl Groups for Servers {
    fn get(&self, name: &str) -> Option<Group> {
        self.0.iter().find(|group| group.name == name).cloned()
    }

    fn all(&self) -> Vec<Group> {
        self.0.clone()
    }
}

//! What operators have changed of a configuration while the process runs: on top of what its file says.
//!
//! A change lasts until it is taken back, the process ends, or a reload brings a file that says something else of the same thing.

use std::collections::{BTreeMap, HashSet};

use crate::config::{
    Address, Config, FilterConfig, Limits, ListenerConfig, OnChange, Pull, ServerConfig, ServerPlace, Source,
    UpstreamConfig,
};
use crate::digest::Digest;

/// As many servers as a file of the size that we measure has, in one upstream.
const MOST_ADDED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// By their upstream.
    servers: BTreeMap<String, Servers>,
    /// Of all listeners together.
    limits: Option<Limits>,
    listeners: BTreeMap<String, Limits>,
    filters: BTreeMap<String, Component>,
}

/// What is not as the file has it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Servers {
    added: Vec<ServerConfig>,
    /// Of the file's.
    removed: Vec<ServerPlace>,
}

#[derive(Debug, Clone, PartialEq)]
struct Component {
    source: Source,
    digest: Option<Digest>,
}

/// What an operator wants to be otherwise.
#[derive(Debug, Clone)]
pub enum Amendment {
    AddServer {
        upstream: String,
        server: ServerConfig,
    },
    RemoveServer {
        upstream: String,
        /// As a file has it.
        address: String,
        /// What becomes of its connections; `None`: as its upstream says.
        fate: Option<OnChange>,
    },
    Limit {
        /// `None`: of all listeners together.
        listener: Option<String>,
        limits: Limits,
    },
    Load {
        filter: String,
        source: Source,
        /// What its source has to have.
        digest: Option<Digest>,
    },
}

/// Why it is not made so.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("there is no {what} `{name}`")]
    Missing { what: &'static str, name: String },
    /// It contradicts what there is.
    #[error("{error}")]
    Conflict { error: String, hint: &'static str },
    /// It cannot be served: all that keeps it from that.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Overrides {
    /// These, and another one.
    ///
    /// # Errors
    /// It is about something that the file does not have, or contradicts what there is.
    pub fn with(&self, file: &Config, amendment: &Amendment) -> Result<Self, Unfit> {
        let mut changed = self.clone();
        match amendment {
            Amendment::AddServer { upstream, server } => {
                let config = find_upstream(file, upstream)?;
                changed
                    .servers
                    .entry(upstream.clone())
                    .or_default()
                    .add(config, server)?;
            }
            Amendment::RemoveServer { upstream, address, .. } => {
                let config = find_upstream(file, upstream)?;
                changed
                    .servers
                    .entry(upstream.clone())
                    .or_default()
                    .remove(config, address)?;
            }
            Amendment::Limit { listener: None, limits } => {
                changed.limits = Some(*limits).filter(|limits| *limits != file.limits);
            }
            Amendment::Limit {
                listener: Some(name),
                limits,
            } => {
                let config = find_listener(file, name).ok_or_else(|| missing("listener", name))?;
                changed.listeners.remove(name);
                if config.limits != *limits {
                    changed.listeners.insert(name.clone(), *limits);
                }
            }
            Amendment::Load { filter, source, digest } => {
                let config = find_filter(file, filter).ok_or_else(|| missing("filter", filter))?;
                changed.filters.remove(filter);
                if config.source != *source || digest.is_some() {
                    let component = Component {
                        source: source.clone(),
                        digest: *digest,
                    };
                    changed.filters.insert(filter.clone(), component);
                }
            }
        }
        changed.servers.retain(|_, servers| *servers != Servers::default());
        Ok(changed)
    }

    /// Those that stay where another file takes the place of the one before: about what is the same in both. A server that an
    /// operator has added stays until the file names it.
    pub fn carried(&self, old: &Config, new: &Config) -> Self {
        let servers = self.servers.iter().filter_map(|(name, servers)| {
            let (old, new) = (find_upstream(old, name).ok()?, find_upstream(new, name).ok()?);
            Some((name.clone(), servers.carried(old, new)))
        });
        let listeners = self.listeners.iter().filter(|(name, _)| {
            let limits = |config| find_listener(config, name).map(|listener| listener.limits);
            limits(old) == limits(new)
        });
        let filters = self
            .filters
            .iter()
            .filter(|(name, _)| find_filter(old, name) == find_filter(new, name));
        Self {
            servers: servers.filter(|(_, servers)| *servers != Servers::default()).collect(),
            limits: self.limits.filter(|_| old.limits == new.limits),
            listeners: listeners.map(|(name, limits)| (name.clone(), *limits)).collect(),
            filters: filters
                .map(|(name, component)| (name.clone(), component.clone()))
                .collect(),
        }
    }

    /// What is to be in force.
    pub fn onto(&self, file: &Config) -> Config {
        let mut config = file.clone();
        for upstream in &mut config.upstreams {
            if let Some(servers) = self.servers.get(&upstream.name) {
                upstream.servers = servers.onto(&upstream.servers);
            }
        }
        config.limits = self.limits.unwrap_or(config.limits);
        for listener in &mut config.listeners {
            listener.limits = self.listeners.get(&listener.name).copied().unwrap_or(listener.limits);
        }
        for filter in &mut config.filters {
            if let Some(component) = self.filters.get(&filter.name) {
                filter.source = component.source.clone();
                filter.digest = component.digest;
                filter.pull = pull(filter.pull, &filter.source);
            }
        }
        config
    }

    /// The servers of an upstream that an operator has added.
    pub fn added(&self, upstream: &str) -> HashSet<String> {
        let servers = self.servers.get(upstream).into_iter();
        let added = servers.flat_map(|servers| &servers.added);
        added.map(|server| server.place.to_string()).collect()
    }

    /// A line for each thing that is not as the file has it.
    pub fn lines(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|(name, servers)| {
            let added = servers.added.iter().map(|server| format!("+{}", server.place));
            let removed = servers.removed.iter().map(|place| format!("-{place}"));
            (format!("upstream \"{name}\""), added.chain(removed).collect())
        });
        let limits = self.limits.iter().map(|_| ("limits".to_owned(), Vec::new()));
        let listeners = self.listeners.keys();
        let listeners = listeners.map(|name| (format!("listener \"{name}\""), vec!["limits".to_owned()]));
        let filters = self.filters.keys();
        let filters = filters.map(|name| (format!("filter \"{name}\""), vec!["source".to_owned()]));
        let all = filters.chain(servers).chain(limits).chain(listeners);
        all.map(|(subject, keys)| line(subject, keys)).collect()
    }
}

/// How many servers are on one line.
const TOLD: usize = 8;

fn line(subject: String, mut keys: Vec<String>) -> String {
    let more = keys.len().saturating_sub(TOLD);
    keys.truncate(TOLD);
    if more > 0 {
        keys.push(format!("and {more} more servers"));
    }
    match keys.is_empty() {
        true => format!("{subject} (an operator's)"),
        false => format!("{subject}: {} (an operator's)", keys.join(", ")),
    }
}

impl Servers {
    fn onto(&self, file: &[ServerConfig]) -> Vec<ServerConfig> {
        let stays = |server: &&ServerConfig| !self.removed.contains(&server.place);
        file.iter().filter(stays).chain(&self.added).cloned().collect()
    }

    fn add(&mut self, upstream: &UpstreamConfig, server: &ServerConfig) -> Result<(), Unfit> {
        let (name, place) = (&upstream.name, &server.place);
        if self.onto(&upstream.servers).iter().any(|known| known.place == *place) {
            return Err(Unfit::Conflict {
                error: format!("`{name}` has the server {place} already"),
                hint: "POST /v1/upstreams/{upstream}/servers/{address} changes what it gets",
            });
        }
        if upstream.original_destination.is_some() {
            return Err(Unfit::Wrong(vec![format!(
                "{place}: `{name}` has no servers, it sends connections to where they were to go (`original-destination`)"
            )]));
        }
        let is_unix = matches!(place, ServerPlace::Address(Address::Unix(_)));
        if is_unix && upstream.tls.as_ref().is_some_and(|tls| tls.name.is_none()) {
            return Err(Unfit::Wrong(vec![format!(
                "{place}: a unix socket has no name that its certificate could be for; `tls` of `{name}` says none"
            )]));
        }
        if upstream.servers.contains(server) {
            self.removed.retain(|removed| removed != place);
            return Ok(());
        }
        if self.added.len() >= MOST_ADDED {
            return Err(Unfit::Conflict {
                error: format!("operators have added {MOST_ADDED} servers to `{name}` already"),
                hint: "more than that belong into the file, or behind a name",
            });
        }
        self.added.push(server.clone());
        Ok(())
    }

    fn remove(&mut self, upstream: &UpstreamConfig, address: &str) -> Result<(), Unfit> {
        let is_it = |server: &ServerConfig| server.place.to_string() == address;
        if let Some(at) = self.added.iter().position(is_it) {
            self.added.remove(at);
        } else {
            let file = upstream.servers.iter().find(|server| is_it(server));
            let file = file.filter(|server| !self.removed.contains(&server.place));
            let place = &file.ok_or_else(|| missing("server", address))?.place;
            self.removed.push(place.clone());
        }
        if self.onto(&upstream.servers).iter().all(|server| server.backup) {
            return Err(Unfit::Conflict {
                error: format!("`{}` has no other server that is not a backup", upstream.name),
                hint: "add another one first, or disable this one",
            });
        }
        Ok(())
    }

    fn carried(&self, old: &UpstreamConfig, new: &UpstreamConfig) -> Self {
        let removed = match old.servers == new.servers {
            true => self.removed.clone(),
            false => Vec::new(),
        };
        let named = |server: &&ServerConfig| {
            let is_it = |known: &ServerConfig| known.place == server.place;
            new.servers.iter().any(is_it) && !removed.contains(&server.place)
        };
        let added = self.added.iter().filter(|server| !named(server));
        Self {
            added: added.cloned().collect(),
            removed,
        }
    }
}

/// Only what a tag means is asked for more than once.
fn pull(pull: Pull, source: &Source) -> Pull {
    match source {
        Source::Oci(reference) if reference.moving_tag().is_some() => pull,
        Source::Oci(_) | Source::File(_) => Pull::default(),
    }
}

fn find_upstream<'a>(config: &'a Config, name: &str) -> Result<&'a UpstreamConfig, Unfit> {
    let found = config.upstreams.iter().find(|upstream| upstream.name == name);
    found.ok_or_else(|| missing("upstream", name))
}

fn find_listener<'a>(config: &'a Config, name: &str) -> Option<&'a ListenerConfig> {
    config.listeners.iter().find(|listener| listener.name == name)
}

fn find_filter<'a>(config: &'a Config, name: &str) -> Option<&'a FilterConfig> {
    config.filters.iter().find(|filter| filter.name == name)
}

fn missing(what: &'static str, name: &str) -> Unfit {
    Unfit::Missing {
        what,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Plan;
    use super::*;
    use crate::config::{defaults, parse, part};

    const FILE: &str = r#"
[filters.guard]
source = "/guard.wasm"

[upstreams.app]
servers = ["127.0.0.1:1", "127.0.0.1:2"]

[[listeners]]
name = "front"
address = "127.0.0.1:80"
upstream = "app"
filters = ["guard"]
"#;

    fn config(text: &str) -> Config {
        parse(Path::new("test.toml"), text).unwrap()
    }

    /// The file, with this in the place of that.
    fn file(from: &str, to: &str) -> Config {
        assert!(FILE.contains(from), "{from}");
        config(&FILE.replacen(from, to, 1))
    }

    fn add(address: &str) -> Amendment {
        Amendment::AddServer {
            upstream: "app".to_owned(),
            server: part::server(&[("address", address.into())]).unwrap(),
        }
    }

    fn remove(address: &str) -> Amendment {
        Amendment::RemoveServer {
            upstream: "app".to_owned(),
            address: address.to_owned(),
            fate: None,
        }
    }

    fn limit(listener: Option<&str>, connections: u32) -> Amendment {
        Amendment::Limit {
            listener: listener.map(str::to_owned),
            limits: Limits {
                connections: Some(connections),
                ..defaults::LIMITS
            },
        }
    }

    fn load(source: &str) -> Amendment {
        Amendment::Load {
            filter: "guard".to_owned(),
            source: Source::File(source.into()),
            digest: None,
        }
    }

    fn amended(amendments: &[Amendment]) -> Overrides {
        let file = config(FILE);
        let with = |overrides: Overrides, amendment| overrides.with(&file, amendment).unwrap();
        amendments.iter().fold(Overrides::default(), with)
    }

    fn servers(config: &Config) -> Vec<String> {
        let servers = config.upstreams[0].servers.iter();
        servers.map(|server| server.place.to_string()).collect()
    }

    #[test]
    fn servers_come_and_go_on_top_of_the_file() {
        let overrides = amended(&[add("127.0.0.1:3"), remove("127.0.0.1:1")]);
        let in_force = overrides.onto(&config(FILE));
        assert_eq!(servers(&in_force), ["127.0.0.1:2", "127.0.0.1:3"]);
        assert_eq!(overrides.added("app"), HashSet::from(["127.0.0.1:3".to_owned()]));
        assert_eq!(
            overrides.lines(),
            ["upstream \"app\": +127.0.0.1:3, -127.0.0.1:1 (an operator's)"]
        );
        let back = [
            add("127.0.0.1:3"),
            remove("127.0.0.1:1"),
            remove("127.0.0.1:3"),
            add("127.0.0.1:1"),
        ];
        assert_eq!(amended(&back), Overrides::default());
        // As another one than the file's it is an operator's.
        let heavier = Amendment::AddServer {
            upstream: "app".to_owned(),
            server: part::server(&[("address", "127.0.0.1:1".into()), ("weight", 2.into())]).unwrap(),
        };
        let overrides = amended(&[remove("127.0.0.1:1"), heavier]);
        assert_eq!(overrides.onto(&config(FILE)).upstreams[0].servers[1].weight, 2);
        assert!(overrides.added("app").contains("127.0.0.1:1"));
        assert_eq!(overrides.carried(&config(FILE), &config(FILE)), overrides);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let file = config(FILE);
        let refused = |amendments: &[Amendment], last: &Amendment| amended(amendments).with(&file, last).unwrap_err();
        for (error, said) in [
            (refused(&[], &add("127.0.0.1:1")), "has the server 127.0.0.1:1 already"),
            (refused(&[add("h.example:3")], &add("h.example:3")), "already"),
            (refused(&[], &remove("127.0.0.1:3")), "no server `127.0.0.1:3`"),
            (refused(&[remove("127.0.0.1:1")], &remove("127.0.0.1:1")), "no server"),
            (
                refused(&[remove("127.0.0.1:1")], &remove("127.0.0.1:2")),
                "no other server",
            ),
            (refused(&[], &limit(Some("back"), 1)), "no listener `back`"),
        ] {
            assert!(error.to_string().contains(said), "{error}");
        }
        let other = |amendment| match amendment {
            Amendment::AddServer { server, .. } => Amendment::AddServer {
                upstream: "other".to_owned(),
                server,
            },
            amendment => amendment,
        };
        assert!(matches!(
            refused(&[], &other(add("127.0.0.1:3"))),
            Unfit::Missing { what: "upstream", .. }
        ));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let file = config(FILE);
        let one = amended(&[add("127.0.0.1:3")]);
        let mut full = one.clone();
        let servers = full.servers.get_mut("app").unwrap();
        servers.added = (0..MOST_ADDED)
            .map(|number| part::server(&[("address", format!("h{number}.example:1").into())]).unwrap())
            .collect();
        let error = full.with(&file, &add("127.0.0.1:3")).unwrap_err();
        assert!(error.to_string().contains("10000 servers"), "{error}");
        assert!(full.lines()[0].contains("and 9992 more servers"));
    }

    #[test]
    fn added_servers_stay_until_the_file_names_them_and_removed_ones_until_it_says_something_else() {
        let old = config(FILE);
        let overrides = amended(&[add("127.0.0.1:3"), add("127.0.0.1:4"), remove("127.0.0.1:1")]);
        let same = file("name = \"front\"", "name = \"back\"");
        assert_eq!(overrides.carried(&old, &same), overrides);
        let named = file("\"127.0.0.1:2\"]", "\"127.0.0.1:2\", \"127.0.0.1:3\"]");
        let carried = overrides.carried(&old, &named);
        assert_eq!(
            servers(&carried.onto(&named)),
            ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"]
        );
        assert_eq!(carried.added("app"), HashSet::from(["127.0.0.1:4".to_owned()]));
        let gone = file(
            "[upstreams.app]",
            "[upstreams.other]\nservers = [\"127.0.0.1:9\"]\n[upstreams.app]",
        );
        assert_eq!(overrides.carried(&old, &gone), overrides);
        let renamed = config(&FILE.replace("app", "other"));
        assert_eq!(overrides.carried(&old, &renamed), Overrides::default());
    }

    #[test]
    fn limits_and_sources_stay_until_the_file_says_something_else_of_the_same() {
        let old = config(FILE);
        let overrides = amended(&[limit(None, 5), limit(Some("front"), 6), load("/other.wasm")]);
        let in_force = overrides.onto(&old);
        assert_eq!(in_force.limits.connections, Some(5));
        assert_eq!(in_force.listeners[0].limits.connections, Some(6));
        assert_eq!(in_force.filters[0].source, Source::File("/other.wasm".into()));
        let lines = overrides.lines();
        assert_eq!(
            lines,
            [
                "filter \"guard\": source (an operator's)",
                "limits (an operator's)",
                "listener \"front\": limits (an operator's)",
            ]
        );
        // Whatever else changes.
        let other = file("upstream = \"app\"", "upstream = \"app\"\non-change = \"kill\"");
        assert_eq!(overrides.carried(&old, &other), overrides);
        let limited = file(
            "[[listeners]]",
            "[limits]\nconnections = 9\n[[listeners]]\nlimits = { rate = 3 }",
        );
        let carried = overrides.carried(&old, &limited);
        assert_eq!(carried.lines(), lines[..1]);
        let granted = file("source = \"/guard.wasm\"", "source = \"/guard.wasm\"\ngrants = []");
        assert_eq!(overrides.carried(&old, &granted).lines(), lines[1..]);
        // As the file has it, it is the file's.
        let back = Amendment::Limit {
            listener: None,
            limits: old.limits,
        };
        assert_eq!(
            amended(&[limit(None, 5), back, load("/other.wasm"), load("/guard.wasm")]),
            Overrides::default()
        );
    }

    #[test]
    fn a_plan_tells_what_is_lost_as_a_change() {
        let old = config(FILE);
        let overrides = amended(&[add("127.0.0.1:3"), limit(None, 5)]);
        let new = file("[[listeners]]", "[limits]\nconnections = 9\n[[listeners]]");
        let carried = overrides.carried(&old, &new);
        let plan = Plan::between(&overrides.onto(&old), &carried.onto(&new)).keeping(&carried);
        assert_eq!(
            plan.to_string(),
            "~ limits\n\
             = upstream \"app\": +127.0.0.1:3 (an operator's)\n\
             = as they are: filters: 1, upstreams: 1, listeners: 1"
        );
    }
}

//! What a new configuration changes of the one in force: a plan, which is a pure function of the two and can be printed.
//! [`Server::apply`](crate::server::Server::apply) carries it out.

mod keys;
mod overrides;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::config::{Config, FilterConfig, ListenerConfig, OnChange, RouteConfig, UpstreamConfig};
use keys::{filter_keys, listener_keys, route_keys, settings, socket_keys, table_keys, upstream_keys};
pub use overrides::{Amendment, Overrides, Unfit};

/// Everything that is not as it was, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// What operators have changed, and stays as they have it: a line for each.
    pub kept: Vec<String>,
    /// Of each kind of things, how many stay as they are.
    stays: Vec<(&'static str, usize)>,
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    /// As in `listener "front"`.
    pub subject: String,
    /// What of it has changed, as its keys are typed.
    pub keys: Vec<String>,
    /// What becomes of the connections that came by it; `None` where it has none.
    pub fate: Option<OnChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Added,
    Changed,
    Removed,
    /// It is not what a process can change while it runs: the next one has it.
    Deferred,
}

impl Plan {
    /// What has to be done where `old` is in force and `new` is to be.
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut plan = Self::default();
        plan.settings(old, new);
        let filters = Things {
            subject: &|filter: &FilterConfig| format!("filter \"{}\"", filter.name),
            name: |filter| &filter.name,
            keys: filter_keys,
            // Connections keep the generation that they began with.
            fate: |_| None,
        };
        let stay = plan.compare(&filters, &old.filters, &new.filters);
        plan.stays.push(("filter", stay));
        let upstreams = Things {
            subject: &|upstream: &UpstreamConfig| format!("upstream \"{}\"", upstream.name),
            name: |upstream| &upstream.name,
            keys: upstream_keys,
            fate: |upstream| Some(upstream.on_change),
        };
        let stay = plan.compare(&upstreams, &old.upstreams, &new.upstreams);
        plan.stays.push(("upstream", stay));
        let listeners = Things {
            subject: &|listener: &ListenerConfig| format!("listener \"{}\"", listener.name),
            name: |listener| &listener.name,
            keys: listener_keys,
            fate: |listener| Some(listener.on_change),
        };
        let stay = plan.compare(&listeners, &old.listeners, &new.listeners);
        plan.stays.push(("listener", stay));
        for (old, new) in both(&old.listeners, &new.listeners, |listener| &listener.name) {
            plan.routes(old, new);
        }
        plan
    }

    /// Where these are on top of the new configuration.
    pub fn keeping(self, overrides: &Overrides) -> Self {
        Self {
            kept: overrides.lines(),
            ..self
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many of a kind stay as they are: of `filter`, `upstream` or `listener`.
    pub fn stays(&self, noun: &str) -> usize {
        let of_kind = self.stays.iter().find(|(known, _)| *known == noun);
        of_kind.map_or(0, |(_, count)| *count)
    }

    fn settings(&mut self, old: &Config, new: &Config) {
        for (subject, has_changed) in settings(old, new) {
            if has_changed {
                self.push(Kind::Changed, subject.to_owned(), Vec::new(), None);
            }
        }
        if old.workers != new.workers {
            self.push(Kind::Deferred, "workers".to_owned(), Vec::new(), None);
        }
        if old.process != new.process {
            self.push(Kind::Deferred, "process".to_owned(), Vec::new(), None);
        }
        if old.telemetry != new.telemetry {
            self.push(Kind::Deferred, "telemetry".to_owned(), Vec::new(), None);
        }
        for (old, new) in both(&old.listeners, &new.listeners, |listener| &listener.name) {
            let keys = socket_keys(old, new);
            if !keys.is_empty() {
                self.push(Kind::Deferred, format!("listener \"{}\"", new.name), keys, None);
            }
        }
        for (old, new) in both(&old.filters, &new.filters, |filter| &filter.name) {
            let keys = table_keys(old, new);
            if !keys.is_empty() {
                self.push(Kind::Deferred, format!("filter \"{}\"", new.name), keys, None);
            }
        }
    }

    /// Returns how many stay as they are.
    fn compare<T: PartialEq>(&mut self, things: &Things<'_, T>, old: &[T], new: &[T]) -> usize {
        let Things {
            subject,
            name,
            keys,
            fate,
        } = things;
        let before: HashMap<&str, &T> = old.iter().map(|thing| (name(thing), thing)).collect();
        let mut stay = 0;
        for thing in new {
            match before.get(name(thing)) {
                None => self.push(Kind::Added, subject(thing), Vec::new(), None),
                Some(old) if *old == thing => stay += 1,
                Some(old) => {
                    let keys = keys(old, thing);
                    // Of a listener, its routes alone: they are told by themselves.
                    if !keys.is_empty() {
                        self.push(Kind::Changed, subject(thing), keys, fate(thing));
                    }
                }
            }
        }
        let after: HashSet<&str> = new.iter().map(name).collect();
        for thing in old.iter().filter(|thing| !after.contains(name(thing))) {
            self.push(Kind::Removed, subject(thing), Vec::new(), fate(thing));
        }
        stay
    }

    fn routes(&mut self, old: &ListenerConfig, new: &ListenerConfig) {
        let name: fn(&RouteConfig) -> &str = |route| &route.name;
        let routes = Things {
            subject: &|route: &RouteConfig| format!("route \"{}\" of listener \"{}\"", route.name, new.name),
            name,
            keys: route_keys,
            fate: |route| Some(route.on_change),
        };
        self.compare(&routes, &old.routes, &new.routes);
        // Those that stay, as they stand now and as they stood.
        let now = both(&old.routes, &new.routes, name)
            .into_iter()
            .map(|(_, route)| name(route));
        let then = both(&new.routes, &old.routes, name)
            .into_iter()
            .map(|(_, route)| name(route));
        if now.ne(then) {
            let subject = format!("routes of listener \"{}\"", new.name);
            self.push(Kind::Changed, subject, vec!["their order".to_owned()], None);
        }
    }

    fn push(&mut self, kind: Kind, subject: String, keys: Vec<String>, fate: Option<OnChange>) {
        self.changes.push(Change {
            kind,
            subject,
            keys,
            fate,
        });
    }
}

/// What there is several of, each with a name.
struct Things<'a, T> {
    subject: &'a dyn Fn(&T) -> String,
    name: fn(&T) -> &str,
    /// What differs, as its keys are typed.
    keys: fn(&T, &T) -> Vec<String>,
    /// What becomes of the connections that came by it, as it says itself.
    fate: fn(&T) -> Option<OnChange>,
}

/// Those that are there before and after, in the order of the new ones.
fn both<'a, T>(old: &'a [T], new: &'a [T], name: impl Fn(&T) -> &str) -> Vec<(&'a T, &'a T)> {
    let before: HashMap<&str, &T> = old.iter().map(|thing| (name(thing), thing)).collect();
    let pair = |new| Some((*before.get(name(new))?, new));
    new.iter().filter_map(pair).collect()
}

impl fmt::Display for Plan {
    /// A line for each change, for each thing that is as an operator has it, and one for what stays.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        for kept in &self.kept {
            writeln!(f, "= {kept}")?;
        }
        let stays: Vec<_> = self
            .stays
            .iter()
            .map(|(noun, count)| format!("{noun}s: {count}"))
            .collect();
        match self.is_empty() {
            true => write!(f, "= nothing changes"),
            false => write!(f, "= as they are: {}", stays.join(", ")),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            Kind::Added => '+',
            Kind::Changed => '~',
            Kind::Removed => '-',
            Kind::Deferred => '!',
        };
        write!(f, "{sign} {}", self.subject)?;
        if !self.keys.is_empty() {
            write!(f, ": {}", self.keys.join(", "))?;
        }
        if self.kind == Kind::Deferred {
            f.write_str(" (not before the next process: `spliceway upgrade`, or a restart)")?;
        }
        match self.fate.unwrap_or_default() {
            OnChange::Keep => Ok(()),
            fate => write!(f, " (its connections {fate})"),
        }
    }
}

//! What a configuration names, looked at without serving it.

use std::sync::Arc;

use anyhow::Context;

use super::filters::load_filter;
use crate::admin;
use crate::artifact::Library;
use crate::config::{Config, FilterConfig};
use crate::filter::{About, Engine, Filter};
use crate::in_force::InForce;
use crate::sockets;
use crate::tls::{Originator, Terminator};
use crate::treatment::capture;
use crate::upstream::{self, Upstreams};

/// What each of a configuration's filters is, or what keeps it from loading: it is compiled, and its `init` is run.
pub fn check_filters(config: &Config) -> Vec<Result<About, String>> {
    if config.filters.is_empty() {
        return Vec::new();
    }
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return vec![Err(format!("{error:#}"))],
    };
    let nobody = Arc::new(Upstreams::default());
    let library = Arc::new(Library::new(config));
    let load = |filter| match load_filter(filter, &engine, &nobody, &library) {
        Ok(filter) => Ok(filter.choose(None).about()),
        Err(error) => Err(format!("{error:#}")),
    };
    config.filters.iter().map(load).collect()
}

/// Everything that would keep a configuration from taking the place of the one in force, as far as it can be found out without
/// a trace: certificates are read, names looked up, and filters that are not as they were compiled and tried. Addresses are
/// not bound, and files of logs not opened. Takes as long as that takes: not for a worker.
pub fn rehearse(in_force: &InForce, config: &Config, engine: Option<Engine>) -> Vec<String> {
    let old = &in_force.config;
    let mut problems = said(listener_problems(config));
    problems.extend(check_captures(config));
    if let Err(errors) = upstream::prepare(&in_force.upstreams, old, config) {
        problems.extend(errors.iter().map(|error| format!("{error:#}")));
    }
    problems.extend(sockets::problems(Some(old), config));
    let token = config.admin.as_ref().and_then(|config| admin::token(config).err());
    problems.extend(token.map(|error| format!("{error:#}")));
    let same_library = (&old.registries, &old.trust) == (&config.registries, &config.trust);
    let is_loaded = |filter: &&FilterConfig| same_library && old.filters.contains(filter);
    let changed: Vec<_> = config.filters.iter().filter(|filter| !is_loaded(filter)).collect();
    if changed.is_empty() {
        return problems;
    }
    let engine = match engine.map_or_else(Engine::new, Ok) {
        Ok(engine) => engine,
        Err(error) => {
            problems.push(format!("{error:#}"));
            return problems;
        }
    };
    let library = Arc::new(Library::new(config));
    for filter in changed {
        let upstreams = Arc::clone(&in_force.upstreams);
        // In a slot of its own: what it defines is not the metrics, nor the store, of the one that serves.
        let slot = Filter::from_library(filter.clone(), &engine, upstreams, Arc::clone(&library));
        let examined = slot.examine().with_context(|| format!("filter \"{}\"", filter.name));
        problems.extend(examined.err().map(|error| format!("{error:#}")));
    }
    problems
}

/// Everything that keeps the certificates of listeners and upstreams from being of use: each of their files is read.
pub fn check_certificates(config: &Config) -> Vec<String> {
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let error = Originator::load(upstream.tls.as_ref()?).err()?;
        Some((format!("upstream \"{}\"", upstream.name), error))
    });
    said(listener_problems(config).chain(upstreams))
}

/// What keeps captures from being written: their directories are looked at.
pub fn check_captures(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().flat_map(|listener| {
        let whose = format!("listener \"{}\"", listener.name);
        let routes = listener.routes.iter().map(move |route| {
            let whose = format!("listener \"{}\", route \"{}\"", listener.name, route.name);
            (whose, &route.treatment)
        });
        std::iter::once((whose, &listener.treatment)).chain(routes)
    });
    let upstreams = config.upstreams.iter();
    let upstreams = upstreams.map(|upstream| (format!("upstream \"{}\"", upstream.name), &upstream.treatment));
    let problems = listeners.chain(upstreams);
    said(problems.filter_map(|(whose, treatment)| Some((whose, capture::check(treatment).err()?))))
}

/// Everything that keeps their sockets from being what they are to be.
pub fn check_sockets(config: &Config) -> Vec<String> {
    sockets::problems(None, config)
}

fn listener_problems(config: &Config) -> impl Iterator<Item = (String, anyhow::Error)> {
    config.listeners.iter().filter_map(|listener| {
        let error = Terminator::load(listener.tls.as_ref()?).err()?;
        Some((format!("listener \"{}\"", listener.name), error))
    })
}

/// A line for each of them, with whose it is.
fn said(problems: impl Iterator<Item = (String, anyhow::Error)>) -> Vec<String> {
    let lines = problems.flat_map(|(whose, error)| {
        let text = format!("{error:#}");
        let lines: Vec<_> = text.lines().map(|line| format!("{whose}: {line}")).collect();
        lines
    });
    lines.collect()
}

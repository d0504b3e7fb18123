//! What a configuration names, looked at without serving it.

use std::sync::Arc;

use super::filters::load_filter;
use crate::artifact::Library;
use crate::config::Config;
use crate::filter::{About, Engine};
use crate::tls::{Originator, Terminator};
use crate::upstream::Upstreams;

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

/// Everything that keeps the certificates of listeners and upstreams from being of use: each of their files is read.
pub fn check_certificates(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter().filter_map(|listener| {
        let error = Terminator::load(listener.tls.as_ref()?).err()?;
        Some((format!("listener \"{}\"", listener.name), error))
    });
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let error = Originator::load(upstream.tls.as_ref()?).err()?;
        Some((format!("upstream \"{}\"", upstream.name), error))
    });
    let mut problems = Vec::new();
    for (whose, error) in listeners.chain(upstreams) {
        let lines = format!("{error:#}");
        problems.extend(lines.lines().map(|line| format!("{whose}: {line}")));
    }
    problems
}

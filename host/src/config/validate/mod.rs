//! From a file as typed to the configuration as meant: defaults, ranges, names, and what belongs together.

mod access_log;
mod admin;
mod canary;
mod capture;
mod certificate;
mod detection;
mod dns;
mod drain;
mod faults;
mod filter;
pub(super) mod given;
mod health;
pub(super) mod limits;
mod listener;
mod metrics;
mod mirror;
mod names;
pub(super) mod on_change;
mod order;
mod passive;
mod process;
mod proxy_protocol;
pub(super) mod pull;
mod quarantine;
mod queue;
mod registries;
mod resolver;
mod retire;
mod retries;
mod route;
mod routes;
pub(super) mod server;
mod socket;
mod socket_file;
mod source;
mod telemetry;
mod timeouts;
mod tls;
mod toxiproxy;
pub(super) mod treatment;
mod trust;
mod upstream;
mod vigilance;

use std::num::NonZeroUsize;
use std::path::Path;

use super::diagnostics::{Problems, Reported, all};
use super::reader::Given;
use super::{Config, file, ranges};
use access_log::access_log;
use admin::admin;
use drain::drain;
use filter::filter;
use given::{entries, table_or_default, within};
use limits::limits;
use listener::listeners;
use metrics::metrics;
use names::Names;
use process::process;
use registries::registries;
use resolver::resolver;
use routes::shared_routes;
use telemetry::telemetry;
use toxiproxy::toxiproxy;
use trust::trust;
use upstream::upstream;

/// The configuration that the file means. Relative paths in it start at `directory`.
pub(super) fn validate(file: file::File, directory: &Path, problems: &mut Problems) -> Result<Config, Reported> {
    let relays = upstream::relays(&file.upstreams);
    let filter_names = Names::of("filter", &file.filters);
    let upstream_names = Names::of("upstream", &file.upstreams);
    let listener_names = listener::names(&file.listeners);

    let workers = workers(file.workers, problems);
    let filters = all(entries(file.filters).map(|entry| filter(entry?, directory, problems)));
    let upstreams = all(entries(file.upstreams).map(|entry| upstream(entry?, &upstream_names, directory, problems)));
    let mut shared = shared_routes(file.routes, &listener_names, &upstream_names, problems);
    let known = listener::Known {
        filters: &filter_names,
        upstreams: &upstream_names,
        relays: &relays,
        directory,
    };
    let listeners = listeners(file.listeners, &mut shared, &known, problems);
    let limits = table_or_default(file.limits).and_then(|typed| limits(typed, problems));
    let drain = table_or_default(file.drain).and_then(|typed| drain(typed, problems));
    let resolver = table_or_default(file.resolver).and_then(|typed| resolver(typed, problems));
    let access_log = file
        .access_log
        .map(|given| access_log(given.value()?, directory, problems))
        .transpose();
    let metrics = file.metrics.map(|given| metrics(given.value()?, problems)).transpose();
    let telemetry = file
        .telemetry
        .map(|given| telemetry(given.value()?, problems))
        .transpose();
    let admin = file
        .admin
        .map(|given| admin(given.value()?, directory, problems))
        .transpose();
    let toxiproxy = file
        .toxiproxy
        .map(|given| toxiproxy(given.value()?, problems))
        .transpose();
    let process = table_or_default(file.process).and_then(|typed| process(typed, directory, problems));
    let registries = table_or_default(file.registries).and_then(|typed| registries(typed, directory, problems));
    let reload = table_or_default(file.reload);
    let watch = reload.and_then(|typed| typed.watch.map_or(Ok(false), Given::value));
    let trust = file.trust.map_or(Ok(Vec::new()), |given| {
        let tables = given.value()?;
        all(tables.into_iter().map(|typed| trust(typed, directory, problems)))
    });
    Ok(Config {
        workers: workers?,
        filters: filters?,
        upstreams: upstreams?,
        listeners: shared.complete.and(listeners)?,
        limits: limits?,
        drain: drain?,
        access_log: access_log?,
        resolver: resolver?,
        metrics: metrics?,
        telemetry: telemetry?,
        admin: admin?,
        toxiproxy: toxiproxy?,
        process: process?,
        registries: registries?,
        watch: watch?,
        trust: trust?,
    })
}

fn workers(given: Option<Given<i64>>, problems: &mut Problems) -> Result<Option<NonZeroUsize>, Reported> {
    let Some(given) = given else { return Ok(None) };
    let count = within(given, &ranges::WORKERS, problems)?;
    Ok(usize::try_from(count).ok().and_then(NonZeroUsize::new))
}

//! `spliceway filter dev`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::given::Given;
use super::page::took;
use super::test::failed;
use crate::authoring::build::{Manifest, Profile, manifest};
use crate::authoring::dev::{Rounds, Sources, Step, Trouble};
use crate::cli::{FAILED, WRONG, complain, say};
use crate::config::{self, Address, Config, Drain, FilterConfig, ListenAddress, ListenerConfig, UpstreamConfig};
use crate::filter::{ConfigRefused, Engine, Occasion};
use crate::server::Server;
use crate::watch::watch;

#[derive(Debug, Args)]
#[command(
    after_help = "Whenever a file of the crate changes, it is built, checked and tested, and replaces the one before if it passes: \
                  new connections get it, and those that there are keep theirs. If it does not, the last good one stays.\n\n\
                  Either a proxy runs in here, between --listen and --upstream; or another one runs with the configuration that \
                  --proxy names, and the component is put where that says. Ctrl-C ends it.\n\n\
                  Exit codes: 0: it was told to end; 1: it cannot go on; 2: the command line is wrong, or the filter refuses its \
                  configuration from the beginning."
)]
pub struct Dev {
    /// The crate's directory
    #[arg(default_value = ".", value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Where clients connect
    #[arg(long, value_name = "ADDRESS", requires = "upstream")]
    listen: Option<ListenAddress>,

    /// Where connections go; with a name in front of it, as in blue=127.0.0.1:8081, for filters that route. May be repeated
    #[arg(long, value_name = "[NAME=]ADDRESS", requires = "listen", value_parser = upstream)]
    upstream: Vec<(String, Address)>,

    /// The configuration of a proxy that runs: the filter that is called like the crate, or has its file, is replaced
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "config", "grants"])]
    proxy: Option<PathBuf>,

    #[command(flatten)]
    given: Given,

    /// Do not play the transcripts
    #[arg(long)]
    no_test: bool,

    /// End after so many rounds: for scripts
    #[arg(long, value_name = "NUMBER", hide = true)]
    rounds: Option<u32>,
}

fn upstream(text: &str) -> Result<(String, Address), String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) if !name.is_empty() => (name, address),
        Some(_) => return Err("expected a name before the `=`".to_owned()),
        None => ("default", text),
    };
    let address = address.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), address))
}

pub fn dev(asked: Dev) -> ExitCode {
    if asked.listen.is_none() && asked.proxy.is_none() {
        return complain(
            WRONG,
            "where is it to run? Expected either --listen ADDRESS and --upstream ADDRESS, for a proxy in here, or --proxy FILE, \
             the configuration of one that runs elsewhere",
        );
    }
    let begun = manifest(&asked.directory).map_err(|error| format!("{error:#}"));
    let begun = begun.and_then(|manifest| Ok((filter(&asked, &manifest)?, manifest)));
    let (config, manifest) = match begun {
        Ok(begun) => begun,
        Err(error) => return complain(WRONG, &error),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("cannot start").and_then(|runtime| {
        let ended = runtime.block_on(work(&asked, &config, &manifest));
        // Cargo may be at work.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => code,
        Err(error) => complain(FAILED, &format!("{error:#}")),
    }
}

/// The filter as the proxy has it, and where its file is.
fn filter(asked: &Dev, manifest: &Manifest) -> Result<FilterConfig, String> {
    let Some(path) = &asked.proxy else {
        // Beside the one that is built with all care.
        let file = manifest
            .target_directory()
            .join("filters/live")
            .join(format!("{}.wasm", manifest.name));
        return asked.given.filter(&file);
    };
    let config = config::load(path).map_err(|error| error.render(false))?;
    let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own = full(&manifest.component());
    let has_file = |filter: &FilterConfig| filter.source.file().is_some_and(|file| full(file) == own);
    let is_it = |filter: &&FilterConfig| filter.name == manifest.name || has_file(filter);
    let found = config.filters.iter().find(is_it);
    let only = || config.filters.first().filter(|_| config.filters.len() == 1);
    let found = found.or_else(only).cloned().ok_or_else(|| {
        let names: Vec<&str> = config.filters.iter().map(|filter| filter.name.as_str()).collect();
        format!(
            "{} has no filter \"{}\", and none with the file {}: it has {}",
            path.display(),
            manifest.name,
            own.display(),
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        )
    })?;
    Ok(found)
}

async fn work(asked: &Dev, config: &FilterConfig, manifest: &Manifest) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = rounds(asked, config, manifest) => ended,
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// A round for each change, for ever.
async fn rounds(asked: &Dev, config: &FilterConfig, manifest: &Manifest) -> anyhow::Result<ExitCode> {
    let engine = Engine::new()?;
    let sources = || Sources::of(&asked.directory, manifest.target_directory());
    let mut proxy: Option<Server> = None;
    let mut seen = sources()?;
    let mut saved = None;
    if !manifest.is_begun(Profile::Quick) {
        line(
            Step::Build.name(),
            None,
            "for the first time, with all that it depends on: a minute or two",
        );
    }
    for round in 1.. {
        // Before it is read: what changes in between is noticed.
        let watched = watch(&seen.paths())?;
        match (attempt(asked, config, &engine).await, &proxy) {
            (Attempt::Works { is_new }, _) => serve(asked, config, &mut proxy, saved, is_new).await?,
            // Later it is the crate that has changed, and may change back.
            (Attempt::ConfigRefused, _) if round == 1 => {
                let where_from = asked
                    .proxy
                    .as_deref()
                    .map_or_else(|| "--config".into(), Path::to_string_lossy);
                return Ok(complain(
                    WRONG,
                    &format!(
                        "{where_from}: no change of the crate is waited for; begin again with a configuration that it takes"
                    ),
                ));
            }
            (_, Some(proxy)) => {
                let generation = proxy.generation(&config.name).unwrap_or(0);
                line("serves", None, &format!("the last good one: generation {generation}"));
            }
            (_, None) => line("waits", None, "for a change"),
        }
        if asked.rounds == Some(round) {
            return Ok(ExitCode::SUCCESS);
        }
        let (changed, at) = loop {
            watched.changed().await;
            let now = sources()?;
            if let Some(change) = now.since(&seen) {
                seen = now;
                break change;
            }
        };
        saved = Some(at);
        let shown = changed.strip_prefix(&asked.directory).unwrap_or(&changed);
        say(&format!("{} changed", shown.display()));
    }
    bail!("there were too many rounds")
}

/// What has come of a round.
enum Attempt {
    /// There is a component that works; perhaps another one than before.
    Works { is_new: bool },
    /// It is the configuration that does not fit.
    ConfigRefused,
    /// Why has been said.
    Broken,
}

/// A round. Off this thread, which serves.
async fn attempt(asked: &Dev, config: &FilterConfig, engine: &Engine) -> Attempt {
    let (engine, directory, config) = (engine.clone(), asked.directory.clone(), config.clone());
    let tests = !asked.no_test;
    let attempted = tokio::task::spawn_blocking(move || {
        let rounds = Rounds {
            engine: &engine,
            directory: &directory,
            config,
            tests,
        };
        let tell = &mut |step: Step, time, text: &str| line(step.name(), Some(time), text);
        match rounds.round(tell) {
            Ok(is_new) => Attempt::Works { is_new },
            Err(trouble) => {
                say(&words(&trouble));
                match trouble {
                    Trouble::Broken(_, error) if error.is::<ConfigRefused>() => Attempt::ConfigRefused,
                    _ => Attempt::Broken,
                }
            }
        }
    });
    attempted.await.unwrap_or(Attempt::Broken)
}

fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Broken(step, error) => format!("{}\n  {:<9}failed", format!("{error:#}").trim_end(), step.name()),
        Trouble::Failed(failures) => {
            let cases: String = failures.iter().map(failed).collect();
            format!("{cases}  {:<9}{} failed", Step::Test.name(), failures.len())
        }
    }
}

/// New connections get what was published.
async fn serve(
    asked: &Dev,
    config: &FilterConfig,
    proxy: &mut Option<Server>,
    saved: Option<SystemTime>,
    is_new: bool,
) -> anyhow::Result<()> {
    let Some(listen) = &asked.listen else {
        let ready = "a proxy that runs with this configuration takes it now";
        line("ready", None, &format!("{ready}{}", since(saved)));
        return Ok(());
    };
    if let Some(proxy) = proxy {
        let before = proxy.generation(&config.name);
        proxy.reload_filters(Occasion::Request).await;
        let generation = proxy.generation(&config.name);
        let number = generation.unwrap_or(0);
        match (is_new, before == generation) {
            (true, true) => line("kept", None, &format!("generation {number}: the proxy has said why")),
            (true, false) => line("live", None, &format!("generation {number}{}", since(saved))),
            (false, _) => line(
                "live",
                None,
                &format!("generation {number}: the component is as before"),
            ),
        }
        return Ok(());
    }
    let server = Server::start(&between(listen, &asked.upstream, config))?;
    if let Some(listening) = server.listener(LISTENER) {
        let live = format!("generation 1{}, on {}", since(saved), listening.post.address());
        line("live", None, &live);
    }
    *proxy = Some(server);
    Ok(())
}

const LISTENER: &str = "dev";

/// A proxy with that filter.
fn between(listen: &ListenAddress, upstreams: &[(String, Address)], filter: &FilterConfig) -> Config {
    let upstream = |(name, address): &(String, Address)| UpstreamConfig::new(name, vec![address.clone().into()]);
    Config {
        filters: vec![filter.clone()],
        upstreams: upstreams.iter().map(upstream).collect(),
        listeners: vec![ListenerConfig {
            filters: vec![filter.name.clone()],
            // What no router decides goes to the first.
            upstream: upstreams.first().map(|(name, _)| name.clone()),
            ..ListenerConfig::new(LISTENER, listen.clone())
        }],
        // Nobody waits for the connections of somebody who tries something.
        drain: Drain {
            soft: None,
            spread: Duration::ZERO,
            hard: Some(Duration::ZERO),
        },
        ..Config::default()
    }
}

fn since(saved: Option<SystemTime>) -> String {
    let elapsed = saved.and_then(|saved| saved.elapsed().ok());
    elapsed.map_or_else(String::new, |elapsed| format!(", {} after it was saved", took(elapsed)))
}

/// One step, and how long it took.
fn line(step: &str, time: Option<Duration>, text: &str) {
    let time = time.map(took).unwrap_or_default();
    say(&format!("  {step:<9}{time:>8}  {text}"));
}

//! The command line: what it says, and which exit code stands for what.

mod ask;
mod check;
mod completions;
mod ctl;
mod explain;
mod filter;
mod man;
mod top;
mod upgrade;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{
    self, Address, Config, FilterConfig, ListenAddress, ListenerConfig, LoadError, ProcessConfig, ReferenceError,
    SCHEME, Source, UpgradeSocket, UpstreamConfig, defaults,
};
use crate::observe::log;
use crate::server::Ended;
use crate::words::count;
use crate::{demo, server};

/// A TCP proxy whose connections move in the kernel until a WebAssembly filter asks to see them.
#[derive(Debug, Parser)]
#[command(name = "spliceway", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0; 1: it could not start, also where a filter refuses its configuration, or failed while running; \
                  2: the command line or the configuration file is wrong; 3: it ended, and had to cut connections off at the end \
                  of its drain; 4: it was told to end twice, and cut connections off at once."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How the log on standard error is written; for people on a terminal, JSON otherwise
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    log_format: Option<log::Format>,

    /// What is logged: error, warn, info, debug, trace, or directives such as `info,filter=debug`
    /// [default: info; warn for `check` and the demo]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward connections without a configuration file
    Forward(Forward),
    /// Serve what a configuration file says
    Run(File),
    /// Say what the filters of a configuration file are, and everything that is wrong with it, with them and with its
    /// certificates, and change nothing
    Check(check::Check),
    /// Say which upstream a connection would get, and why
    Explain(explain::Explain),
    /// Ask a proxy that runs what it does, and tell it what to do
    Ctl(ctl::Ctl),
    /// Watch a proxy that runs, in a terminal
    Top(top::Top),
    /// Put another process, of another version perhaps, in the place of the running one, with no connection lost
    Upgrade(upgrade::Upgrade),
    /// Write, test and share filters
    #[command(subcommand)]
    Filter(filter::Command),
    /// Print what a shell completes commands with
    Completions(completions::Completions),
    /// Write the manual pages
    Man(man::Man),
    /// Show the proxy at work: routing, filtering, and a filter replaced under live traffic
    Demo(Demo),
}

#[derive(Debug, Args)]
struct Demo {
    /// Where the project's filters lie; where `make filters` puts them otherwise, beside this program
    #[arg(long, value_name = "DIRECTORY")]
    filters: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file
    #[arg(long, default_value = defaults::CONFIG_FILE, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Addresses: ip:port, [v6]:port, host:port, unix:/path. LISTEN may have port 0, and may be :port."
)]
struct Forward {
    /// Where clients connect
    listen: ListenAddress,

    /// Where connections go: the upstream named `default`
    upstream: Address,

    /// One more upstream, for filters that route; may be repeated
    #[arg(long = "upstream", value_name = "NAME=ADDRESS", value_parser = named_address)]
    upstreams: Vec<(String, Address)>,

    /// A filter's file, or `oci://HOST/REPOSITORY:TAG`; may be repeated, and they are asked in this order
    #[arg(long = "filter", value_name = "FILE", value_parser = source)]
    filters: Vec<Source>,

    /// The configuration of the `--filter` before it, as JSON
    #[arg(long = "filter-config", value_name = "JSON", value_parser = json)]
    filter_configs: Vec<serde_json::Value>,

    /// Worker threads; one for each CPU otherwise
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

/// What the process was asked to do could not be done.
const FAILED: u8 = 1;

/// What the process was asked to do makes no sense.
const WRONG: u8 = 2;

/// It ended as it was told to, and cut connections off at the end of its drain; or at once, since it was told twice.
const CUT_OFF: u8 = 3;
const HURRIED: u8 = 4;

/// Runs what the command line says, and says how it went.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let usual = match cli.command {
        // What it has to say is its answer.
        Command::Filter(filter::Command::Dev(_)) => "warn,filter=info",
        Command::Demo(_)
        | Command::Check(_)
        | Command::Explain(_)
        | Command::Ctl(_)
        | Command::Top(_)
        | Command::Upgrade(_)
        | Command::Filter(_) => "warn",
        _ => "info",
    };
    let level = cli.log_level.as_deref().unwrap_or(usual);
    if let Err(error) = log::start(cli.log_format, level) {
        return complain(WRONG, &format!("--log-level {level}: {error}"));
    }
    match cli.command {
        Command::Forward(forward) => {
            let Some(("forward", matches)) = matches.subcommand() else {
                unreachable!("the command was parsed from these matches")
            };
            match forward.config(matches) {
                Ok(config) => serve(&config, None),
                Err(error) => complain(WRONG, &error),
            }
        }
        Command::Run(File { config: file }) => match load(&file) {
            Ok(config) => serve(&config, Some(&file)),
            Err(code) => code,
        },
        Command::Check(asked) => check::check(asked),
        Command::Explain(asked) => explain::explain(asked),
        Command::Ctl(asked) => ctl::ctl(asked),
        Command::Top(asked) => top::top(asked),
        Command::Upgrade(asked) => upgrade::upgrade(asked),
        Command::Filter(asked) => filter::filter(asked),
        Command::Completions(asked) => completions::completions(asked, Cli::command()),
        Command::Man(asked) => man::man(asked, Cli::command()),
        Command::Demo(Demo { filters }) => match demo::run(&filters.unwrap_or_else(built_filters)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(FAILED, &format!("{error:#}")),
        },
    }
}

/// `target/filters`, seen from `target/release/spliceway`.
fn built_filters() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(2).unwrap_or_else(|| Path::new("target"));
    target.join("filters")
}

fn serve(config: &Config, file: Option<&Path>) -> ExitCode {
    match server::run(config, file) {
        Ok(Ended::Finished) => ExitCode::SUCCESS,
        Ok(Ended::CutOff) => ExitCode::from(CUT_OFF),
        Ok(Ended::Hurried) => ExitCode::from(HURRIED),
        Err(error) => complain(FAILED, &format!("{error:#}")),
    }
}

fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path).map_err(|error| {
        let text = error.render(std::io::stderr().is_terminal());
        match error {
            LoadError::Invalid(problems) => {
                say_error(&text);
                let count = count(problems.count(), "problem");
                complain(WRONG, &format!("{count} in {}", path.display()))
            }
            LoadError::Unreadable { .. } | LoadError::NotText { .. } => complain(WRONG, &text),
        }
    })
}

#[expect(clippy::print_stdout, reason = "the answer to a command belongs on standard output")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "a command that fails says why, once, outside of the log"
)]
fn say_error(text: &str) {
    eprintln!("{text}");
}

fn complain(code: u8, message: &str) -> ExitCode {
    say_error(&format!("spliceway: {message}"));
    ExitCode::from(code)
}

impl Forward {
    /// The configuration that these arguments stand for.
    fn config(self, matches: &ArgMatches) -> Result<Config, String> {
        let mut upstreams = vec![UpstreamConfig::new("default", vec![self.upstream.into()])];
        for (name, address) in self.upstreams {
            if upstreams.iter().any(|known: &UpstreamConfig| known.name == name) {
                return Err(format!("--upstream {name}: there is an upstream of that name already"));
            }
            upstreams.push(UpstreamConfig::new(&name, vec![address.into()]));
        }
        let configs = paired(matches, self.filter_configs)?;
        let mut filters: Vec<FilterConfig> = Vec::new();
        for (index, source) in self.filters.into_iter().enumerate() {
            let config = configs
                .iter()
                .find(|(filter, _)| *filter == index)
                .map(|(_, config)| config.clone());
            let name = free_name(&source, &filters);
            filters.push(FilterConfig {
                config: config.unwrap_or_default(),
                ..FilterConfig::new(&name, source)
            });
        }
        let listener = ListenerConfig {
            filters: filters.iter().map(|filter| filter.name.clone()).collect(),
            upstream: Some("default".to_owned()),
            ..ListenerConfig::new("forward", self.listen)
        };
        Ok(Config {
            workers: self.workers,
            filters,
            upstreams,
            listeners: vec![listener],
            // It would take the place of the service of this machine.
            process: ProcessConfig {
                upgrade_socket: UpgradeSocket::None,
                ..ProcessConfig::default()
            },
            ..Config::default()
        })
    }
}

/// Each configuration with the number of the filter that it follows on the command line.
fn paired(matches: &ArgMatches, configs: Vec<serde_json::Value>) -> Result<Vec<(usize, serde_json::Value)>, String> {
    let places = |id| {
        matches
            .indices_of(id)
            .map(Iterator::collect::<Vec<_>>)
            .unwrap_or_default()
    };
    let filters = places("filters");
    let mut paired: Vec<(usize, serde_json::Value)> = Vec::new();
    for (place, config) in places("filter_configs").into_iter().zip(configs) {
        let before = filters.iter().filter(|filter| **filter < place).count();
        let Some(filter) = before.checked_sub(1) else {
            return Err("--filter-config comes after the --filter that it belongs to".to_owned());
        };
        if paired.iter().any(|(known, _)| *known == filter) {
            return Err("--filter-config is given twice for one --filter".to_owned());
        }
        paired.push((filter, config));
    }
    Ok(paired)
}

/// A filter is called after its file; a second one of that name gets a number.
fn free_name(source: &Source, taken: &[FilterConfig]) -> String {
    let stem = source.name();
    let is_free = |name: &String| taken.iter().all(|filter| filter.name != *name);
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    std::iter::once(stem.clone())
        .chain(numbered)
        .find(is_free)
        .unwrap_or_default()
}

fn source(text: &str) -> Result<Source, String> {
    match text.starts_with(SCHEME) {
        true => text
            .parse()
            .map(Source::Oci)
            .map_err(|error: ReferenceError| error.to_string()),
        false => Ok(Source::File(text.into())),
    }
}

fn named_address(text: &str) -> Result<(String, Address), String> {
    let Some((name, address)) = text.split_once('=') else {
        return Err("expected NAME=ADDRESS, as in blue=10.0.0.1:5432".to_owned());
    };
    if name.is_empty() {
        return Err("expected a name before the `=`".to_owned());
    }
    let address = address.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), address))
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
}

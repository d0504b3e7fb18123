//! `spliceway check`: what the filters of a configuration are, and everything that is wrong with the files that it names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::ask::Asker;
use super::ctl::table;
use super::{FAILED, WRONG, complain, load, say, say_error};
use crate::admin::said::Text;
use crate::config::{self, Address, AddressError, Config, defaults};
use crate::filter::About;
use crate::reload::Plan;
use crate::server;
use crate::words::count;

#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file
    #[arg(long, default_value = defaults::CONFIG_FILE, value_name = "FILE")]
    config: PathBuf,

    /// Say what a reload would change, a line for each thing that is not as it was: where this file is in force; or in the process
    /// that answers at this admin address (`unix:PATH`, `ip:port`), or, for `running`, at the one that CONFIG itself has
    #[arg(long, value_name = "FILE|ADDRESS|running")]
    against: Option<Against>,

    /// The file with the token of the process that it is compared with, where it wants one and is not `running`
    #[arg(long, value_name = "FILE", requires = "against")]
    token_file: Option<PathBuf>,

    /// Print the JSON Schema of configuration files instead, for editors
    #[arg(long)]
    schema: bool,
}

/// What a configuration is compared with.
#[derive(Debug, Clone)]
enum Against {
    File(PathBuf),
    /// The process at the `[admin]` of the configuration itself.
    Running,
    At(Address),
}

impl FromStr for Against {
    type Err = AddressError;

    /// A file whose name looks like something else is meant by a path: `./running`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Ok(match text {
            "running" => Self::Running,
            text if text.starts_with("unix:") || text.parse::<SocketAddr>().is_ok() => Self::At(text.parse()?),
            text => Self::File(text.into()),
        })
    }
}

pub fn check(asked: Check) -> ExitCode {
    if asked.schema {
        say(&format!("{:#}", config::schema()));
        return ExitCode::SUCCESS;
    }
    check_file(&asked.config, asked.against.as_ref(), asked.token_file.as_deref())
}

fn check_file(path: &Path, against: Option<&Against>, token_file: Option<&Path>) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut problems = Vec::new();
    for filter in server::check_filters(&config) {
        match filter {
            Ok(about) => say(&page(&about)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(server::check_certificates(&config));
    problems.extend(server::check_captures(&config));
    let of_files = problems.len();
    problems.extend(server::check_sockets(&config));
    for problem in &problems {
        say_error(&format!("error: {problem}"));
    }
    if !problems.is_empty() {
        let what = match problems.len() == of_files {
            true => "the files that",
            false => "what",
        };
        let problems = count(problems.len(), "problem");
        return complain(FAILED, &format!("{problems} with {what} {} names", path.display()));
    }
    if let Some(against) = against {
        match planned(path, &config, against, token_file) {
            Ok(plan) => say(&plan),
            Err(code) => return code,
        }
    }
    say(&format!(
        "{} is valid: {}, {}, {}",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.upstreams.len(), "upstream"),
        count(config.filters.len(), "filter"),
    ));
    ExitCode::SUCCESS
}

/// What would change.
fn planned(path: &Path, config: &Config, against: &Against, token_file: Option<&Path>) -> Result<String, ExitCode> {
    let admin = config.admin.as_ref();
    let (address, token_file) = match against {
        Against::File(file) => return load(file).map(|old| Plan::between(&old, config).to_string()),
        Against::At(address) => (address.clone(), token_file),
        Against::Running => {
            let configured = admin.map(|admin| admin.address.to_string());
            let address = configured.as_deref().unwrap_or(defaults::ADMIN_ADDRESS);
            let address: Address = address.parse().map_err(|error: AddressError| {
                complain(
                    WRONG,
                    &format!("nobody answers at {address}: {error}; name the address with `--against`"),
                )
            })?;
            (
                address,
                token_file.or_else(|| admin.and_then(|admin| admin.token_file.as_deref())),
            )
        }
    };
    ask_for_plan(path, address, token_file).map_err(|trouble| complain(FAILED, &trouble))
}

/// It is the process that compares: its own configuration may have secrets, and only it knows what it has in force.
fn ask_for_plan(path: &Path, address: Address, token_file: Option<&Path>) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let absolute = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let body = serde_json::to_value(Text {
        path: absolute.display().to_string(),
        text,
    });
    let body = body.map_err(|error| error.to_string())?;
    let asker = Asker::new(address, token_file).map_err(|trouble| trouble.to_string())?;
    let answer = asker
        .ask("POST", "/v1/plan", Some(&body))
        .map_err(|trouble| trouble.to_string())?;
    let said = serde_json::from_str(&answer);
    let said =
        said.map_err(|error| format!("the answer is not what was expected: {error}; is it a proxy of this version?"))?;
    Ok(table::planned(&said))
}

/// What an operator asks of a filter, a line for each answer, and a line between it and what follows.
fn page(about: &About) -> String {
    let limits = about.limits.as_typed().map(|(key, value)| format!("{key} {value}"));
    let roles: Vec<String> = about.roles.iter().map(ToString::to_string).collect();
    let mut page = format!("filter \"{}\"\n", about.name);
    for (word, items) in [
        ("digest", &[about.digest.to_string()][..]),
        ("size", &[size(about.size)]),
        ("roles", &roles),
        ("imports", &about.imports),
        ("limits", &limits),
    ] {
        for (number, line) in lines(items).iter().enumerate() {
            let word = if number == 0 { word } else { "" };
            page.push_str(&format!("  {word:<8}{line}\n"));
        }
    }
    page
}

/// One after the other, on as many lines as they take on a terminal of the usual width.
pub(super) fn lines(items: &[String]) -> Vec<String> {
    const WIDTH: usize = 88;
    let mut lines = vec![String::new()];
    for (number, item) in items.iter().enumerate() {
        let item = if number + 1 < items.len() {
            format!("{item}, ")
        } else {
            item.clone()
        };
        let line = match lines.pop() {
            Some(line) if line.is_empty() || line.len() + item.trim_end().len() <= WIDTH => line + &item,
            Some(line) => {
                lines.push(line.trim_end().to_owned());
                item
            }
            None => item,
        };
        lines.push(line);
    }
    if items.is_empty() {
        return vec!["none".to_owned()];
    }
    lines
}

pub(super) fn size(bytes: usize) -> String {
    format!("{}.{} KiB", bytes >> 10, ((bytes & 1023) * 10) >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Digest;

    #[test]
    fn a_page_has_an_answer_in_each_line_and_they_stand_below_each_other() {
        let wasi = [
            "wasi:cli/environment",
            "wasi:clocks/wall-clock",
            "wasi:random/insecure-seed",
            "wasi:io/streams",
        ];
        let imports = ["connection", "log"].into_iter().chain(wasi).map(str::to_owned);
        let about = About {
            name: "guard".to_owned(),
            digest: Digest::of(b""),
            size: 153_216,
            roles: vec!["router", "observer"],
            imports: imports.collect(),
            limits: defaults::FILTER_LIMITS,
        };
        assert_eq!(
            page(&about),
            "filter \"guard\"
  digest  sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  size    149.6 KiB
  roles   router, observer
  imports connection, log, wasi:cli/environment, wasi:clocks/wall-clock,
          wasi:random/insecure-seed, wasi:io/streams
  limits  memory 16MiB, call 20ms, init 1s, output 256KiB, log-lines 1000, metrics 64,
          store-entries 65536, store-bytes 16MiB
"
        );
        let nothing = About {
            imports: Vec::new(),
            ..about
        };
        assert!(page(&nothing).contains("  imports none\n"));
    }
}

//! `spliceway filter bench`

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::given::{Given, component};
use crate::authoring::bytes::{unescape, unhex};
use crate::cli::check::size;
use crate::cli::{FAILED, WRONG, complain, say, say_error};
use crate::config::FilterConfig;
use crate::filter::bench::{Loaded, Session, best};
use crate::filter::{Role, Verdict};

#[derive(Debug, Args)]
#[command(
    after_help = "Each figure is the best of five rounds: whatever else the machine does only makes it longer. Isolated: each \
                  connection has an instance of its own, as it is by default; shared: they share one, as with a high \
                  `sessions-per-instance`."
)]
pub struct Bench {
    /// The component's file, or the directory of a crate that was built
    #[arg(default_value = ".", value_name = "FILE|DIRECTORY")]
    filter: PathBuf,

    #[command(flatten)]
    given: Given,

    /// What clients send [default: 64 times `x`]
    #[arg(long, value_name = "TEXT", conflicts_with = "hex")]
    text: Option<String>,

    /// Likewise, in hexadecimal digits
    #[arg(long, value_name = "DIGITS")]
    hex: Option<String>,

    /// Likewise, as the file has it: up to 16 KiB
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "hex"])]
    file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Connections that live at the same time: none finds its memory in the CPU's first cache.
const LIVE: u32 = 1000;

/// What an observer is told of at once at the most.
const BATCH: usize = 64;

/// What is shown in one call.
const LARGEST: usize = 16 << 10;

/// Nanoseconds. `None` where there is nothing to measure.
#[derive(Debug, Default)]
struct Figures {
    /// Opened, shown a chunk, closed: isolated, and shared.
    connection: Option<[f64; 2]>,
    /// Of a connection that lives.
    chunk: Option<[f64; 2]>,
    /// Why that is not measured, of a filter that watches.
    not_again: Option<&'static str>,
    decision: Option<f64>,
    /// For each connection of a batch.
    observed: Option<f64>,
    instance: f64,
    /// Bytes of one instance.
    memory: u64,
}

pub fn bench(asked: Bench) -> ExitCode {
    let prepared = component(&asked.filter).and_then(|file| Ok((asked.given.filter(&file)?, sample(&asked)?)));
    let (config, chunk) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return complain(WRONG, &error),
    };
    if cfg!(debug_assertions) {
        say_error("note: this program is not optimised, so that everything takes longer than in a release");
    }
    let file = config.source.clone();
    match measure(&config, &chunk) {
        Ok(figures) if asked.json => say(&format!("{:#}", figures.json(chunk.len()))),
        Ok(figures) => say(&format!("{file}, on one core\n{}", figures.table(chunk.len()))),
        Err(error) => return complain(FAILED, &format!("{error:#}; `spliceway filter check` says more")),
    }
    ExitCode::SUCCESS
}

fn sample(asked: &Bench) -> Result<Vec<u8>, String> {
    let mut chunk = match (&asked.text, &asked.hex, &asked.file) {
        (Some(text), ..) => unescape(text).map_err(|error| format!("--text: {error}"))?,
        (_, Some(digits), _) => unhex(digits).map_err(|error| format!("--hex: {error}"))?,
        (.., Some(file)) => std::fs::read(file).map_err(|error| format!("--file {}: {error}", file.display()))?,
        (None, None, None) => vec![b'x'; 64],
    };
    chunk.truncate(LARGEST);
    Ok(chunk)
}

fn measure(config: &FilterConfig, chunk: &[u8]) -> anyhow::Result<Figures> {
    let loaded = |sessions_per_instance| {
        Loaded::of(FilterConfig {
            sessions_per_instance,
            ..config.clone()
        })
    };
    let (isolated, shared) = (loaded(1)?, loaded(LIVE)?);
    let generation = isolated.generation();
    let watches = [Role::Inspector, Role::Transformer]
        .iter()
        .any(|role| generation.has_role(*role));
    let not_again = not_again(&isolated, chunk);
    let both = |measure: fn(&Loaded, &[u8]) -> Option<f64>| {
        let figures = measure(&isolated, chunk).zip(measure(&shared, chunk));
        figures.filter(|_| watches).map(|(isolated, shared)| [isolated, shared])
    };
    Ok(Figures {
        connection: both(|filter, chunk| Some(connection(filter, chunk))),
        chunk: both(chunks).filter(|_| not_again.is_none()),
        not_again: not_again.filter(|_| watches),
        decision: generation.is_router().then(|| best(|| isolated.decide(chunk))),
        observed: isolated.observer(BATCH).map(|observe| best(observe) / BATCH as f64),
        instance: best(|| isolated.instance()),
        memory: memory(&isolated),
    })
}

fn connection(filter: &Loaded, chunk: &[u8]) -> f64 {
    best(|| filter.session().map(|mut session| session.show(filter, chunk)))
}

/// Why a filter is not shown a second chunk like that, if it is not.
fn not_again(filter: &Loaded, chunk: &[u8]) -> Option<&'static str> {
    let mut session = filter.session();
    if let Some(session) = &mut session {
        session.show(filter, chunk);
    }
    let totals = filter.generation().tally().totals();
    let answered = |verdict: Verdict| totals.verdicts.iter().any(|verdicts| verdicts[verdict as usize] > 0);
    if answered(Verdict::Refuse) {
        return Some("it refuses them: --text or --hex says others");
    }
    if answered(Verdict::Hold) {
        return Some("it holds them back: --text or --hex says others");
    }
    let watches = session.is_some_and(|session| session.watches());
    (!watches).then_some("it does not look at them")
}

fn chunks(filter: &Loaded, chunk: &[u8]) -> Option<f64> {
    let mut sessions: Vec<Session> = (0..LIVE).map_while(|_| filter.session()).collect();
    sessions.iter_mut().for_each(|session| _ = session.show(filter, chunk));
    if sessions.is_empty() {
        return None;
    }
    let mut turns = (0..sessions.len()).cycle();
    Some(best(|| {
        sessions[turns.next().unwrap_or_default()].show(filter, black_box(chunk))
    }))
}

/// What an instance has that serves a connection.
fn memory(filter: &Loaded) -> u64 {
    let _session = filter.session();
    if filter.generation().is_router() {
        filter.decide(b"");
    }
    let totals = filter.generation().tally().totals();
    totals.memory / totals.instances.max(1)
}

impl Figures {
    fn table(&self, chunk: usize) -> String {
        let mut table = format!("{:<40}{:>12}{:>12}", "", "isolated", "shared");
        let mut row = |what: &str, figures: &[f64]| {
            table.push_str(&format!("\n  {what:<38}"));
            figures
                .iter()
                .for_each(|figure| table.push_str(&format!("{:>12}", time(*figure))));
        };
        if let Some(figures) = &self.connection {
            row(&format!("a connection, with {chunk} bytes"), figures);
        }
        match &self.chunk {
            Some(figures) => row(&format!("{chunk} more bytes, of {LIVE} connections"), figures),
            None => {
                if let Some(why) = self.not_again {
                    row(&format!("more bytes: {why}"), &[]);
                }
            }
        }
        if let Some(figure) = self.decision {
            row(&format!("a router's answer to {chunk} bytes"), &[figure]);
        }
        if let Some(figure) = self.observed {
            row(&format!("an observed connection, of {BATCH}"), &[figure]);
        }
        row("a new instance", &[self.instance]);
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        format!("{table}\n  {:<38}{:>12}", "its memory", size(memory))
    }

    fn json(&self, chunk: usize) -> Value {
        let pair = |figures: Option<[f64; 2]>| {
            figures.map(|[isolated, shared]| json!({ "isolated": isolated, "shared": shared }))
        };
        json!({
            "chunk-bytes": chunk,
            "optimised": !cfg!(debug_assertions),
            "nanoseconds": {
                "connection": pair(self.connection),
                "chunk": pair(self.chunk),

                "router-decision": self.decision,
                "observed-connection": self.observed,
                "instance": self.instance,
            },
            "instance-memory-bytes": self.memory,
        })
    }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e4 => format!("{nanoseconds:.0} ns"),
        1e4..1e7 => format!("{:.1} us", nanoseconds / 1e3),
        _ => format!("{:.1} ms", nanoseconds / 1e6),
    }
}

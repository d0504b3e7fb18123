//! Everything that can be found out about a filter's file, and everything that is wrong with it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::play::Upstreams;
use super::sections::{Kind, Producers, producers};
use crate::config::{FilterConfig, FilterLimits};
use crate::filter::{Candidate, ConfigRefused, Engine, Examined, Trial, examination};

/// What a file is. Of one that does not load, as much as can be told.
pub struct Examination {
    pub file: PathBuf,
    pub digest: String,
    pub size: usize,
    pub kind: Kind,
    pub examined: Examined,
    pub producers: Producers,
    /// Of its configuration.
    pub schema: Option<Value>,
    /// Name, kind and help of each that it defines. `None` where it could not be asked.
    pub metrics: Option<Vec<[String; 3]>>,
    /// What is wrong with the component itself.
    pub problems: Vec<String>,
    /// As its configuration has them.
    pub limits: FilterLimits,
    /// What it has against its configuration.
    pub refusal: Option<String>,
}

/// Looks at a file, and tries the filter with that configuration.
///
/// # Errors
/// It cannot be read.
pub fn examine(engine: &Engine, config: FilterConfig) -> anyhow::Result<Examination> {
    let file = config.source.own_file()?.to_owned();
    let about = examination(engine, &file, &config.grants).map_err(advise)?;
    let mut found = Examination {
        digest: about.digest.to_string(),
        size: about.bytes.len(),
        kind: Kind::of(&about.bytes),
        problems: about.examined.problems.clone(),
        examined: about.examined,
        producers: producers(&about.bytes),
        schema: None,
        metrics: None,
        limits: config.limits,
        refusal: None,
        file,
    };
    if let Some(candidate) = &about.candidate {
        found.try_out(candidate, config);
    }
    Ok(found)
}

/// What is not there may not have been built yet.
fn advise(error: anyhow::Error) -> anyhow::Error {
    let cause = error.downcast_ref::<io::Error>().map(io::Error::kind);
    match cause {
        Some(io::ErrorKind::NotFound) => {
            anyhow!("{error:#}; `spliceway filter build` makes a component of a crate, in its target/filters")
        }
        _ => error,
    }
}

impl Examination {
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.refusal.is_none()
    }

    /// Also where it lacks a grant: what else is wrong is to be said at once.
    fn try_out(&mut self, candidate: &Candidate, config: FilterConfig) {
        match candidate.schema(config.clone(), nobody()) {
            Ok(None) => {}
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(schema) => self.schema = Some(schema),
                Err(error) => self.problems.push(format!("its schema is no JSON: {error}")),
            },
            Err(error) => self.problems.push(format!("its schema cannot be had: {error:#}")),
        }
        match candidate.trial(config, nobody()) {
            Ok(trial) => self.metrics = Some(metrics(&trial)),
            Err(error) => match error.downcast_ref::<ConfigRefused>() {
                Some(refused) => self.refusal = Some(refused.to_string()),
                None => self.problems.push(format!("{error:#}")),
            },
        }
    }

    pub fn json(&self) -> Value {
        let metric = |[name, kind, help]: &[String; 3]| json!({ "name": name, "kind": kind, "help": help });
        json!({
            "file": self.file,
            "digest": self.digest,
            "bytes": self.size,
            "kind": self.kind.name(),
            "roles": self.examined.roles,
            "contract": self.examined.contracts,
            "imports": self.examined.imports,
            "exports": self.examined.exports,
            "schema": self.schema,
            "metrics": self.metrics.as_ref().map(|metrics| metrics.iter().map(metric).collect::<Vec<_>>()),
            "producers": self.producers,
            "loads": self.problems.is_empty(),
            "problems": self.problems,
            "refuses-configuration": self.refusal,
        })
    }
}

fn nobody() -> Arc<Upstreams> {
    Arc::default()
}

fn metrics(trial: &Trial) -> Vec<[String; 3]> {
    let metrics = trial.filter().metrics();
    metrics
        .map(|metric| [metric.name.clone(), metric.kind.to_string(), metric.help.clone()])
        .collect()
}

//! Plays transcripts to a filter's component: see the crate `spliceway-transcript`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use spliceway_transcript::{self as transcript, Case, Decision, Given, Observed, Player, Refusal, Step, Variant};

use super::play::{Choice, Play, Scene, Told, Upstreams};
use crate::config::{FilterConfig, OnError};
use crate::filter::{Attribute, Candidate, ConfigRefused, Ended, Group, Trial, Value};
use crate::flow::Direction;

/// Plays with a fresh trial for each variant: nothing is left of the one before.
pub struct Component<'a> {
    pub candidate: &'a Candidate,
    /// All but what a case gives.
    pub config: FilterConfig,
}

/// What is there for a filter that is tried: in a proxy, one that fails would close the connection, or else not be seen.
pub fn config(file: &Path) -> FilterConfig {
    let name = file
        .file_stem()
        .map_or_else(|| "filter".into(), |stem| stem.to_string_lossy());
    FilterConfig {
        on_error: OnError::Close,
        quarantine: None,
        ..FilterConfig::new(&name, file.to_owned())
    }
}

impl Player for Component<'_> {
    fn play(&mut self, case: &Case, variant: &Variant) -> Observed {
        let groups = Arc::new(groups(&case.given));
        let mut config = self.config.clone();
        config.config = case.given.config.clone();
        config.limits.store_entries = case.given.store as u64;
        let trial = match self.candidate.trial(config, groups) {
            Ok(trial) => trial,
            Err(error) => return not_loaded(&error),
        };
        let scene = scene(&case.given);
        let before = metrics(&trial);
        let mut play = Play::begin(&trial, &scene);
        for step in &variant.steps {
            take(&mut play, step);
        }
        observed(&play, &trial, &before)
    }
}

fn not_loaded(error: &anyhow::Error) -> Observed {
    let mut observed = Observed::default();
    match error.downcast_ref::<ConfigRefused>() {
        Some(refused) => observed.config_refused = Some(refused.to_string()),
        None => observed.failure = Some(format!("{error:#}")),
    }
    observed
}

pub fn take(play: &mut Play<'_>, step: &Step) {
    match step {
        Step::Bytes(to, bytes) => play.bytes(direction(*to), bytes),
        Step::Finish(of) => play.finish(direction(*of)),
        Step::TimeOut => play.time_out(),
        Step::Full => play.fill(),
        Step::Wait(time) => play.wait(*time),
        Step::Closed(batch) => {
            let annotated = play.annotations();
            play.closed(batch.iter().map(|closed| ended(closed, &annotated)).collect());
        }
    }
}

fn observed(play: &Play<'_>, trial: &Trial, before: &BTreeMap<String, f64>) -> Observed {
    let told = play.told();
    let heard = trial.heard();
    let mut observed = Observed {
        decision: decision(told),
        options: values(&told.options),
        refusal: refusal(told),
        to_upstream: told.to_upstream.clone(),
        to_client: told.to_client.clone(),
        annotations: values(&play.annotations()),
        metrics: changes(before, &metrics(trial)),
        logs: heard.records.iter().map(ToString::to_string).collect(),
        // A failure of the filter says more than that there was one.
        failure: heard.failures.into_iter().next().or_else(|| told.failure.clone()),
        ..Observed::default()
    };
    for to in transcript::Direction::ALL {
        *observed.shown.of_mut(to) = told.shown[direction(to) as usize];
        *observed.detached.of_mut(to) = play.is_detached(direction(to));
    }
    observed
}

fn decision(told: &Told) -> Decision {
    match &told.choice {
        Choice::None => Decision::None,
        Choice::Passes => Decision::Passes,
        Choice::Waits => Decision::Waits,
        Choice::Upstream(name) => Decision::Upstream(name.clone()),
    }
}

fn refusal(told: &Told) -> Option<Refusal> {
    let refused = told.refused.as_ref()?;
    Some(Refusal {
        reason: refused.reason.clone(),
        ending: match refused.reset {
            true => transcript::Ending::Reset,
            false => transcript::Ending::Graceful,
        },
        reply: refused.reply.clone(),
    })
}

/// What each metric has changed by. One that was there before and has not changed is there, too.
fn changes(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let change = |(name, value): (&String, &f64)| {
        let change = value - before.get(name).copied().unwrap_or_default();
        (name.clone(), change)
    };
    after.iter().map(change).filter(|(_, change)| *change != 0.0).collect()
}

fn metrics(trial: &Trial) -> BTreeMap<String, f64> {
    let all = trial.filter().metrics();
    all.map(|metric| (metric.name.clone(), metric.value())).collect()
}

pub fn scene(given: &Given) -> Scene {
    Scene {
        client: given.client,
        local: given.local,
        listener: given.listener.clone(),
        attributes: given
            .attributes
            .iter()
            .map(|(key, value)| (key.clone(), ours(value)))
            .collect(),
        // Whether a choice is one of them is for the judge.
        upstreams: Vec::new(),
        tls: given.tls,
        // What is known of a connection is what is given: then a case means the same natively.
        detects: false,
    }
}

pub fn groups(given: &Given) -> Upstreams {
    let group = |(name, upstream): (&String, &transcript::Upstream)| Group {
        name: name.clone(),
        servers: upstream.servers,
        healthy: upstream.healthy,
        connections: 0,
    };
    Upstreams(given.upstreams.iter().map(group).collect())
}

fn ended(closed: &transcript::Closed, annotated: &[Attribute]) -> Ended {
    let moved = |moved: transcript::Moved| [moved.copied, moved.spliced, moved.filtered];
    let given = closed.attributes.as_ref();
    let attribute = |(key, value): (&String, &transcript::Value)| Attribute {
        key: key.clone(),
        value: ours(value),
    };
    Ended {
        connection: closed.connection,
        listener: closed.listener.clone(),
        client: closed.client,
        upstream: closed.upstream.clone(),
        server: closed.server,
        up: moved(closed.up),
        down: moved(closed.down),
        duration: closed.duration,
        outcome: closed.outcome.clone(),
        attributes: given.map_or_else(|| annotated.to_vec(), |given| given.iter().map(attribute).collect()),
    }
}

fn direction(direction: transcript::Direction) -> Direction {
    match direction {
        transcript::Direction::Up => Direction::Up,
        transcript::Direction::Down => Direction::Down,
    }
}

fn values(attributes: &[Attribute]) -> BTreeMap<String, transcript::Value> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), theirs(&attribute.value)))
        .collect()
}

fn ours(value: &transcript::Value) -> Value {
    match value {
        transcript::Value::Text(text) => Value::Text(text.clone()),
        transcript::Value::Integer(number) => Value::Integer(*number),
        transcript::Value::Boolean(truth) => Value::Boolean(*truth),
        transcript::Value::Bytes(bytes) => Value::Bytes(bytes.clone()),
        transcript::Value::Address(address) => Value::Address(*address),
    }
}

fn theirs(value: &Value) -> transcript::Value {
    match value {
        Value::Text(text) => transcript::Value::Text(text.clone()),
        Value::Integer(number) => transcript::Value::Integer(*number),
        Value::Boolean(truth) => transcript::Value::Boolean(*truth),
        Value::Bytes(bytes) => transcript::Value::Bytes(bytes.clone()),
        Value::Address(address) => transcript::Value::Address(*address),
    }
}

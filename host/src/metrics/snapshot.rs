//! Everything that a page tells, read at one time.

use crate::filter::{Filter, Reading, Totals};
use crate::in_force::InForce;
use crate::observe::Seen;

#[derive(Debug, Default)]
pub struct Snapshot {
    pub listeners: Vec<ListenerSeen>,
    pub filters: Vec<FilterSeen>,
}

#[derive(Debug)]
pub struct ListenerSeen {
    pub name: String,
    pub seen: Seen,
}

#[derive(Debug)]
pub struct FilterSeen {
    pub name: String,
    /// What has happened to its generations, and how often.
    pub transitions: Vec<(&'static str, u64)>,
    /// Those that somebody still has.
    pub generations: Vec<GenerationSeen>,
    /// What it counts itself, across its generations.
    pub custom: Vec<Custom>,
}

#[derive(Debug)]
pub struct GenerationSeen {
    pub number: String,
    pub digest: String,
    pub state: &'static str,
    pub totals: Totals,
}

#[derive(Debug)]
pub struct Custom {
    pub family: String,
    pub help: String,
    pub reading: Reading,
}

impl Snapshot {
    pub fn of(in_force: &InForce) -> Self {
        let listeners = in_force.listeners.iter().map(|listener| ListenerSeen {
            name: listener.name.to_string(),
            seen: listener.counters.seen(),
        });
        Self {
            listeners: listeners.collect(),
            filters: in_force.filters.iter().map(|filter| look_at(filter)).collect(),
        }
    }
}

fn look_at(filter: &Filter) -> FilterSeen {
    let generations = filter.generations().into_iter();
    let custom = filter.metrics().map(|metric| Custom {
        family: metric.family().to_owned(),
        help: metric.help.clone(),
        reading: metric.read(),
    });
    FilterSeen {
        name: filter.name().to_string(),
        transitions: filter.transitions().to_vec(),
        generations: generations
            .map(|(number, digest, state, tally)| GenerationSeen {
                number: number.to_string(),
                digest: digest.to_string(),
                state,
                totals: tally.totals(),
            })
            .collect(),
        custom: custom.collect(),
    }
}

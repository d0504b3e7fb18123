//! What is done to connections besides what the configuration says.

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::table::{aligned, or_dash, row};
use super::{Question, get, post, read};
use crate::admin::said::{Measure, Measures, NewMeasure, Scope};
use crate::words::time;

#[derive(Debug, Args)]
pub struct OfMeasures {
    #[command(subcommand)]
    change: Option<OnMeasures>,
}

#[derive(Debug, Subcommand)]
enum OnMeasures {
    /// Have something done to connections, to those that are open at once
    Add {
        #[command(flatten)]
        whose: Box<Whose>,
        /// How long; until it is removed, or the process ends, otherwise
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
        /// What: a `treatment` as a configuration file has it, on one line
        #[arg(value_name = "TREATMENT", value_parser = treatment)]
        treatment: Json,
    },
    /// Take one back
    Remove {
        /// Its number, as `measures` has it
        id: u64,
    },
}

/// Whose connections are meant: those to which all of these apply; all connections otherwise
#[derive(Debug, Args)]
pub struct Whose {
    /// Of this listener
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// That took this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// To this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Of this address, or of this network
    #[arg(long, value_name = "IP[/BITS]")]
    client: Option<String>,
    /// That asked for this name in TLS
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The one with this number
    #[arg(long, value_name = "ID")]
    connection: Option<u64>,
    /// Of those, so many
    #[arg(long, value_name = "PERCENT")]
    share: Option<String>,
    /// Another one draws others
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl From<Whose> for Scope {
    fn from(whose: Whose) -> Self {
        Self {
            listener: whose.listener,
            route: whose.route,
            upstream: whose.upstream,
            client: whose.client,
            sni: whose.sni,
            connection: whose.connection,
            share: whose.share,
            seed: whose.seed,
        }
    }
}

pub fn measures(of: OfMeasures) -> Question {
    match of.change {
        None => get("/v1/measures", |answer| read(answer).map(|it| table(&it))),
        Some(OnMeasures::Add { whose, time, treatment }) => {
            let new = NewMeasure {
                scope: (*whose).into(),
                treatment,
                time,
            };
            post("/v1/measures", serde_json::to_value(new).ok(), |answer| {
                read::<Measure>(answer).map(|it| format!("measure {} is in force", it.id))
            })
        }
        Some(OnMeasures::Remove { id }) => Question {
            method: "DELETE",
            ..get(&format!("/v1/measures/{id}"), |answer| {
                read::<Measure>(answer).map(|it| format!("measure {} is taken back", it.id))
            })
        },
    }
}

/// Of its syntax alone: what is in it is the proxy's to judge.
fn treatment(typed: &str) -> Result<Json, String> {
    #[derive(serde::Deserialize)]
    struct Line {
        treatment: Json,
    }
    let line: Line = toml::from_str(&format!("treatment = {typed}")).map_err(|error| {
        format!(
            "{}; for example '{{ bandwidth = {{ down = \"1MiB/s\" }} }}'",
            error.message()
        )
    })?;
    Ok(line.treatment)
}

fn table(said: &Measures) -> String {
    let mut rows = vec![row(&["MEASURE", "CONNECTIONS", "TREATMENT", "LEFT"])];
    for measure in &said.measures {
        rows.push(vec![
            measure.id.to_string(),
            scope(&measure.scope),
            measure.treatment.to_string(),
            or_dash(measure.left_ms.map(time).as_deref()),
        ]);
    }
    aligned(&rows)
}

/// As it was asked for.
fn scope(scope: &Scope) -> String {
    let (connection, seed) = (
        scope.connection.map(|id| id.to_string()),
        scope.seed.map(|seed| seed.to_string()),
    );
    let said = [
        ("listener", scope.listener.as_ref()),
        ("route", scope.route.as_ref()),
        ("upstream", scope.upstream.as_ref()),
        ("client", scope.client.as_ref()),
        ("sni", scope.sni.as_ref()),
        ("connection", connection.as_ref()),
        ("share", scope.share.as_ref()),
        ("seed", seed.as_ref()),
    ];
    let said: Vec<_> = said
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
        .collect();
    match said.is_empty() {
        true => "all".to_owned(),
        false => said.join(" "),
    }
}

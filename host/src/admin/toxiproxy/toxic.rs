//! From what Toxiproxy calls a toxic to a fault, and back. Its attributes have the names of a file's keys with `_` for `-`; times
//! are numbers of milliseconds but for the slicer's, which are of microseconds, and a rate is in thousands of bytes a second.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::failed::Failed;
use crate::config::{Distribution, FaultConfig, FaultKind, WHOLE};
use crate::flow::Direction;

/// As it is asked for.
#[derive(Debug, Deserialize)]
pub struct NewToxic {
    #[serde(default)]
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default = "downstream")]
    pub stream: String,
    #[serde(default = "always")]
    pub toxicity: f64,
    #[serde(default)]
    pub attributes: Map<String, Json>,
    /// Ours: what is left to chance is the same in every run.
    pub seed: Option<u64>,
}

/// What may change.
#[derive(Debug, Deserialize)]
pub struct ChangedToxic {
    pub toxicity: Option<f64>,
    #[serde(default)]
    pub attributes: Map<String, Json>,
}

/// As it is shown.
#[derive(Debug, Serialize)]
pub struct Toxic {
    pub attributes: Json,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub stream: &'static str,
    pub toxicity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a fault may take, so that nobody waits for ever: an hour, and what nobody moves in a year.
const LONGEST: u64 = 3_600_000;
const MOST: u64 = 1 << 50;

/// A slice.
const LARGEST: u64 = 1 << 20;

const RAREST: u64 = 1_000_000_000;

impl NewToxic {
    /// # Errors
    /// What is wrong with it.
    pub fn fault(&self) -> Result<FaultConfig, Failed> {
        let direction = match self.stream.to_ascii_lowercase().as_str() {
            "upstream" => Direction::Up,
            "downstream" => Direction::Down,
            _ => return Err(Failed::stream()),
        };
        Ok(FaultConfig {
            kind: kind(&self.kind, &self.attributes)?,
            direction: Some(direction),
            share: share(self.toxicity)?,
            seed: self.seed,
        })
    }

    /// The one that it has, or is given.
    pub fn name(&self) -> String {
        match self.name.is_empty() {
            true => format!("{}_{}", self.kind, self.stream),
            false => self.name.clone(),
        }
    }
}

impl ChangedToxic {
    /// What becomes of a fault: what is not mentioned stays.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(&self, before: &FaultConfig) -> Result<FaultConfig, Failed> {
        let mut all = attributes(&before.kind);
        all.extend(self.attributes.clone());
        Ok(FaultConfig {
            kind: kind(&typed(&before.kind), &all)?,
            share: self.toxicity.map_or(Ok(before.share), share)?,
            ..before.clone()
        })
    }
}

impl Toxic {
    pub fn of(name: &str, fault: &FaultConfig) -> Self {
        Self {
            attributes: attributes(&fault.kind).into(),
            name: name.to_owned(),
            kind: typed(&fault.kind),
            stream: match fault.direction {
                Some(Direction::Up) => "upstream",
                Some(Direction::Down) | None => "downstream",
            },
            toxicity: f64::from(fault.share) / f64::from(WHOLE),
            seed: fault.seed,
        }
    }
}

fn downstream() -> String {
    "downstream".to_owned()
}

fn always() -> f64 {
    1.0
}

fn share(toxicity: f64) -> Result<u32, Failed> {
    match (0.0..=1.0).contains(&toxicity) {
        true => Ok((toxicity * f64::from(WHOLE)).round() as u32),
        false => Err(Failed::body("toxicity is out of range: expected 0 to 1")),
    }
}

fn typed(kind: &FaultKind) -> String {
    kind.name().replace('-', "_")
}

fn kind(kind: &str, attributes: &Map<String, Json>) -> Result<FaultKind, Failed> {
    let number = |key: &str, least: u64, most: u64| number(attributes, key, least, most);
    let milliseconds = |key: &str| number(key, 0, LONGEST).map(Duration::from_millis);
    Ok(match kind {
        "latency" => FaultKind::Latency {
            latency: milliseconds("latency")?,
            jitter: milliseconds("jitter")?,
            distribution: match attributes.get("distribution").map(Json::as_str) {
                None | Some(Some("uniform")) => Distribution::Uniform,
                Some(Some("normal")) => Distribution::Normal,
                Some(_) => return Err(Failed::body("`distribution` can be either uniform or normal")),
            },
        },
        "bandwidth" => FaultKind::Bandwidth {
            rate: number("rate", 0, MOST / 1000)? * 1000,
        },
        "slow_close" => FaultKind::SlowClose {
            delay: milliseconds("delay")?,
        },
        "timeout" => FaultKind::Timeout {
            timeout: Some(milliseconds("timeout")?).filter(|timeout| !timeout.is_zero()),
        },
        "reset_peer" => FaultKind::ResetPeer {
            timeout: milliseconds("timeout")?,
            bytes: number("bytes", 0, MOST)?,
        },
        "slicer" => {
            let average = number("average_size", 1, LARGEST)?;
            FaultKind::Slicer {
                average,
                variation: number("size_variation", 0, average - 1)?,
                delay: Duration::from_micros(number("delay", 0, LONGEST * 1000)?),
            }
        }
        "limit_data" => FaultKind::LimitData {
            bytes: number("bytes", 0, MOST)?,
        },
        "corrupt" => FaultKind::Corrupt {
            one_in: number("one_in", 1, RAREST)?,
        },
        _ => return Err(Failed::kind()),
    })
}

/// What is not there is 0, as it is for Toxiproxy.
fn number(attributes: &Map<String, Json>, key: &str, least: u64, most: u64) -> Result<u64, Failed> {
    let given = attributes.get(key).map_or(Some(0), Json::as_u64);
    let within = given.filter(|number| (least..=most).contains(number));
    within.ok_or_else(|| Failed::body(format!("`{key}` is out of range: expected {least} to {most}")))
}

fn attributes(kind: &FaultKind) -> Map<String, Json> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let shown = match *kind {
        FaultKind::Latency {
            latency,
            jitter,
            distribution: Distribution::Uniform,
        } => json!({ "latency": milliseconds(latency), "jitter": milliseconds(jitter) }),
        FaultKind::Latency { latency, jitter, .. } => json!({
            "latency": milliseconds(latency),
            "jitter": milliseconds(jitter),
            "distribution": "normal",
        }),
        FaultKind::Bandwidth { rate } => json!({ "rate": rate / 1000 }),
        FaultKind::SlowClose { delay } => json!({ "delay": milliseconds(delay) }),
        FaultKind::Timeout { timeout } => json!({ "timeout": milliseconds(timeout.unwrap_or_default()) }),
        FaultKind::ResetPeer { timeout, bytes: 0 } => json!({ "timeout": milliseconds(timeout) }),
        FaultKind::ResetPeer { timeout, bytes } => json!({ "timeout": milliseconds(timeout), "bytes": bytes }),
        FaultKind::Slicer {
            average,
            variation,
            delay,
        } => json!({
            "average_size": average,
            "size_variation": variation,
            "delay": u64::try_from(delay.as_micros()).unwrap_or(u64::MAX),
        }),
        FaultKind::LimitData { bytes } => json!({ "bytes": bytes }),
        FaultKind::Corrupt { one_in } => json!({ "one_in": one_in }),
        FaultKind::Refuse { .. } | FaultKind::Down => json!({}),
    };
    match shown {
        Json::Object(shown) => shown,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: Json) -> NewToxic {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_toxic_is_shown_as_it_was_asked_for() {
        for (kind, attributes) in [
            ("latency", json!({ "latency": 100, "jitter": 20 })),
            (
                "latency",
                json!({ "latency": 1, "jitter": 0, "distribution": "normal" }),
            ),
            ("bandwidth", json!({ "rate": 64 })),
            ("slow_close", json!({ "delay": 10 })),
            ("timeout", json!({ "timeout": 0 })),
            ("timeout", json!({ "timeout": 1 })),
            ("reset_peer", json!({ "timeout": 5 })),
            ("reset_peer", json!({ "timeout": 5, "bytes": 9 })),
            (
                "slicer",
                json!({ "average_size": 100, "size_variation": 50, "delay": 10 }),
            ),
            ("limit_data", json!({ "bytes": 1000 })),
            ("corrupt", json!({ "one_in": 1000 })),
        ] {
            let asked = json!({
                "name": "n",
                "type": kind,
                "stream": "upstream",
                "toxicity": 0.25,
                "attributes": attributes,
            });
            let fault = new(asked.clone()).fault().unwrap();
            assert_eq!(serde_json::to_value(Toxic::of("n", &fault)).unwrap(), asked);
        }
    }

    #[test]
    fn what_is_not_said_is_as_toxiproxy_has_it() {
        let toxic = new(json!({ "type": "latency" }));
        assert_eq!(toxic.name(), "latency_downstream");
        let fault = toxic.fault().unwrap();
        assert_eq!(
            (fault.direction, fault.share, fault.seed),
            (Some(Direction::Down), WHOLE, None)
        );
    }

    #[test]
    fn what_is_wrong_is_said_as_toxiproxy_says_it() {
        let why = |body| new(body).fault().unwrap_err().error;
        assert_eq!(why(json!({ "type": "gremlin" })), "invalid toxic type");
        assert!(why(json!({ "type": "latency", "stream": "both" })).starts_with("stream was invalid"));
        for wrong in [
            json!({ "type": "latency", "toxicity": 2 }),
            json!({ "type": "latency", "attributes": { "latency": -1 } }),
            json!({ "type": "latency", "attributes": { "latency": "1" } }),
            json!({ "type": "latency", "attributes": { "distribution": "pareto" } }),
            json!({ "type": "slicer" }),
            json!({ "type": "slicer", "attributes": { "average_size": 5, "size_variation": 5 } }),
        ] {
            assert!(why(wrong).starts_with("bad request body: "));
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_mention() {
        let toxic = new(json!({ "type": "latency", "attributes": { "latency": 100, "jitter": 20 }, "seed": 7 }));
        let change = json!({ "attributes": { "latency": 50 } });
        let change: ChangedToxic = serde_json::from_value(change).unwrap();
        let fault = change.of(&toxic.fault().unwrap()).unwrap();
        let shown = Toxic::of("n", &fault);
        assert_eq!(shown.attributes, json!({ "latency": 50, "jitter": 20 }));
        assert_eq!((shown.toxicity, shown.seed), (1.0, Some(7)));
    }
}

//! An inspector that does what its configuration says, for tests of the host:
//! `{"interest": "up", "verdict": "skip", "bytes": 1000}`. It annotates and logs how much it was shown.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
struct InspectorScript {
    #[serde(default)]
    interest: Interest,
    #[serde(flatten)]
    script: Script,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Interest {
    Up,
    Down,
    #[default]
    Both,
    Neither,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
enum Script {
    Forward,
    /// Holds, skips and forwards, as the dice fall.
    Restless,
    /// Until so many bytes came together, or the direction finished.
    Hold {
        bytes: usize,
    },
    /// After each chunk; with `then`, after the first one alone.
    Skip {
        bytes: u64,
        then: Option<Box<Script>>,
    },
    /// After so many bytes of a direction.
    Detach {
        after: u64,
    },
    /// A chunk that contains this.
    Refuse {
        pattern: String,
        #[serde(default)]
        reset: bool,
    },
}

impl Config for InspectorScript {}

struct Session {
    interest: Interest,
    script: &'static Script,
    up: u64,
    down: u64,
}

impl Inspector for Session {
    type Config = InspectorScript;

    fn open(config: &'static InspectorScript, _connection: &Connection) -> Self {
        Self {
            interest: config.interest,
            script: &config.script,
            up: 0,
            down: 0,
        }
    }

    fn interest(&self) -> Directions {
        match self.interest {
            Interest::Up => Directions::Up,
            Interest::Down => Directions::Down,
            Interest::Both => Directions::Both,
            Interest::Neither => Directions::Neither,
        }
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let (key, shown) = match chunk.direction {
            Direction::Up => ("shown-up", &mut self.up),
            Direction::Down => ("shown-down", &mut self.down),
        };
        *shown += chunk.bytes.len() as u64;
        connection.annotate(key, *shown);
        log::info!(
            direction = key,
            bytes = chunk.bytes.len(),
            total = *shown,
            finished = chunk.finished,
            "shown"
        );
        match self.script {
            Script::Hold { bytes } if chunk.bytes.len() < *bytes => Verdict::Hold(bytes - chunk.bytes.len()),
            Script::Restless => match spliceway_sdk::environment::random() {
                dice if dice % 3 == 0 && chunk.bytes.len() < 30_000 => Verdict::Hold(1 + dice as usize / 3 % 5_000),
                dice if dice % 3 == 1 => Verdict::Skip(dice / 3 % 40_000),
                _ => Verdict::Forward,
            },
            Script::Skip { bytes, then } => {
                if let Some(then) = then {
                    self.script = then;
                }
                Verdict::Skip(*bytes)
            }
            Script::Detach { after } if *shown >= *after => Verdict::Detach,
            Script::Refuse { pattern, reset } if contains(&chunk.bytes, pattern.as_bytes()) => {
                let reason = format!("it says {pattern:?}");
                Verdict::refuse(if *reset {
                    Refusal::reset(reason)
                } else {
                    Refusal::new(reason)
                })
            }
            _ => Verdict::Forward,
        }
    }
}

export_config!(InspectorScript);
export_inspector!(Session);

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    !pattern.is_empty() && bytes.windows(pattern.len()).any(|window| window == pattern)
}

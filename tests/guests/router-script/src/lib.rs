//! A router that does what its configuration says, for tests of the host:
//! `{"decision": "need", "bytes": 5, "then": {"decision": "route", "upstream": "blue"}}`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Choice;
use spliceway_sdk::log::{self, Field, Level};
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "decision", rename_all = "kebab-case", deny_unknown_fields)]
enum Script {
    Pass,
    /// Until there are so many bytes, or no more can come; with `insist`, even then.
    Need {
        bytes: usize,
        #[serde(default)]
        insist: bool,
        then: Box<Script>,
    },
    /// Says in the log what the proxy knows under these keys.
    Tell {
        keys: Vec<String>,
        then: Box<Script>,
    },
    Exchange {
        consume: usize,
        reply: String,
        then: Box<Script>,
    },
    Route {
        upstream: String,
        #[serde(default)]
        options: BTreeMap<String, Setting>,
    },
    Refuse {
        reason: String,
        #[serde(default)]
        reset: bool,
    },
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Setting {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl Config for Script {}

impl Router for Script {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        connection.annotate("window", window.bytes.len());
        self.decide(window, connection, 0)
    }
}

export_config!(Script);
export_router!(Script);

impl Script {
    fn decide(&self, window: &Window, connection: &Connection, round: u32) -> Decision {
        match self {
            Self::Pass => Decision::Pass,
            Self::Need { bytes, insist, then } => {
                let missing = bytes.saturating_sub(window.bytes.len());
                // What led to an exchange that was had is not asked for again: the window begins behind it.
                let is_past = round < window.round;
                let ask = !is_past && missing > 0 && (*insist || !window.is_last());
                if ask {
                    Decision::Need(missing)
                } else {
                    then.decide(window, connection, round)
                }
            }
            Self::Tell { keys, then } => {
                tell(keys, connection);
                then.decide(window, connection, round)
            }
            Self::Exchange { then, .. } if round < window.round => then.decide(window, connection, round + 1),
            Self::Exchange { consume, reply, .. } => Decision::exchange(*consume, reply.as_str()),
            Self::Route { upstream, options } => {
                let choice = Choice::new(upstream);
                options
                    .iter()
                    .fold(choice, |choice, (key, value)| choice.option(key, value.clone()))
                    .into()
            }
            Self::Refuse { reason, reset: true } => Decision::refuse(Refusal::reset(reason)),
            Self::Refuse { reason, reset: false } => Decision::refuse(reason.as_str()),
        }
    }
}

fn tell(keys: &[String], connection: &Connection) {
    let known = |key: &String| Some((key.clone(), connection.attribute(key)?));
    let mut known: Vec<(String, Value)> = keys.iter().filter_map(known).collect();
    let ends = [("client", connection.client()), ("local", connection.local())];
    known.extend(
        ends.into_iter()
            .filter_map(|(key, end)| Some((key.to_owned(), end?.into()))),
    );
    let fields: Vec<_> = known.iter().map(|(key, value)| Field::new(key, value)).collect();
    log::emit(Level::Info, "told", &fields);
}

impl From<Setting> for Value {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Boolean(boolean) => boolean.into(),
            Setting::Integer(integer) => integer.into(),
            Setting::Text(text) => text.into(),
        }
    }
}

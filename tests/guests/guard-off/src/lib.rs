//! What `redis-guard` is replaced by in a test: another program for the same configuration, which looks at nothing.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GuardOff {
    #[expect(dead_code, reason = "it refuses nothing")]
    refuse: Vec<String>,
}

impl Config for GuardOff {}

struct Session;

impl Inspector for Session {
    type Config = GuardOff;

    fn open(_config: &'static GuardOff, _connection: &Connection) -> Self {
        Self
    }

    fn interest(&self) -> Directions {
        Directions::Neither
    }

    fn on_bytes(&mut self, _chunk: Chunk, _connection: &Connection) -> Verdict {
        Verdict::Detach
    }
}

export_config!(GuardOff);
export_inspector!(Session);

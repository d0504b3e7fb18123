//! A router that leaves a tag on each connection, for tests that replace it: `{"tag": "one", "upstream": "blue"}`.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tagged {
    tag: String,
    upstream: Option<String>,
}

impl Config for Tagged {}

impl Router for Tagged {
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        connection.annotate("tag", &self.tag);
        self.upstream.as_ref().map_or(Decision::Pass, Decision::route)
    }
}

export_config!(Tagged);
export_router!(Tagged);

//! `tagged` as somebody would write it who knows of no SDK rules: built for wasm32-wasip2, with a standard `HashMap`
//! and output on stderr. The host has to offer WASI, and an empty world behind it.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WasiTagged {
    tag: String,
    upstream: Option<String>,
}

impl Config for WasiTagged {}

impl Router for WasiTagged {
    #[expect(clippy::print_stderr, reason = "what it is for")]
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        let annotations = HashMap::from([("tag", self.tag.clone()), ("files", count_files())]);
        for (key, value) in annotations {
            eprintln!("{key} is {value}");
            connection.annotate(key, value);
        }
        self.upstream.as_ref().map_or(Decision::Pass, Decision::route)
    }
}

export_config!(WasiTagged);
export_router!(WasiTagged);

fn count_files() -> String {
    std::fs::read_dir("/").map_or_else(|_| "none".to_owned(), |files| files.count().to_string())
}

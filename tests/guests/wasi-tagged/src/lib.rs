//! `tagged` as somebody would write it who knows of no SDK rules: built for wasm32-wasip2, with a standard `HashMap`
//! and output on stderr. The host has to offer WASI, and an empty world behind it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WasiTagged {
    tag: String,
    upstream: Option<String>,
    /// So many lines on stdout for each connection.
    #[serde(default)]
    lines: u32,
}

impl Config for WasiTagged {}

impl Router for WasiTagged {
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        let annotations = HashMap::from([
            ("tag", self.tag.clone()),
            ("files", count_files()),
            ("year", year().to_string()),
            ("dice", RandomState::new().hash_one(0).to_string()),
        ]);
        for line in 0..self.lines {
            println!("line {line}");
        }
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

/// Give or take a day.
fn year() -> u64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    1970 + since_1970.as_secs() / (365 * 24 * 3600 + 6 * 3600)
}

//! What serde reads of a file, with the places of what `read` has to judge.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) given: Given,
    #[serde(default)]
    pub(crate) case: Vec<Spanned<Case>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) given: Given,
    #[serde(default)]
    pub(crate) play: Vec<Spanned<Step>>,
    pub(crate) expect: Spanned<Expect>,
    #[serde(default = "yes")]
    pub(crate) cut: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) config: Option<Json>,
    pub(crate) client: Option<Spanned<String>>,
    pub(crate) local: Option<Spanned<String>>,
    pub(crate) listener: Option<String>,
    pub(crate) attributes: Option<BTreeMap<String, Spanned<Json>>>,
    pub(crate) upstreams: Option<Upstreams>,
    pub(crate) tls: Option<bool>,
    pub(crate) store: Option<usize>,
}

#[derive(Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected names, as in [\"blue\"], or { blue = { servers = 2, healthy = 1 } }"
)]
pub(crate) enum Upstreams {
    Names(Vec<String>),
    Described(BTreeMap<String, Upstream>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) servers: u32,
    /// All of them, unless it is said.
    pub(crate) healthy: Option<u32>,
}

/// One of these, and `times` with a repetition.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Step {
    pub(crate) up: Option<Json>,
    pub(crate) up_hex: Option<String>,
    pub(crate) up_file: Option<String>,
    pub(crate) up_repeat: Option<Json>,
    pub(crate) down: Option<Json>,
    pub(crate) down_hex: Option<String>,
    pub(crate) down_file: Option<String>,
    pub(crate) down_repeat: Option<Json>,
    pub(crate) times: Option<u64>,
    pub(crate) finish: Option<Finish>,
    pub(crate) time_out: Option<bool>,
    pub(crate) full: Option<bool>,
    pub(crate) wait: Option<String>,
    pub(crate) closed: Option<OneOrMore>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Finish {
    Up,
    Down,
    Both,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a connection, as in { outcome = \"relay.finished.client\" }, or an array of them"
)]
pub(crate) enum OneOrMore {
    One(Box<Closed>),
    More(Vec<Closed>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Closed {
    #[serde(default = "one")]
    pub(crate) connection: u64,
    pub(crate) listener: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) server: Option<String>,
    #[serde(default)]
    pub(crate) bytes_up: u64,
    #[serde(default)]
    pub(crate) spliced_up: u64,
    #[serde(default)]
    pub(crate) filtered_up: u64,
    #[serde(default)]
    pub(crate) bytes_down: u64,
    #[serde(default)]
    pub(crate) spliced_down: u64,
    #[serde(default)]
    pub(crate) filtered_down: u64,
    pub(crate) duration: Option<String>,
    pub(crate) outcome: String,
    pub(crate) attributes: Option<BTreeMap<String, Json>>,
}

fn one() -> u64 {
    1
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Expect {
    pub(crate) upstream: Option<String>,
    pub(crate) options: BTreeMap<String, Json>,
    pub(crate) passes: bool,
    pub(crate) waits: bool,
    pub(crate) refused: Option<String>,
    pub(crate) ending: Option<Ending>,
    pub(crate) reply: Option<Json>,
    pub(crate) upstream_receives: Option<Json>,
    pub(crate) client_receives: Option<Json>,
    pub(crate) annotations: BTreeMap<String, Json>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) logs: Vec<String>,
    pub(crate) sees: Sees,
    pub(crate) detached: Vec<Direction>,
    pub(crate) config_refused: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    Graceful,
    Reset,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Up,
    Down,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sees {
    pub(crate) up: Option<u64>,
    pub(crate) down: Option<u64>,
}

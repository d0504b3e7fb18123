//! `[filters.NAME]`

use schemars::JsonSchema;
use serde_json::Value as Json;

use super::Retire;
use super::canary::Canary;
use super::pull::Pull;
use super::quarantine::Quarantine;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{AtBudget, Grant, OnError, defaults, ranges};

/// A WebAssembly filter.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Filter {
    /// The component's file, or what lies in a registry: `oci://HOST/REPOSITORY:TAG`, `oci://HOST/REPOSITORY@sha256:...`. A
    /// relative path starts at the directory of this file.
    pub source: Given<String>,
    /// When the registry is asked what the tag means: `if-absent`, where the cache does not know; `always`, at each start
    /// and reload; `{ every = "5m" }`, every so often as well. What has been pulled serves on where there is no answer.
    #[schemars(extend("default" = "if-absent"))]
    pub pull: Option<Given<Pull>>,
    /// The filter's own configuration, given to it as JSON; dates and times as strings. What it expects is in its
    /// `config-schema`, which `spliceway filter inspect` shows.
    pub config: Option<Given<Json>>,
    /// What becomes of a connection whose filter trapped, overran a limit or broke the contract: `close` closes the
    /// connection, `pass` goes on without the filter, `previous` goes on with the generation before where the one that
    /// failed has not been shown anything of it yet.
    #[schemars(extend("default" = Word::of(OnError::default())))]
    pub on_error: Option<Given<Word<OnError>>>,
    /// How many connections share one instance of an inspector, 1 to 65536. 1 isolates each of them from the others.
    #[schemars(extend(
        "default" = defaults::SESSIONS_PER_INSTANCE,
        "minimum" = ranges::SESSIONS_PER_INSTANCE.start(),
        "maximum" = ranges::SESSIONS_PER_INSTANCE.end(),
    ))]
    pub sessions_per_instance: Option<Given<i64>>,
    /// What becomes of a connection for which the machine affords no more instances: `share` lets it share one with others,
    /// `refuse` treats it as one whose filter failed.
    #[schemars(extend("default" = Word::of(AtBudget::default())))]
    pub at_budget: Option<Given<Word<AtBudget>>>,
    /// When an instance that connections share gets no new ones: it is gone with the last that it has.
    pub retire: Option<Given<Retire>>,
    /// What the filter may import: a component that imports more does not load. Without `wasi-clocks` the clocks of WASI
    /// stand still, without `wasi-random` its random numbers are the same in each instance; there is nothing else in WASI.
    #[schemars(extend("default" = defaults::GRANTS.iter().map(|grant| grant.name()).collect::<Vec<_>>()))]
    pub grants: Option<Given<Vec<Given<Word<Grant>>>>>,
    /// What the filter may use.
    pub limits: Option<Given<FilterLimits>>,
    /// How a new generation is tried before it gets all new connections: its share of them, as in `"10%"`, or a table.
    /// Without it, a new generation gets all of them at once.
    pub canary: Option<Given<Canary>>,
    /// When a generation that keeps failing makes room for the one before; `false`: never.
    pub quarantine: Option<Given<Quarantine>>,
}

impl Read for Filter {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[filters.NAME]`", problems, |table| Self {
            source: table.required("source"),
            pull: table.optional("pull"),
            config: table.optional("config"),
            on_error: table.optional("on-error"),
            sessions_per_instance: table.optional("sessions-per-instance"),
            at_budget: table.optional("at-budget"),
            retire: table.optional("retire"),
            grants: table.optional("grants"),
            limits: table.optional("limits"),
            canary: table.optional("canary"),
            quarantine: table.optional("quarantine"),
        })
    }
}

/// What one filter may use.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FilterLimits {
    /// Memory of one instance, 64KiB to 64MiB.
    #[schemars(extend("default" = Size(defaults::FILTER_LIMITS.memory).to_string()))]
    pub memory: Option<Given<Size>>,
    /// CPU time of one call, 1ms to 1s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.call).to_string()))]
    pub call: Option<Given<Period>>,
    /// CPU time of the filter's start, 1ms to 60s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.init).to_string()))]
    pub init: Option<Given<Period>>,
    /// What it may give in one call: a transformer to both peers together, a router in a reply to the client; 1KiB to 4MiB.
    #[schemars(extend("default" = Size(defaults::FILTER_LIMITS.output).to_string()))]
    pub output: Option<Given<Size>>,
    /// Records in the log a second, 0 to 1000000; an observer may make as many besides as it is told of connections.
    #[schemars(extend(
        "default" = defaults::FILTER_LIMITS.log_lines,
        "minimum" = ranges::LOG_LINES.start(),
        "maximum" = ranges::LOG_LINES.end(),
    ))]
    pub log_lines: Option<Given<i64>>,
    /// Metrics that it may define, 0 to 1024.
    #[schemars(extend(
        "default" = defaults::FILTER_LIMITS.metrics,
        "minimum" = ranges::METRICS.start(),
        "maximum" = ranges::METRICS.end(),
    ))]
    pub metrics: Option<Given<i64>>,
    /// Entries of its store, 0 to 10000000.
    #[schemars(extend(
        "default" = defaults::FILTER_LIMITS.store_entries,
        "minimum" = ranges::STORE_ENTRIES.start(),
        "maximum" = ranges::STORE_ENTRIES.end(),
    ))]
    pub store_entries: Option<Given<i64>>,
    /// Memory of its store, what each entry costs beside its key and value included; up to 1GiB.
    #[schemars(extend("default" = Size(defaults::FILTER_LIMITS.store_bytes).to_string()))]
    pub store_bytes: Option<Given<Size>>,
}

impl Read for FilterLimits {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ memory = \"16MiB\" }`", problems, |table| {
            Self {
                memory: table.optional("memory"),
                call: table.optional("call"),
                init: table.optional("init"),
                output: table.optional("output"),
                log_lines: table.optional("log-lines"),
                metrics: table.optional("metrics"),
                store_entries: table.optional("store-entries"),
                store_bytes: table.optional("store-bytes"),
            }
        })
    }
}
